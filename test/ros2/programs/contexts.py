"""
Contexts come and go in one process, each with a node that asks a service of its own.

Prints how many descriptors and threads the process has after 5 contexts, and after 25.
"""

import gc
import os

import rclpy
from example_interfaces.srv import AddTwoInts
from rclpy.executors import SingleThreadedExecutor


def come_and_go(number):
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('coming_and_going', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def answer(request, response):
        response.sum = request.a + request.b
        return response
    node.create_service(AddTwoInts, 'add', answer)
    future = node.create_client(AddTwoInts, 'add').call_async(AddTwoInts.Request(a=number, b=1))
    executor.spin_until_future_complete(future, timeout_sec=30)
    assert future.result().sum == number + 1
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


for number in range(1, 26):
    come_and_go(number)
    if number in (5, 25):
        gc.collect()
        print(f"{len(os.listdir('/proc/self/fd'))} descriptors, {len(os.listdir('/proc/self/task'))} threads", flush=True)
