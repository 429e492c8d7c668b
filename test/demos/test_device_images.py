"""A camera and viewers on the simulated device, through the exported C symbols and nothing else."""

import os
import re
import shutil
from pathlib import Path

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


@pytest.fixture(scope='module')
def cuda_driver(tmp_path_factory):
    """The folder of the CUDA driver without a GPU that hazcat_core is tested with."""
    folder = tmp_path_factory.mktemp('driver')
    beside = Path(os.environ['CARGO']).with_name('rustc')
    compiler = beside if beside.is_file() else shutil.which('rustc')
    if not compiler:
        pytest.skip('no rustc at hand to build the driver')
    source = Path(__file__).parents[2] / 'hazcat_core' / 'tests' / 'fake_cuda' / 'lib.rs'
    run([compiler, '--edition', '2021', '--crate-name', 'cuda', '--crate-type', 'cdylib', '-o', folder / 'libcuda.so.1', source],
        timeout=200)
    return folder


def test_images_in_the_memory_of_a_cuda_device(programs, environment, cuda_driver):
    """Nothing but the driver is not real: streams, kernels and the memory between the processes are CUDA's as it sees them."""
    environment = {**environment, 'LD_LIBRARY_PATH': f'{cuda_driver}:{environment["LD_LIBRARY_PATH"]}'}
    camera, viewer = programs
    options = ['--count', '10', '--timeout', '60']
    with Process([viewer, '--domain', 'cuda:0', *options], environment) as there:
        with Process([viewer, *options], environment) as here:
            run([camera, '--domain', 'cuda:0', '--rate', '50', '--wait-for', '2', *options], environment)
            for process, where in ((there, 'cuda:'), (here, 'host')):
                assert process.wait(60) == 0, process.output
                found = [match.groups() for match in map(SEEN.match, process.lines) if match]
                assert [(number, right) for number, _, right in found] == [(str(at), 'right') for at in range(1, 11)]
                assert all(seen.startswith(where) for _, seen, _ in found), process.output


def test_without_a_cuda_driver_programs_say_so(programs, environment, tmp_path):
    (tmp_path / 'libcuda.so.1').write_text('none')
    environment = {**environment, 'LD_LIBRARY_PATH': f'{tmp_path}:{environment["LD_LIBRARY_PATH"]}'}
    for program in programs:
        with Process([program, '--domain', 'cuda:0', '--timeout', '5'], environment) as process:
            assert process.wait(60) == 1
            assert 'no CUDA driver' in process.output, process.output
