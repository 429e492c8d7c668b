"""ros2's command line tools look at a talker (C++) and a listener (Python), with and without the daemon."""

import re

import pytest
from processes import Process, eventually, run


@pytest.fixture(scope='module')
def pair(ros):
    """The two nodes, once they talk."""
    with Process(['ros2', 'run', 'demo_nodes_py', 'listener'], ros) as ear, \
            Process(['ros2', 'run', 'demo_nodes_cpp', 'talker'], ros) as mouth:
        ear.wait_for('I heard', timeout=60)
        yield mouth, ear


@pytest.fixture(scope='module', params=['daemon', 'no daemon'])
def ask(request, ros, pair):
    """Runs `ros2 ...` in one of the two ways."""
    if request.param == 'daemon':
        run(['ros2', 'daemon', 'start'], ros)
        # Asked until it has seen both nodes, as a daemon that has just started may not have yet.
        eventually(lambda: {'/talker', '/listener'} <= set(run(['ros2', 'node', 'list'], ros).splitlines()))
        extra = []
    else:
        run(['ros2', 'daemon', 'stop'], ros)
        extra = ['--no-daemon']

    def ask(*command):
        return run(['ros2', *command, *extra], ros, timeout=60)

    return ask


@pytest.mark.row('topic list')
def test_topic_list(ask):
    lines = ask('topic', 'list', '-t').splitlines()
    assert '/chatter [std_msgs/msg/String]' in lines
    assert '/parameter_events [rcl_interfaces/msg/ParameterEvent]' in lines
    assert '/rosout [rcl_interfaces/msg/Log]' in lines
    assert not [line for line in lines if re.match(r'/?(rt|rq|rr)/', line)]


@pytest.mark.row('topic info -v')
def test_topic_info(ask):
    text = ask('topic', 'info', '-v', '/chatter')
    assert 'Type: std_msgs/msg/String' in text
    publisher, subscription = re.search(
        r'Publisher count: 1\n(.*)Subscription count: 1\n(.*)', text, re.DOTALL).groups()
    assert 'Node name: talker' in publisher and 'Endpoint type: PUBLISHER' in publisher
    assert 'Node name: listener' in subscription and 'Endpoint type: SUBSCRIPTION' in subscription
    for endpoint in (publisher, subscription):
        assert 'Node namespace: /' in endpoint
        assert re.search(r'Topic type hash: RIHS01_[0-9a-f]{64}', endpoint)
        assert 'Reliability: RELIABLE' in endpoint and 'Durability: VOLATILE' in endpoint
        assert re.search(r'GID: ([0-9a-f]{2}\.){15}[0-9a-f]{2}', endpoint)
    assert 'History (Depth): KEEP_LAST (7)' in publisher
    assert 'History (Depth): KEEP_LAST (10)' in subscription


@pytest.mark.row('topic type')
@pytest.mark.row('topic find')
def test_topic_type_and_find(ask):
    assert ask('topic', 'type', '/chatter').strip() == 'std_msgs/msg/String'
    assert '/chatter' in ask('topic', 'find', 'std_msgs/msg/String').splitlines()


@pytest.mark.row('node list')
def test_node_list(ask):
    lines = ask('node', 'list').splitlines()
    assert sorted(line for line in lines if line in ('/talker', '/listener')) == ['/listener', '/talker']


@pytest.mark.row('node info')
def test_node_info(ask):
    talker = ask('node', 'info', '/talker')
    publishers = re.search(r'Publishers:\n(.*?)  Service Servers:', talker, re.DOTALL)[1]
    assert '/chatter: std_msgs/msg/String' in publishers
    assert '/talker/get_parameters: rcl_interfaces/srv/GetParameters' in talker
    listener = ask('node', 'info', '/listener')
    subscriptions = re.search(r'Subscribers:\n(.*?)  Publishers:', listener, re.DOTALL)[1]
    assert '/chatter: std_msgs/msg/String' in subscriptions


@pytest.mark.row('service list')
def test_service_list(ask):
    assert '/talker/list_parameters [rcl_interfaces/srv/ListParameters]' in ask('service', 'list', '-t').splitlines()


@pytest.mark.row('service type')
def test_service_type(ros, pair):
    run(['ros2', 'daemon', 'start'], ros)
    assert run(['ros2', 'service', 'type', '/talker/list_parameters'], ros).strip() == 'rcl_interfaces/srv/ListParameters'


@pytest.mark.row('param list')
def test_param_list(ask):
    assert 'use_sim_time' in ask('param', 'list', '/talker')
    everything = ask('param', 'list')
    assert '/talker:' in everything and '/listener:' in everything


@pytest.mark.row('topic echo')
def test_topic_echo(ask, ros):
    """`echo` takes the type from the graph, by the daemon or without it."""
    assert re.search(r"data: '?Hello World: \d+", ask('topic', 'echo', '--once', '/chatter'))


@pytest.mark.row('topic hz')
def test_topic_hz(ros, pair):
    with Process(['ros2', 'topic', 'hz', '/chatter'], ros) as hz:
        line = hz.wait_for('average rate', timeout=60)
        assert 0.8 < float(line.split(':')[1]) < 1.25, hz.output


@pytest.mark.row('topic bw')
def test_topic_bw(ros, pair):
    with Process(['ros2', 'topic', 'bw', '/chatter'], ros) as bandwidth:
        bandwidth.wait_for('B/s', timeout=60)


@pytest.mark.row('topic pub')
def test_topic_pub(ros, pair):
    _, ear = pair
    run(['ros2', 'topic', 'pub', '--times', '1', '-w', '1', '/chatter', 'std_msgs/msg/String', '{data: "from the shell"}'],
        ros, timeout=60)
    ear.wait_for('[from the shell]')


def test_a_killed_node_leaves_the_graph(ros, pair):
    """The node list of the daemon, which keeps running, loses a node that was killed."""
    run(['ros2', 'daemon', 'start'], ros)
    with Process(['ros2', 'run', 'demo_nodes_cpp', 'talker', '--ros-args', '-r', '__node:=victim'], ros) as victim:
        eventually(lambda: '/victim' in run(['ros2', 'node', 'list'], ros).splitlines())
        victim.kill()
    eventually(lambda: '/victim' not in run(['ros2', 'node', 'list'], ros).splitlines(), timeout=15)
