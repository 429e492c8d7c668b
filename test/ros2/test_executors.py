"""Executors of rclcpp over everything they can be woken by, and nodes that are composed into one process."""

import os
import re
from pathlib import Path

import pytest
from processes import Process, run

PROGRAM = Path(os.environ.get('HAZCAT_TEST_PROGRAMS', '')) / 'executors'


@pytest.mark.skipif(not PROGRAM.is_file(), reason='built only where rclcpp with an events executor is')
@pytest.mark.parametrize('executor', ['single', 'multi', 'events'])
def test_executors(ros, own_middleware, executor):
    """Messages, requests, answers and QoS events all come, also to the events executor, which never waits for them."""
    if not own_middleware:
        pytest.skip('others count lost messages otherwise')
    # Some times: what goes wrong when threads meet does not do so every time.
    for _ in range(3):
        with Process([PROGRAM, executor], ros) as process:
            assert process.wait(100) == 0, process.output


@pytest.mark.parametrize('container', ['component_container', 'component_container_mt', 'component_container_isolated'])
def test_composed_nodes(ros, node, container):
    """A talker and a listener loaded into one process talk, and stop when one is unloaded."""
    if 'composition::Talker' not in run(['ros2', 'component', 'types'], ros):
        pytest.skip('the package composition (of the demos) is not installed')
    process = node('rclcpp_components', container, '--ros-args', '-r', '__node:=container')
    loaded = {}
    for name in ('Talker', 'Listener'):
        output = run(['ros2', 'component', 'load', '/container', 'composition', f'composition::{name}'], ros)
        loaded[name] = re.search(r"Loaded component (\d+) into", output)[1]
    for _ in range(3):
        process.wait_for('I heard', timeout=60)
    assert '/listener' in run(['ros2', 'component', 'list', '/container'], ros)
    run(['ros2', 'component', 'unload', '/container', loaded['Listener']], ros)
    for _ in range(3):
        process.wait_for('Publishing', timeout=60)
    assert '/listener' not in run(['ros2', 'component', 'list', '/container'], ros)
