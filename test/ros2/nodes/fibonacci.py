"""
The action /fibonacci and the service /add_two_ints in rclpy, for tests of other client libraries.

`fibonacci.py server` offers both. `fibonacci.py client` sends a goal that is refused, one that it cancels and one that
succeeds, and prints what became of each.
"""

import sys
import time

import rclpy
from action_msgs.msg import GoalStatus
from example_interfaces.action import Fibonacci
from example_interfaces.srv import AddTwoInts
from rclpy.action import ActionClient, ActionServer
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor

STATUS = {value: name for name, value in vars(GoalStatus).items() if name.startswith('STATUS_')}


def serve(node):
    def execute(goal):
        sequence = [0, 1]
        while len(sequence) <= goal.request.order:
            sequence.append(sequence[-1] + sequence[-2])
            goal.publish_feedback(Fibonacci.Feedback(sequence=sequence))
            time.sleep(0.1)
        goal.succeed()
        return Fibonacci.Result(sequence=sequence)

    def add(request, response):
        response.sum = request.a + request.b
        return response

    group = ReentrantCallbackGroup()
    server = ActionServer(node, Fibonacci, 'fibonacci', execute, callback_group=group)
    service = node.create_service(AddTwoInts, 'add_two_ints', add, callback_group=group)
    executor = MultiThreadedExecutor(4)
    executor.add_node(node)
    print('serving', flush=True)
    executor.spin()
    del server, service


def ask(node):
    client = ActionClient(node, Fibonacci, 'fibonacci')
    assert client.wait_for_server(60), 'no action server /fibonacci'

    def result_of(order, on_feedback=None):
        """Send a goal, with `on_feedback(goal handle)` at its first feedback; None if it was refused."""
        feedback = []
        future = client.send_goal_async(Fibonacci.Goal(order=order),
                                        feedback_callback=lambda message: feedback.append(message.feedback.sequence))
        rclpy.spin_until_future_complete(node, future, timeout_sec=60)
        handle = future.result()
        assert handle is not None, f'no answer to the goal of order {order}'
        if not handle.accepted:
            return None
        result = handle.get_result_async()
        while on_feedback and not feedback:
            rclpy.spin_once(node, timeout_sec=60)
        if on_feedback:
            on_feedback(handle)
        rclpy.spin_until_future_complete(node, result, timeout_sec=60)
        assert result.done(), f'no result of order {order}'
        return STATUS[result.result().status], list(result.result().result.sequence), feedback

    def cancel(handle):
        future = handle.cancel_goal_async()
        rclpy.spin_until_future_complete(node, future, timeout_sec=60)
        print('goals cancelling:', len(future.result().goals_canceling), flush=True)

    print('order -1:', result_of(-1), flush=True)
    status, _, feedback = result_of(40, cancel)
    print('order 40:', status, 'feedback' if feedback else 'no feedback', flush=True)
    status, sequence, feedback = result_of(5)
    assert all(list(part) == sequence[:len(part)] for part in feedback), feedback
    print('order 5:', status, sequence, flush=True)


def main():
    rclpy.init()
    node = rclpy.create_node(f'fibonacci_{sys.argv[1]}')
    try:
        {'server': serve, 'client': ask}[sys.argv[1]](node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == '__main__':
    main()
