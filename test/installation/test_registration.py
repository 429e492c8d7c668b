"""What an installed rmw_hazcat_rs must offer to the packages that look for a middleware."""

import os
import re
import sys

import pytest
from processes import run

TYPE_SUPPORTS = {
    'rmw_typesupport_c': 'rosidl_typesupport_introspection_c',
    'rmw_typesupport_cpp': 'rosidl_typesupport_introspection_cpp',
}


@pytest.fixture
def index(prefix):
    return prefix / 'share' / 'ament_index' / 'resource_index'


def test_it_is_registered_as_a_middleware(index):
    for kind, type_support in TYPE_SUPPORTS.items():
        assert type_support in (index / kind / 'rmw_hazcat_rs').read_text().split(';')
        assert type_support in (index / 'rmw_typesupport' / 'rmw_hazcat_rs').read_text().split(';')
    assert (index / 'packages' / 'rmw_hazcat_rs').is_file()


def test_the_library_needs_librcutils_and_the_c_library_only(prefix):
    dynamic = run(['readelf', '--dynamic', prefix / 'lib' / 'librmw_hazcat_rs.so'])
    needed = set(re.findall(r'NEEDED.*\[(.*?)\]', dynamic))
    allowed = re.compile(r'librcutils\.so.*|libc\.so\.6|libm\.so\.6|libgcc_s\.so\.1|ld-linux-.*\.so\.\d')
    assert {name for name in needed if not allowed.fullmatch(name)} == set()
    assert any(name.startswith('librcutils.so') for name in needed)


def test_the_library_resolves_all_its_symbols(prefix):
    """As rmw_implementation opens it: every symbol bound at once, in a process that has loaded nothing else."""
    run([sys.executable, '-c', 'import ctypes, os, sys; ctypes.CDLL(sys.argv[1], os.RTLD_NOW | os.RTLD_LOCAL)',
         prefix / 'lib' / 'librmw_hazcat_rs.so'])


CONSUMER = """
cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(rmw_hazcat_rs REQUIRED)
add_executable(consumer consumer.c)
target_link_libraries(consumer ${rmw_hazcat_rs_TARGETS})
"""
CONSUMER_SOURCE = """
#include <stdio.h>
#include "rmw/rmw.h"
#include "rmw_hazcat_rs/msg/text.h"
int main(void) {
  rmw_hazcat_rs__msg__Text * text = rmw_hazcat_rs__msg__Text__create();
  rmw_hazcat_rs__msg__Text__destroy(text);
  puts(rmw_get_implementation_identifier());
  return 0;
}
"""


def test_cmake_finds_and_links_it(prefix, environment, tmp_path):
    (tmp_path / 'CMakeLists.txt').write_text(CONSUMER)
    (tmp_path / 'consumer.c').write_text(CONSUMER_SOURCE)
    prefix_path = os.pathsep.join(filter(None, [str(prefix), environment.get('CMAKE_PREFIX_PATH')]))
    build_environment = {**environment, 'CMAKE_PREFIX_PATH': prefix_path}
    run(['cmake', '-S', tmp_path, '-B', tmp_path / 'build', '-DPython3_EXECUTABLE=/usr/bin/python3'], build_environment)
    run(['cmake', '--build', tmp_path / 'build'], build_environment, timeout=120)
    assert run([tmp_path / 'build' / 'consumer'], environment).strip() == 'rmw_hazcat_rs'


AVAILABLE = """
cmake_minimum_required(VERSION 3.16)
project(available NONE)
find_package(rmw REQUIRED)
find_package(rmw_implementation_cmake REQUIRED)
get_available_rmw_implementations(found)
get_rmw_typesupport(c rmw_hazcat_rs LANGUAGE c)
get_rmw_typesupport(cpp rmw_hazcat_rs LANGUAGE cpp)
message(STATUS "available: ${found}")
message(STATUS "c: ${c}")
message(STATUS "cpp: ${cpp}")
"""


def test_rmw_implementation_cmake_lists_it(prefix, environment, ros2, tmp_path):
    if not ros2:
        pytest.skip('rmw_implementation_cmake comes with ROS 2 only')
    (tmp_path / 'CMakeLists.txt').write_text(AVAILABLE)
    output = run(['cmake', '-S', tmp_path, '-B', tmp_path / 'build', '-DPython3_EXECUTABLE=/usr/bin/python3'],
                 {**environment, 'AMENT_PREFIX_PATH': f'{prefix}:{environment["AMENT_PREFIX_PATH"]}'})
    assert re.search(r'available: .*\brmw_hazcat_rs\b', output)
    assert 'c: rosidl_typesupport_c;rosidl_typesupport_introspection_c' in output
    assert 'cpp: rosidl_typesupport_cpp;rosidl_typesupport_introspection_cpp' in output


@pytest.mark.parametrize('header', ['memory_domain.h', 'simulated_device.h'])
@pytest.mark.parametrize('compiler', [['cc', '-x', 'c', '-std=c11', '-pedantic'], ['c++', '-x', 'c++', '-std=c++17']],
                         ids=['c', 'c++'])
def test_applications_can_include_our_headers(prefix, tmp_path, header, compiler):
    source = tmp_path / 'application'
    source.write_text(f'#include "rmw_hazcat_rs/{header}"\n'
                      'int main(void) {return (int)rmw_hazcat_rs_memory_domain("sim:0").size;}\n')
    run([*compiler, '-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-I',
         prefix / 'include' / 'rmw_hazcat_rs', source])
