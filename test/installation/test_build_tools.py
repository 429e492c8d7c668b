"""How the build finds its tools on machines that have several, or none."""

import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def cargo(folder, version):
    """A program that says it is cargo of that version."""
    folder.mkdir(parents=True)
    program = folder / 'cargo'
    program.write_text(f'#!/bin/sh\necho "cargo {version}"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def choose(tmp_path):
    """Runs cmake/cargo.cmake as a script: its output, and whether it was content."""
    def run(home, *path, arguments=()):
        environment = {'HOME': str(home), 'PATH': os.pathsep.join([*map(str, path), str(tmp_path / 'none')])}
        done = subprocess.run([cmake, *arguments, '-P', REPOSITORY / 'cmake/cargo.cmake'], env=environment, cwd=tmp_path,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.stdout, done.returncode == 0
    cmake = subprocess.run(['which', 'cmake'], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return run


def test_the_first_cargo_of_path_is_taken_where_it_is_recent_enough(tmp_path, choose):
    first, second = cargo(tmp_path / 'first', '1.90.0'), cargo(tmp_path / 'second', '1.95.0')
    output, content = choose(tmp_path, first.parent, second.parent)
    assert content and f'cargo: {first} 1.90.0' in output


def test_an_old_cargo_of_the_distribution_is_passed_over(tmp_path, choose):
    old, home = cargo(tmp_path / 'old', '1.75.0'), tmp_path / 'home'
    rustup = cargo(home / '.cargo/bin', '1.95.0')
    for path in [(old.parent,), (rustup.parent, old.parent), (old.parent, rustup.parent), ()]:
        output, content = choose(home, *path)
        assert content and f'cargo: {rustup} 1.95.0' in output, path


def test_a_refusal_names_what_there_is(tmp_path, choose):
    old = cargo(tmp_path / 'old', '1.75.0')
    output, content = choose(tmp_path, old.parent)
    assert not content and f'{old} (1.75.0)' in ' '.join(output.split())
    output, content = choose(tmp_path, arguments=[f'-DHAZCAT_CARGO={tmp_path}/nowhere'])
    assert not content and 'nowhere (does not run)' in ' '.join(output.split())


def test_a_python_that_lacks_a_module_is_passed_over(tmp_path):
    """A virtual environment with catkin_pkg and empy, but without lark: enough for ament, not for rosidl."""
    program = tmp_path / 'bin/python3'
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ncase "$*" in *lark*) exit 1 ;; esac\nexec /usr/bin/python3 "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, 'PATH': f'{program.parent}:{os.environ["PATH"]}'}
    done = subprocess.run(['cmake', '-P', REPOSITORY / 'cmake/python.cmake'], env=environment, cwd=tmp_path,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0 and 'Python: /usr/bin/python3' in done.stdout, done.stdout


PREFIXES = """
set(PROJECT_NAME rmw_hazcat_rs)
set(CMAKE_INSTALL_PREFIX {install})
set(CMAKE_DISABLE_FIND_PACKAGE_rmw TRUE)
include({repository}/cmake/environment.cmake)
message(STATUS "prefixes: ${{HAZCAT_AMENT_PREFIX_PATH}}")
"""


def test_our_own_prefix_is_not_searched_unless_others_are_in_it(tmp_path):
    """Build scripts start anew when it comes and goes; in a merged install, all that they need may be there."""
    install, other = tmp_path / 'install', tmp_path / 'other'
    packages = install / 'share/ament_index/resource_index/packages'
    packages.mkdir(parents=True)
    script = tmp_path / 'prefixes.cmake'
    script.write_text(PREFIXES.format(install=install, repository=REPOSITORY))
    environment = {'AMENT_PREFIX_PATH': f'{install}:{other}', 'PATH': os.environ['PATH']}
    for package, expected in (('rmw_hazcat_rs', f'{other}'), ('rcl', f'{install}:{other}')):
        (packages / package).touch()
        done = subprocess.run(['cmake', '-P', script], env=environment, cwd=tmp_path, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        assert f'prefixes: {expected}\n' in done.stdout, done.stdout


def test_the_scripts_find_cargo_without_a_home(tmp_path):
    found = cargo(tmp_path / 'bin', '1.95.0')
    environment = {key: value for key, value in os.environ.items() if key not in ('HOME', 'CARGO_HOME')}
    environment['PATH'] = f'{found.parent}:{environment["PATH"]}'
    command = f'set -eu; . "{REPOSITORY}/scripts/setup.bash"; usable_cargo'
    done = subprocess.run(['bash', '-c', command], env=environment, stdout=subprocess.PIPE, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == (str(found), 0)
