"""A camera and viewers on the simulated device, through the exported C symbols and nothing else."""

import re

import pytest
from processes import Process, run

SEEN = re.compile(r'image (\d+): seen in (\S+), (\w+)')


@pytest.fixture
def programs(prefix):
    folder = prefix / 'lib' / 'rmw_hazcat_rs'
    return folder / 'c_camera', folder / 'c_viewer'


def test_viewers_on_the_device_and_on_the_host_see_every_image(programs, environment):
    camera, viewer = programs
    options = ['--count', '30', '--timeout', '60']
    with Process([viewer, '--domain', 'sim:0', *options], environment) as there:
        with Process([viewer, *options], environment) as here:
            run([camera, '--domain', 'sim:0', '--rate', '100', '--wait-for', '2', *options], environment)
            for process, where in ((there, 'sim:0'), (here, 'host')):
                assert process.wait(60) == 0, process.output
                found = [match.groups() for match in map(SEEN.match, process.lines) if match]
                assert found == [(str(number), where, 'right') for number in range(1, 31)]


def test_images_of_the_host_are_seen_on_the_device(programs, environment):
    camera, viewer = programs
    options = ['--count', '10', '--timeout', '60']
    with Process([viewer, '--domain', 'sim:1', *options], environment) as there:
        run([camera, '--rate', '100', '--wait-for', '1', *options], environment)
        assert there.wait(60) == 0, there.output
        assert there.output.count('seen in sim:1, right') == 10
