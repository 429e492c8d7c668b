"""
One side of a topic, which tells every QoS event as a line of JSON, until it is killed.

qos_events.py (publish|subscribe) TOPIC [--deadline S] [--lease S] [--manual] [--period S] [--messages N]
"""

import argparse
import json

import rclpy
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import LivelinessPolicy, QoSProfile
from std_msgs.msg import String


def tell(event):
    def callback(status):
        counts = {name: getattr(status, name) for name in dir(status) if name.endswith(('count', 'count_change'))}
        print(json.dumps({'event': event, **counts}), flush=True)
    return callback


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('side', choices=['publish', 'subscribe'])
    parser.add_argument('topic')
    parser.add_argument('--deadline', type=float)
    parser.add_argument('--lease', type=float)
    parser.add_argument('--manual', action='store_true')
    parser.add_argument('--period', type=float, default=0.05)
    parser.add_argument('--messages', type=int, default=0, help='stop publishing after so many')
    options = parser.parse_args()

    qos = QoSProfile(depth=10)
    if options.deadline:
        qos.deadline = Duration(nanoseconds=int(options.deadline * 1e9))
    if options.lease:
        qos.liveliness_lease_duration = Duration(nanoseconds=int(options.lease * 1e9))
    if options.manual:
        qos.liveliness = LivelinessPolicy.MANUAL_BY_TOPIC

    rclpy.init()
    node = rclpy.create_node(f'qos_events_{options.side}')
    if options.side == 'subscribe':
        events = SubscriptionEventCallbacks(
            deadline=tell('deadline'), liveliness=tell('liveliness'), matched=tell('matched'),
            use_default_callbacks=False)
        node.create_subscription(String, options.topic, lambda message: None, qos, event_callbacks=events)
    else:
        events = PublisherEventCallbacks(
            deadline=tell('deadline'), liveliness=tell('liveliness'), matched=tell('matched'),
            use_default_callbacks=False)
        publisher = node.create_publisher(String, options.topic, qos, event_callbacks=events)
        published = 0

        def publish():
            nonlocal published
            if not options.messages or published < options.messages:
                publisher.publish(String(data=str(published)))
                published += 1
        node.create_timer(options.period, publish)
    print('ready', flush=True)
    rclpy.spin(node)


main()
