"""Nodes in C++ and Python talk to each other: topics, services, parameters, loans."""

import re
import sys
from pathlib import Path

import pytest
from processes import Process, run

LANGUAGES = ['cpp', 'py']
PROGRAMS = Path(__file__).parent / 'programs'


@pytest.mark.parametrize('listener', LANGUAGES)
@pytest.mark.parametrize('talker', LANGUAGES)
def test_talker_and_listener(node, talker, listener):
    ear = node(f'demo_nodes_{listener}', 'listener')
    mouth = node(f'demo_nodes_{talker}', 'talker')
    first = ear.wait_for('I heard', timeout=60)
    number = int(re.search(r'Hello World: (\d+)', first)[1])
    for following in range(number + 1, number + 4):
        mouth.wait_for(f'Hello World: {following}', timeout=30)
        assert f'Hello World: {following}]' in ear.wait_for('I heard', timeout=30)


@pytest.mark.parametrize('client', LANGUAGES)
@pytest.mark.parametrize('server', LANGUAGES)
def test_add_two_ints(node, ros, server, client):
    service = node(f'demo_nodes_{server}', 'add_two_ints_server')
    for executable in ('add_two_ints_client', 'add_two_ints_client_async'):
        output = run(['ros2', 'run', f'demo_nodes_{client}', executable], ros, timeout=60)
        assert re.search(r'Result of add_two_ints: (for 2 \+ 3 = )?5\b', output), output
    service.wait_for('a: 2 b: 3')


def test_service_called_from_the_command_line(node, ros):
    node('demo_nodes_py', 'add_two_ints_server')
    output = run(['ros2', 'service', 'call', '/add_two_ints', 'example_interfaces/srv/AddTwoInts', '{a: 40, b: 2}'],
                 ros, timeout=60)
    assert 'sum=42' in output


def test_serialized_messages(node):
    ear = node('demo_nodes_cpp', 'listener_serialized_message')
    node('demo_nodes_cpp', 'talker_serialized_message')
    # CDR header, length, "Hello World:" with a number of one digit, NUL; some middlewares fill up to a multiple of 4.
    assert ear.wait_for('I heard data of length', timeout=60).split()[-1] in ('22', '24')


def test_loaned_messages_reach_python(node, ros):
    node('demo_nodes_cpp', 'talker_loaned_message')
    output = run(['ros2', 'topic', 'echo', '--once', '/chatter_pod', 'std_msgs/msg/Float64'], ros, timeout=60)
    assert re.search(r'data: \d+\.\d+', output)


def test_matched_events(node):
    """Publishers and subscriptions are told when a peer comes or goes."""
    detector = node('demo_nodes_cpp', 'matched_event_detect')
    detector.wait_for('subscription is', timeout=60)


def test_parameters_over_services(ros):
    output = run(['ros2', 'run', 'demo_nodes_cpp', 'set_and_get_parameters'], ros, timeout=60)
    assert 'Parameter name: foo' in output and 'Parameter value (integer): 2' in output, output


def test_parameter_events(ros):
    output = run(['ros2', 'run', 'demo_nodes_cpp', 'parameter_events'], ros, timeout=90)
    assert 'changed parameters:' in output and 'deleted parameters:' in output, output


def test_the_demo_of_the_bare_machine_reaches_python(prefix, ros, own_middleware):
    """A C program on the bare rmw interface and rclpy exchange a message type generated in this package."""
    if not own_middleware:
        pytest.skip('the demo opens rmw_hazcat_rs')
    with Process([prefix / 'lib' / 'rmw_hazcat_rs' / 'talker', '--rate', '20'], ros):
        output = run(['ros2', 'topic', 'echo', '--once', '/chatter', 'rmw_hazcat_rs/msg/Text'], ros, timeout=60)
        assert 'data: \'Hello World:' in output, output
    with Process([prefix / 'lib' / 'rmw_hazcat_rs' / 'listener', '--loaned', '--count', '1', '--timeout', '60'], ros) as ear:
        run(['ros2', 'topic', 'pub', '--times', '1', '-w', '1', '/chatter', 'rmw_hazcat_rs/msg/FixedText',
             '{count: 1, length: 2, data: [72, 105' + ', 0' * 242 + ']}'], ros, timeout=60)
        assert ear.wait(30) == 0, ear.output
        assert 'I heard: [Hi]' in ear.output


def test_contexts_that_come_and_go_leave_nothing(ros):
    """Also where rclpy forgets to destroy a service of each node (the one of the type descriptions, in Jazzy)."""
    early, late = run([sys.executable, PROGRAMS / 'contexts.py'], ros, timeout=100).strip().splitlines()[-2:]
    assert early == late
