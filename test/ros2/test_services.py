"""Services among processes of which some are killed; and service introspection, which rcl does on top."""

import functools
import re
from pathlib import Path

import pytest
from processes import Process, run

PROGRAM = Path(__file__).parent / 'programs' / 'services.py'


@pytest.fixture
def role(program):
    """Starts `role('serve' or 'call', service, *options)`."""
    return functools.partial(program, PROGRAM)


def test_a_server_is_killed_with_a_request(role, own_middleware):
    """Its client gets no answer, learns that nobody serves, and is served by the next one."""
    if not own_middleware:
        pytest.skip('over DDS it takes 10 to 20 seconds to learn of it')
    client = role('call', '/services/killed')
    mute = role('serve', '/services/killed', '--mute')
    client.wait_for('available')
    mute.wait_for('taken')
    mute.kill()
    client.wait_for('no answer')
    client.wait_for('unavailable')
    role('serve', '/services/killed')
    client.wait_for('available')
    client.wait_for('answer')


def test_one_of_two_clients_is_killed(role):
    """The other one's answers go on, each to its own question."""
    server = role('serve', '/services/clients')
    clients = [role('call', '/services/clients') for _ in range(2)]
    for client in clients:
        client.wait_for('answer 5')
    clients[0].kill()
    seen = int(clients[1].wait_for('answer').split()[-1])
    for number in range(seen + 1, seen + 20):
        assert clients[1].wait_for('answer') == f'answer {number}'
    assert server.running()


def test_one_of_two_servers_is_killed(role):
    """Both answer, of which the client takes the first; the other one goes on alone."""
    servers = [role('serve', '/services/servers') for _ in range(2)]
    client = role('call', '/services/servers')
    client.wait_for('answer 5')
    servers[0].kill()
    seen = int(client.wait_for('answer').split()[-1])
    for _ in range(10):
        # Right after the kill, one may have been with the dead one only in DDS; here none is.
        seen += 1
        assert client.wait_for('answer') == f'answer {seen}'
    assert servers[1].running()


def test_service_introspection(node, ros):
    """Requests and answers are told of by both sides, with the same client and number."""
    node('demo_nodes_cpp', 'introspection_service')
    node('demo_nodes_cpp', 'introspection_client')
    for name, parameter in (('introspection_service', 'service_configure_introspection'),
                            ('introspection_client', 'client_configure_introspection')):
        output = run(['ros2', 'param', 'set', f'/{name}', parameter, 'contents'], ros, timeout=60)
        assert 'successful' in output, output
    with Process(['ros2', 'topic', 'echo', '/add_two_ints/_service_event'], ros) as echo:
        seen = {}
        while not any(len(kinds) == 4 for kinds in seen.values()):
            kind = int(echo.wait_for('event_type:').split()[-1])
            number = int(echo.wait_for('sequence_number:').split()[-1])
            seen.setdefault(number, set()).add(kind)
    assert re.search(r'request:\n- a: \d+', echo.output) and re.search(r'response:\n- sum: \d+', echo.output), echo.output
    gids = re.findall(r'client_gid:\n((?:  - \d+\n)+)', echo.output)
    assert len(gids) >= 4 and len(set(gids)) == 1, 'one client, as all four tell'
