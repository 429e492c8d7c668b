"""What all Python tests share: where the package is installed, and shared memory of their own that must end up empty."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def prefix():
    """Install prefix of rmw_hazcat_rs."""
    return Path(os.environ['HAZCAT_INSTALL_PREFIX'])


@pytest.fixture(scope='session')
def ros2():
    """Whether the package was built with ROS 2."""
    return os.environ['HAZCAT_TEST_ENVIRONMENT'] == 'ros2'


@pytest.fixture
def shared_memory():
    """A folder of its own under /dev/shm, so that tests neither see nor disturb what else runs on the machine."""
    folder = Path(tempfile.mkdtemp(prefix='hazcat-test-', dir='/dev/shm'))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def environment(prefix, shared_memory):
    """Environment for programs that use the middleware."""
    return {
        **os.environ,
        'RMW_IMPLEMENTATION': 'rmw_hazcat_rs',
        'HAZCAT_ROOT': str(shared_memory),
        'LD_LIBRARY_PATH': os.pathsep.join(filter(None, [str(prefix / 'lib'), os.environ.get('LD_LIBRARY_PATH')])),
        'PYTHONUNBUFFERED': '1',
        'RCUTILS_LOGGING_BUFFERED_STREAM': '0',
        'RCUTILS_COLORIZED_OUTPUT': '0',
    }


def leftovers(folder):
    """Files under a folder of shared memory."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if not path.is_dir())
