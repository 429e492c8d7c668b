"""Surroundings of the tests that use ROS 2's own programs over rmw_hazcat_rs."""

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from processes import Process, run


def free_domain():
    """A domain id whose ros2 daemon would be ours: its port is not taken."""
    ids = list(range(20, 100))
    random.shuffle(ids)
    for domain in ids:
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', 11511 + domain))
                return domain
            except OSError:
                continue
    raise AssertionError('every ros2 daemon port from 11531 to 11610 is taken')


@pytest.fixture(scope='session')
def ros():
    """
    Environment for ROS 2 programs: this middleware, shared memory and a domain of their own.

    HAZCAT_TEST_RMW runs the same tests over another middleware, to tell its faults from the tests'.
    """
    folder = Path(tempfile.mkdtemp(prefix='hazcat-test-', dir='/dev/shm'))
    environment = {
        **os.environ,
        'RMW_IMPLEMENTATION': os.environ.get('HAZCAT_TEST_RMW', 'rmw_hazcat_rs'),
        'HAZCAT_ROOT': str(folder),
        'ROS_DOMAIN_ID': str(free_domain()),
        'ROS_LOG_DIR': str(folder / 'ros-log'),
        'PYTHONUNBUFFERED': '1',
        'RCUTILS_LOGGING_BUFFERED_STREAM': '0',
        'RCUTILS_LOGGING_USE_STDOUT': '1',
        'RCUTILS_COLORIZED_OUTPUT': '0',
    }
    yield environment
    subprocess.run(['ros2', 'daemon', 'stop'], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope='session')
def own_middleware(ros):
    """Whether the tests run over rmw_hazcat_rs."""
    return ros['RMW_IMPLEMENTATION'] == 'rmw_hazcat_rs'


@pytest.fixture
def node(ros):
    """Starts nodes with `node(package, executable, *arguments)`; they end with the test."""
    running = []

    def start(package, executable, *arguments):
        process = Process(['ros2', 'run', package, executable, *arguments], ros, name=f'{package} {executable}')
        running.append(process)
        return process

    yield start
    for process in reversed(running):
        process.stop()


@pytest.fixture
def program(ros):
    """Starts one of ours with `program(path, *arguments)`, and waits until it is ready; it is killed with the test."""
    running = []

    def start(path, *arguments):
        process = Process([sys.executable, path, *arguments], ros, name=' '.join(arguments[:2]))
        running.append(process)
        process.wait_for('ready', timeout=60)
        return process

    yield start
    for process in running:
        process.kill()
        process.stop()


@pytest.fixture(scope='session')
def need(ros):
    """
    Skips a test that needs what is not installed, and says what that is.

    `need(command='action')` is the command `ros2 action`, `need(package='lifecycle')` a package.
    """
    commands = {entry.name for entry in entry_points(group='ros2cli.command')}
    packages = set(run(['ros2', 'pkg', 'list'], ros).split())

    def need(*, command=None, package=None):
        if command and command not in commands:
            pytest.skip(f'the command `ros2 {command}` is not installed')
        if package and package not in packages:
            pytest.skip(f'the package {package} is not installed')

    return need


def pytest_configure(config):
    config.addinivalue_line('markers', 'row(name): the line of the table of commands that this test stands for')


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    report.rows = [mark.args[0] for mark in item.iter_markers('row')]


def pytest_terminal_summary(terminalreporter):
    """Prints the table of commands: a tick where all tests of a row passed."""
    table = {}
    for outcome in ('passed', 'skipped', 'failed', 'error'):
        for report in terminalreporter.stats.get(outcome, []):
            for row in getattr(report, 'rows', []):
                table.setdefault(row, []).append((outcome, report))
    if not table:
        return
    lines = []
    for row in sorted(table):
        outcomes = {outcome for outcome, _ in table[row]}
        if outcomes & {'failed', 'error'}:
            mark, why = '\u2717', ''
        elif 'skipped' in outcomes:
            mark = '-'
            why = next(str(report.longrepr[2]) for outcome, report in table[row] if outcome == 'skipped')
        else:
            mark, why = '\u2713', ''
        lines.append(f'{mark} {row:<28}{why}'.rstrip())
    terminalreporter.write_sep('=', f'ros2 over {os.environ.get("HAZCAT_TEST_RMW", "rmw_hazcat_rs")}')
    terminalreporter.write_line('\n'.join(lines))
    # For scripts/test, which shows it at its end.
    results = Path(os.environ['HAZCAT_TEST_RESULTS'])
    results.mkdir(parents=True, exist_ok=True)
    (results / 'ros2_commands.txt').write_text('\n'.join(lines) + '\n')
