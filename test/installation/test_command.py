"""The command `hazcat`, as it is installed."""

import json

import pytest
from processes import run


@pytest.mark.parametrize('place', ['bin/hazcat', 'lib/rmw_hazcat_rs/hazcat'])
def test_hazcat_runs_from_where_a_shell_and_ros2_run_look(prefix, tmp_path, place):
    listed = json.loads(run([prefix / place, 'list', '--json', '--root', tmp_path]))
    assert listed == {'format': 1, 'directories': [], 'isolated': [], 'problems': []}
    assert '0 files' in run([prefix / place, 'clean', '--root', tmp_path])
