"""
A server or client of example_interfaces/srv/AddTwoInts.

services.py serve SERVICE [--mute]    answers until it is killed; mute: says "taken" and never answers
services.py call SERVICE              asks one question after the other and prints the answers, or "no answer"
"""

import argparse
import threading
import time

import rclpy
from example_interfaces.srv import AddTwoInts
from rclpy.executors import SingleThreadedExecutor


def serve(node, options):
    def answer(request, response):
        if options.mute:
            print('taken', flush=True)
            threading.Event().wait()
        response.sum = request.a + request.b
        return response
    node.create_service(AddTwoInts, options.service, answer)
    print('ready', flush=True)
    rclpy.spin(node)


def call(node, options):
    client = node.create_client(AddTwoInts, options.service)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    number = 0
    available = None
    print('ready', flush=True)
    while True:
        if client.service_is_ready() != available:
            available = not available
            print('available' if available else 'unavailable', flush=True)
        if not available:
            executor.spin_once(timeout_sec=0.05)
            continue
        number += 1
        answer = client.call_async(AddTwoInts.Request(a=number, b=1000))
        executor.spin_until_future_complete(answer, timeout_sec=2)
        if answer.done():
            assert answer.result().sum == number + 1000, answer.result()
            print(f'answer {number}', flush=True)
            time.sleep(0.02)
        else:
            print('no answer', flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('role', choices=['serve', 'call'])
    parser.add_argument('service')
    parser.add_argument('--mute', action='store_true')
    options = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node(f'services_{options.role}')
    (serve if options.role == 'serve' else call)(node, options)


main()
