"""
The tests that ROS 2 itself has for any middleware: the programs of its package test_rmw_implementation.

They are looked for in HAZCAT_TEST_RMW_IMPLEMENTATION_DIR (a folder with its test programs, usually
<workspace>/build/test_rmw_implementation), below the prefixes that are sourced, and in the build folders of workspaces
~/ros2_* (as ROS 2's instructions for a build from source name them).
"""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
from processes import Process

SUITES = [
    'client', 'create_destroy_node', 'duration_infinite', 'event', 'graph_api', 'init_options', 'init_shutdown',
    'publisher', 'publisher_allocator', 'qos_profile_check_compatible', 'serialize_deserialize', 'service',
    'subscription', 'subscription_allocator', 'unique_identifiers', 'wait_set',
]

# Cases that are known to fail or to be skipped ('suite.case'), each with its reason. One that passes may not stay here.
EXPECTED_FAILURES = {}


def candidates():
    named = os.environ.get('HAZCAT_TEST_RMW_IMPLEMENTATION_DIR')
    if named:
        yield Path(named)
        return
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        if prefix:
            yield Path(prefix) / 'lib' / 'test_rmw_implementation'
            yield Path(prefix).parent / 'build' / 'test_rmw_implementation'
            yield Path(prefix).parent.parent / 'build' / 'test_rmw_implementation'
    yield from sorted(Path.home().glob('ros2_*/build/test_rmw_implementation'))


def programs():
    for folder in candidates():
        if all((folder / f'test_{suite}').is_file() for suite in SUITES):
            return folder
    return None


FOLDER = programs()


@pytest.mark.skipif(FOLDER is None, reason='test_rmw_implementation is not built here; '
                                           'HAZCAT_TEST_RMW_IMPLEMENTATION_DIR can name the folder of its programs')
@pytest.mark.parametrize('suite', SUITES)
def test_rmw_implementation(suite, ros):
    results = Path(os.environ['HAZCAT_TEST_RESULTS']) / f'upstream_{suite}.gtest.xml'
    results.unlink(missing_ok=True)
    with Process([FOLDER / f'test_{suite}', f'--gtest_output=xml:{results}'], ros) as program:
        code = program.wait(300)
        tail = '\n'.join(program.lines[-100:])
    assert results.is_file(), f'ended with {code}:\n{tail}'
    cases = {f'{case.get("classname")}.{case.get("name")}': case for case in ElementTree.parse(results).iter('testcase')}
    assert cases
    not_passed = {name for name, case in cases.items()
                  if case.get('result') != 'completed' or case.find('failure') is not None}
    assert not_passed == EXPECTED_FAILURES.keys() & cases.keys(), tail
    assert code == 0 or not_passed, tail
