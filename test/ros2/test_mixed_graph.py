"""
Nodes of all client libraries in one graph: each hears all the others, and serves all the others.

rclcpp and rclpy always take part; rclrs and r2r where this package has installed nodes of theirs (`talker_rclrs`,
`listener_r2r` and so on), which print what the demo nodes of ROS 2 print.
"""

import re
from collections import Counter

import pytest
from processes import Process, eventually, run

# Of this many messages of each talker, all must arrive.
ALL = 5


@pytest.fixture(scope='module')
def libraries(ros):
    """(talker, listener) of each client library, as arguments of `ros2 run`."""
    found = {f'rcl{short}': [(f'demo_nodes_{short}', role) for role in ('talker', 'listener')] for short in ('cpp', 'py')}
    own = run(['ros2', 'pkg', 'executables', 'rmw_hazcat_rs'], ros).split()[1::2]
    for library in ('rclrs', 'r2r'):
        roles = [(f'{role}_{library}', f'{library}_{role}') for role in ('talker', 'listener')]
        nodes = [('rmw_hazcat_rs', name) for names in roles for name in names if name in own]
        if len(nodes) == 2:
            found[library] = nodes
    return found


def test_topics(ros, libraries):
    """Every listener hears every talker: as many of each message as there are talkers."""
    listeners, talkers = {}, {}

    def start(role, name, command):
        arguments = ['--ros-args', '-r', f'__node:={role}_{name}']
        process = Process(['ros2', 'run', *command, *arguments], ros, name=f'{role} {name}')
        (talkers if role == 'talker' else listeners)[name] = process
        return process

    def heard(process):
        # A line is seen twice where a node also prints what it received as serialized text: the demo nodes do not.
        return Counter(int(number) for line in process.lines for number in re.findall(r'I heard.*Hello World: (\d+)', line))

    try:
        for name, (_, listener) in libraries.items():
            start('listener', name, listener)
        expected = {f'/listener_{name}' for name in libraries}
        eventually(lambda: expected <= set(run(['ros2', 'node', 'list'], ros).splitlines()), timeout=90)
        for name, (talker, _) in libraries.items():
            start('talker', name, talker)
        for name, listener in listeners.items():
            eventually(lambda: sum(count == len(libraries) for count in heard(listener).values()) >= ALL, timeout=90)
            # Nothing comes twice.
            assert max(heard(listener).values()) == len(libraries), f'{name}:\n{listener.output}'
        info = run(['ros2', 'topic', 'info', '/chatter'], ros)
        assert f'Publisher count: {len(libraries)}' in info and f'Subscription count: {len(libraries)}' in info
    finally:
        for process in [*talkers.values(), *listeners.values()]:
            process.stop()


def test_services(ros):
    """A client of each library calls servers of both, all at once in one graph."""
    servers = {}
    try:
        for server in ('cpp', 'py'):
            servers[server] = Process(
                ['ros2', 'run', f'demo_nodes_{server}', 'add_two_ints_server', '--ros-args', '-r', f'__ns:=/{server}'], ros)
        clients = [(client, server, Process(
            ['ros2', 'run', f'demo_nodes_{client}', 'add_two_ints_client_async', '--ros-args', '-r', f'__ns:=/{server}'],
            ros)) for client in ('cpp', 'py') for server in ('cpp', 'py')]
        servers |= {f'{client} calls {server}': process for client, server, process in clients}
        for client, server, process in clients:
            assert process.wait(90) == 0, process.output
            assert re.search(r'Result of add_two_ints: (for 2 \+ 3 = )?5\b', process.output), process.output
        for server in ('cpp', 'py'):
            eventually(lambda: servers[server].output.count('a: 2 b: 3') == 2)
    finally:
        for process in servers.values():
            process.stop()


@pytest.mark.parametrize('server', ['cpp', 'py'])
def test_actions(ros, need, server):
    """Clients of both libraries send goals to one server at the same time, and get feedback and the result."""
    for language in ('cpp', 'py'):
        need(package=f'action_tutorials_{language}')
    numbers = '0,? 1,? 1,? 2,? 3,? 5,? 8,? 13,? 21,? 34,? 55'
    with Process(['ros2', 'run', f'action_tutorials_{server}', 'fibonacci_action_server'], ros), \
            Process(['ros2', 'run', 'action_tutorials_cpp', 'fibonacci_action_client'], ros) as cpp, \
            Process(['ros2', 'run', 'action_tutorials_py', 'fibonacci_action_client'], ros) as py:
        for client, result in ((cpp, 'Result received: '), (py, r"Result: array\('i', \[")):
            eventually(lambda: re.search(result + numbers, client.output), timeout=90)
            assert re.search('(Next number in sequence received|Received feedback): ', client.output), client.output
