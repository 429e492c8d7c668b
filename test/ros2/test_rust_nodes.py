"""
The demo nodes in Rust (rclrs and r2r) with one another and with those of rclcpp and rclpy: topics, loans, services, actions.

What a node prints as text or number was received, so every expected line is one that came through the middleware.
"""

import os
import re
import sys
from pathlib import Path

import pytest
from processes import Process, run

CRATES = ['rclrs', 'r2r']
FIBONACCI = Path(__file__).parent / 'nodes' / 'fibonacci.py'
PATIENCE = 90


@pytest.fixture
def rust(node):
    """Starts a demo node with `rust(crate, role)`; skips the test where the crate's demos could not be built."""
    def start(crate, role, *arguments):
        reason = Path(os.environ['HAZCAT_RUST_DEMOS_DIR']) / crate / 'not_built.txt'
        if reason.exists():
            pytest.skip(f'no demo nodes with {crate}: {reason.read_text().strip()}')
        return node('rmw_hazcat_rs', f'{crate}_{role}', *arguments)

    return start


def number_of(line):
    return int(re.search(r'Hello World: (\d+)', line)[1])


@pytest.mark.parametrize('talker', ['rclrs', 'r2r', 'cpp', 'py'])
def test_every_listener_hears(rust, node, talker):
    """One talker and a listener of each client library, in one graph: all hear the same messages, none is left out."""
    ears = [rust(crate, 'listener') for crate in CRATES]
    ears += [node(f'demo_nodes_{language}', 'listener') for language in ('cpp', 'py')]
    mouth = rust(talker, 'talker') if talker in CRATES else node(f'demo_nodes_{talker}', 'talker')
    for ear in ears:
        first = number_of(ear.wait_for('I heard', timeout=PATIENCE))
        for following in range(first + 1, first + 4):
            assert number_of(ear.wait_for('I heard', timeout=PATIENCE)) == following, ear.output
    mouth.wait_for('Publishing: ')


@pytest.mark.parametrize('talker', CRATES)
def test_loaned_messages_are_read_where_they_were_written(rust, ros, own_middleware, monkeypatch, talker):
    if not own_middleware:
        pytest.skip('other middlewares do not loan across processes')
    monkeypatch.setitem(ros, 'ROS_DISABLE_LOANED_MESSAGES', '0')
    ears = [rust(listener, 'loaned_listener') for listener in CRATES]
    mouth = rust(talker, 'loaned_talker')
    for ear in ears:
        for _ in range(3):
            ear.wait_for('I heard', timeout=PATIENCE)

    def places(process, verb):
        """Where each number was: {number: (inode, offset, access)}."""
        return {found[1]: found.groups()[1:] for found in re.finditer(
            verb + r': \[(\d+)\] in inode (\d+) offset (\d+) access (\S+) ', process.output)}

    run(['ros2', 'topic', 'echo', '--once', '/chatter_pod', 'std_msgs/msg/Float64'], ros, timeout=PATIENCE)
    mouth.stop()
    written = places(mouth, 'Publishing')
    for ear in ears:
        read = places(ear, 'I heard')
        assert len(read) >= 3, ear.output
        for number, (inode, offset, access) in read.items():
            assert (inode, offset, 'rw-') == written[number], f'{mouth.output}\n{ear.output}'
            assert access == 'r--', 'a subscription can write to the message'


@pytest.mark.parametrize('server', CRATES)
def test_clients_of_all_libraries(rust, ros, server):
    """A server in Rust answers clients in Rust, C++ and Python; its action can be refused and cancelled."""
    service = rust(server, 'server')
    clients = [rust(client, 'client') for client in CRATES]
    for client in clients:
        assert client.wait(PATIENCE) == 0, client.output
        assert re.search(r'Result of add_two_ints: 42\b', client.output), client.output
        assert 'Feedback: [0, 1, 1, 2]' in client.output, client.output
        assert 'Result of fibonacci: Succeeded [0, 1, 1, 2, 3, 5]' in client.output, client.output
    for language in ('cpp', 'py'):
        output = run(['ros2', 'run', f'demo_nodes_{language}', 'add_two_ints_client_async'], ros, timeout=PATIENCE)
        assert re.search(r'Result of add_two_ints: (for 2 \+ 3 = )?5\b', output), output
        service.wait_for('a: 2 b: 3')
    output = run([sys.executable, FIBONACCI, 'client'], ros, timeout=PATIENCE)
    assert output.splitlines()[-4:] == [
        'order -1: None', 'goals cancelling: 1', 'order 40: STATUS_CANCELED feedback',
        'order 5: STATUS_SUCCEEDED [0, 1, 1, 2, 3, 5]'], output


def test_servers_of_all_libraries(rust, node, ros):
    """Clients in Rust use a service in C++, and a service and an action in Python."""
    def answered(client):
        assert client.wait(PATIENCE) == 0, client.output
        assert 'Feedback: [0, 1, 1, 2]' in client.output and 'Succeeded [0, 1, 1, 2, 3, 5]' in client.output, client.output

    service = node('demo_nodes_cpp', 'add_two_ints_server')
    clients = [rust(crate, 'client') for crate in CRATES]
    for client in clients:
        client.wait_for('Result of add_two_ints: 42', timeout=PATIENCE)
    service.stop()
    # They are waiting for the action now.
    with Process([sys.executable, FIBONACCI, 'server'], ros) as server:
        for client in clients:
            answered(client)
        clients = [rust(crate, 'client') for crate in CRATES]
        for client in clients:
            answered(client)
            assert 'Result of add_two_ints: 42' in client.output
        assert server.running(), server.output


@pytest.mark.parametrize('crate', CRATES)
def test_rust_nodes_in_the_graph(rust, ros, crate):
    """Names, types and remapping arguments are those of any other node."""
    rust(crate, 'talker', '--ros-args', '-r', '__ns:=/there', '-r', 'chatter:=/elsewhere').wait_for('Publishing', timeout=PATIENCE)
    assert f'/there/{crate}_talker' in run(['ros2', 'node', 'list'], ros, timeout=PATIENCE).splitlines()
    info = run(['ros2', 'topic', 'info', '-v', '/elsewhere'], ros, timeout=PATIENCE)
    assert 'Topic type: std_msgs/msg/String' in info and f'Node name: {crate}_talker' in info, info
    assert 'Reliability: RELIABLE' in info, info
