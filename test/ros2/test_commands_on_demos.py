"""ros2's command line tools work with parameters, services, actions, lifecycle nodes and components of demo nodes."""

import re
from pathlib import Path

import pytest
from processes import Process, descendants, eventually, run


@pytest.fixture(scope='module')
def ros2(ros):
    """Runs `ros2 ...`; its output."""
    run(['ros2', 'daemon', 'start'], ros)
    return lambda *command: run(['ros2', *command], ros, timeout=90)


@pytest.fixture(scope='module')
def demo(ros, need):
    """
    Starts a demo node for all tests of this module, once: `demo(package, executable, node=...)`.

    It is there when `node` is in the list of nodes. A test is skipped where the package is not installed.
    """
    running = {}

    def start(package, executable, *arguments, node):
        need(package=package)
        if node not in running:
            running[node] = Process(['ros2', 'run', package, executable, *arguments], ros, name=f'{package} {executable}')
            eventually(lambda: node in run(['ros2', 'node', 'list'], ros).splitlines(), timeout=60)
        return running[node]

    yield start
    for process in reversed(running.values()):
        process.stop()


@pytest.fixture
def blackboard(demo):
    """A node that takes any parameter."""
    demo('demo_nodes_cpp', 'parameter_blackboard', node='/parameter_blackboard')
    return '/parameter_blackboard'


@pytest.mark.row('run')
def test_run(demo, own_middleware):
    """Of a node that `ros2 run` started, output is seen, and it uses this middleware."""
    talker = demo('demo_nodes_cpp', 'talker', node='/talker')
    talker.wait_for('Publishing:')
    if own_middleware:
        maps = [Path(f'/proc/{pid}/maps').read_text() for pid in descendants(talker.pid)]
        assert any('librmw_hazcat_rs.so' in text for text in maps)


@pytest.mark.row('param set')
@pytest.mark.row('param get')
def test_param_set_and_get(ros2, blackboard):
    for value, shown in (('41', 'Integer value is: 41'), ('[1.5, -2.0]', r'Double values are: .*1\.5, -2\.0'),
                         ('a text', 'String value is: a text')):
        assert 'Set parameter successful' in ros2('param', 'set', blackboard, 'board.value', value)
        assert re.search(shown, ros2('param', 'get', blackboard, 'board.value'))


@pytest.mark.row('param list')
@pytest.mark.row('param delete')
def test_param_list_and_delete(ros2, blackboard):
    ros2('param', 'set', blackboard, 'short_lived', 'true')
    assert 'short_lived' in ros2('param', 'list', blackboard).split()
    ros2('param', 'delete', blackboard, 'short_lived')
    assert 'short_lived' not in ros2('param', 'list', blackboard).split()


@pytest.mark.row('param dump')
@pytest.mark.row('param load')
def test_param_dump_and_load(ros2, blackboard, tmp_path):
    ros2('param', 'set', blackboard, 'dumped.number', '7')
    dump = ros2('param', 'dump', blackboard)
    assert re.search(r'/parameter_blackboard:\n  ros__parameters:\n(.*\n)*    dumped:\n      number: 7\n', dump), dump
    file = tmp_path / 'parameters.yaml'
    file.write_text('/parameter_blackboard:\n  ros__parameters:\n    dumped:\n      number: 8\n    loaded: yes it is\n')
    ros2('param', 'load', blackboard, str(file))
    assert '8' in ros2('param', 'get', blackboard, 'dumped.number')
    assert 'yes it is' in ros2('param', 'get', blackboard, 'loaded')


@pytest.mark.row('param describe')
def test_param_describe(ros2, blackboard):
    description = ros2('param', 'describe', blackboard, 'use_sim_time')
    assert 'Parameter name: use_sim_time' in description and 'Type: boolean' in description


@pytest.mark.row('service call')
@pytest.mark.row('service find')
@pytest.mark.parametrize('language', ['cpp', 'py'])
def test_service_call(ros2, demo, language):
    name = f'/adder_{language}'
    demo(f'demo_nodes_{language}', 'add_two_ints_server', '--ros-args', '-r', f'__node:=adder_{language}',
         '-r', f'add_two_ints:={name}', node=name)
    assert name in ros2('service', 'find', 'example_interfaces/srv/AddTwoInts').splitlines()
    answer = ros2('service', 'call', name, 'example_interfaces/srv/AddTwoInts', '{a: 40, b: 2}')
    assert 'AddTwoInts_Response(sum=42)' in answer


@pytest.mark.row('service echo')
def test_service_echo(ros, demo):
    """What rcl publishes about the requests and responses of a service."""
    arguments = ['--ros-args', '-p', 'service_configure_introspection:=contents']
    demo('demo_nodes_cpp', 'introspection_service', *arguments, node='/introspection_service')
    with Process(['ros2', 'service', 'echo', '--flow-style', '/add_two_ints'], ros) as echo:
        def called():
            run(['ros2', 'service', 'call', '/add_two_ints', 'example_interfaces/srv/AddTwoInts', '{a: 40, b: 2}'], ros)
            return 'sum: 42' in echo.output
        eventually(called, timeout=90)
        assert 'REQUEST_RECEIVED' in echo.output and 'RESPONSE_SENT' in echo.output, echo.output


