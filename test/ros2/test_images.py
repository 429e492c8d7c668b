"""Images in the memory of a device: rclcpp nodes that say so with a payload, nodes that are put there, and nodes that know nothing."""

import json
import re
import sys
from pathlib import Path
from subprocess import run as start

import pytest
from processes import Process, eventually, run

COUNT = 100
SEEN = re.compile(r'image (\d+): seen in (\S+), (\w+)')


@pytest.fixture(scope='module')
def programs(prefix, own_middleware):
    if not own_middleware:
        pytest.skip('only rmw_hazcat_rs has memory domains')
    folder = prefix / 'lib' / 'rmw_hazcat_rs'
    if not (folder / 'camera').is_file():
        pytest.skip('the image demos are built only where rclcpp is')
    return folder


@pytest.fixture
def loaning(ros):
    """rclcpp takes messages on loan only with this."""
    return {**ros, 'ROS_DISABLE_LOANED_MESSAGES': '0'}


def node(programs, which, name, **parameters):
    arguments = ['--ros-args', '-r', f'__node:={name}', '-r', f'image:=/{name.split("_")[0]}/image']
    for key, value in parameters.items():
        arguments += ['-p', f'{key}:={value}']
    return [programs / which, *arguments]


def seen(process):
    return [match.groups() for match in map(SEEN.search, process.lines) if match]


def topic_stats(prefix, ros, name):
    """What was counted on a topic."""
    listed = json.loads(run([prefix / 'bin' / 'hazcat', 'stats', '--json', '--root', ros['HAZCAT_ROOT']]))
    topics = [topic for directory in listed['directories'] for topic in directory['topics']]
    [found] = [topic for topic in topics if topic['name'].endswith(name)]
    return found


def test_one_copy_for_the_host_and_none_for_the_device(programs, prefix, ros, loaning):
    """A publisher on a device, a subscription that prefers it, and one that says nothing: both see every image."""
    device = node(programs, 'viewer', 'one_device', domain='sim:0', count=COUNT)
    host = node(programs, 'viewer', 'one_host', count=COUNT)
    # It stays, so that what was counted stays too.
    idle = node(programs, 'viewer', 'one_idle', domain='sim:0')
    camera = node(programs, 'camera', 'one_camera', domain='sim:0', count=COUNT, rate=100.0, wait_for=3)
    with Process(idle, loaning) as waiting, Process(device, loaning) as there, Process(host, ros) as here:
        with Process(camera, ros) as maker:
            assert maker.wait(100) == 0, maker.output
            assert len([line for line in maker.lines if 'made in sim:0' in line]) == COUNT
        assert there.wait(60) == 0, there.output
        assert here.wait(60) == 0, here.output
        eventually(lambda: len(seen(waiting)) == COUNT)
        assert seen(there) == [(str(number), 'sim:0', 'right') for number in range(1, COUNT + 1)]
        assert seen(here) == [(str(number), 'host', 'right') for number in range(1, COUNT + 1)]
        memory = {entry['memory']: entry['copies'] for entry in topic_stats(prefix, ros, '/one/image')['memory']}
        assert memory == {'host': COUNT, 'sim:0': 0}, 'one copy for each image, to the host'


def test_subscriptions_without_loans_get_copies_and_are_told_so(programs, ros):
    viewer = node(programs, 'viewer', 'two_viewer', domain='sim:0', count=5)
    with Process(viewer, ros) as ear, Process(node(programs, 'camera', 'two_camera', domain='sim:0'), ros):
        assert ear.wait(60) == 0, ear.output
        assert {where for _, where, right in seen(ear) if right == 'right'} == {'host'}
        assert ear.output.count('ROS_DISABLE_LOANED_MESSAGES=0') == 1, ear.output


def test_programs_that_know_nothing_are_put_on_devices_by_a_file(programs, prefix, ros, tmp_path):
    """Their messages are on the device, and nobody is handed an address there: rclpy, and rclcpp without a payload."""
    rules = tmp_path / 'rules.toml'
    rules.write_text('[[endpoint]]\ntopic = "/three/*"\ndomain = "sim:0"\n')
    environment = {**ros, 'HAZCAT_CONFIG': str(rules), 'HAZCAT_LOG': 'info', 'ROS_DISABLE_LOANED_MESSAGES': '0'}
    script = Path(__file__).parent / 'programs' / 'images.py'
    viewer = node(programs, 'viewer', 'three_viewer', count=5)
    with Process(viewer, environment) as ear, Process([sys.executable, script, '/three/image'], environment) as mouth:
        assert ear.wait(60) == 0, ear.output
        assert [where for _, where, right in seen(ear) if right == 'right'] == ['host'] * 5
        line = f"on topic '/three/image': messages in memory domain sim:0, simulated device 0 (asked for by {rules}, line 3"
        for process in (ear, mouth):
            assert line in process.output, process.output
        memory = topic_stats(prefix, ros, '/three/image')
        assert {end['memory'] for end in memory['publishers']} == {'sim:0'}


def test_a_domain_that_is_not_there_is_an_exception(programs, ros):
    """Also cuda, where there is no driver: the program finds out itself, or the middleware tells it."""
    done = start(node(programs, 'viewer', 'four_viewer', domain='sim:x'), env=ros, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "'sim:x' is no memory domain" in done.stderr and '/four/image' in done.stderr, done.stderr


def test_the_launch_file_shows_it(programs, ros):
    command = ['ros2', 'launch', 'rmw_hazcat_rs', 'images.launch.py', 'count:=10', 'rate:=50.0']
    with Process(command, ros) as launch:
        assert launch.wait(100) == 0, launch.output
        for viewer, where in (('device_viewer', 'sim:0'), ('host_viewer', 'host')):
            lines = [line for line in launch.lines if f'[{viewer}]' in line and f'seen in {where}, right' in line]
            assert len(lines) == 10, launch.output