@pytest.fixture(params=['cpp', 'py'])
def fibonacci(request, need, demo):
    """The name of an action; its server runs."""
    need(command='action')
    node = f'/{request.param}/fibonacci_action_server'
    demo(f'action_tutorials_{request.param}', 'fibonacci_action_server', '--ros-args', '-r', f'__ns:=/{request.param}',
         node=node)
    return f'/{request.param}/fibonacci'


@pytest.mark.row('action list')
@pytest.mark.row('action info')
@pytest.mark.row('action type')
def test_action_in_the_graph(ros2, fibonacci):
    action = fibonacci
    kind = 'action_tutorials_interfaces/action/Fibonacci'
    assert f'{action} [{kind}]' in ros2('action', 'list', '-t').splitlines()
    info = ros2('action', 'info', action)
    # Of a node in a namespace, ros2 spells out the namespace letter by letter.
    assert re.search(r'Action clients: 0\nAction servers: 1\n.*fibonacci_action_server', info), info
    if 'type' in re.findall(r'^  (\w+) ', ros2('action', '--help'), re.MULTILINE):
        assert ros2('action', 'type', action).strip() == kind


@pytest.mark.row('action send_goal')
def test_action_send_goal(ros2, fibonacci):
    output = ros2('action', 'send_goal', '--feedback', fibonacci, 'action_tutorials_interfaces/action/Fibonacci',
                  '{order: 3}')
    assert 'Goal accepted' in output and 'SUCCEEDED' in output
    feedback, result = output.split('Result:')
    assert 'Feedback:' in feedback and 'partial_sequence' in feedback
    assert re.findall(r'^ *- (\d+)', result, re.MULTILINE) == ['0', '1', '1', '2']


@pytest.mark.row('interface list')
@pytest.mark.row('interface show')
def test_interface(ros2, need):
    need(command='interface')
    assert 'std_msgs/msg/String' in ros2('interface', 'list').split()
    assert 'string data' in ros2('interface', 'show', 'std_msgs/msg/String')


@pytest.mark.row('doctor --report')
def test_doctor(ros2, need, ros, demo):
    need(command='doctor')
    demo('demo_nodes_cpp', 'talker', node='/talker')
    demo('demo_nodes_py', 'listener', node='/listener')
    report = ros2('doctor', '--report')
    assert re.search(f'^middleware name +: {ros["RMW_IMPLEMENTATION"]}$', report, re.MULTILINE), report
    assert re.search(r'^topic +: /chatter\npublisher count +: 1\nsubscriber count +: 1$', report, re.MULTILINE), report
    pair = (r'^topic \[type\] +: /chatter \[std_msgs/msg/String\]\npublisher node +: talker\nsubscriber node +: listener\n'
            r'compatibility status +: OK$')
    assert re.search(pair, report, re.MULTILINE), report


@pytest.mark.row('lifecycle nodes')
@pytest.mark.row('lifecycle list')
@pytest.mark.row('lifecycle get')
@pytest.mark.row('lifecycle set')
def test_lifecycle(ros2, need, demo):
    need(command='lifecycle')
    talker = demo('lifecycle', 'lifecycle_talker', node='/lc_talker')
    assert '/lc_talker' in ros2('lifecycle', 'nodes').splitlines()
    assert ros2('lifecycle', 'get', '/lc_talker').startswith('unconfigured [1]')
    assert '- configure [1]' in ros2('lifecycle', 'list', '/lc_talker')
    assert 'Transitioning successful' in ros2('lifecycle', 'set', '/lc_talker', 'configure')
    assert ros2('lifecycle', 'get', '/lc_talker').startswith('inactive [2]')
    assert 'Transitioning successful' in ros2('lifecycle', 'set', '/lc_talker', 'activate')
    assert ros2('lifecycle', 'get', '/lc_talker').startswith('active [3]')
    talker.wait_for('Lifecycle publisher is active')


@pytest.mark.row('component load')
@pytest.mark.row('component list')
@pytest.mark.row('component unload')
def test_component(ros2, need, demo):
    """Two nodes in one process, which find each other in it."""
    need(command='component')
    need(package='composition')
    container = demo('rclcpp_components', 'component_container', node='/ComponentManager')
    for name in ('Talker', 'Listener'):
        output = ros2('component', 'load', '/ComponentManager', 'composition', f'composition::{name}', '-r',
                      'chatter:=/composed', '-n', f'composed_{name.lower()}')
        assert f"into '/ComponentManager' container node as '/composed_{name.lower()}'" in output, output
    listed = ros2('component', 'list')
    assert re.search(r'/ComponentManager\n +1 +/composed_talker\n +2 +/composed_listener', listed), listed
    container.wait_for('I heard: [Hello World')
    assert 'Unloaded component 1' in ros2('component', 'unload', '/ComponentManager', '1')
    assert '/composed_talker' not in ros2('component', 'list')
