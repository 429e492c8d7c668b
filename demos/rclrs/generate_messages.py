#!/usr/bin/env python3
"""
Makes Rust of the messages that the demos and rclrs itself use, from the .idl files of the ROS 2 that is sourced.

rclrs takes its messages from <prefix>/share/<package>/rust of every prefix in AMENT_PREFIX_PATH (its dependency ros-env
does). Distributions before Lyrical do not install them, so this runs upstream's rosidl_generator_rs over the few packages
that are needed. The generator is the one that is sourced (ros-<distro>-rosidl-generator-rs), or else it is fetched, at a
fixed commit, into the output folder. AMENT_PREFIX_PATH must then begin with that folder:

    python3 generate_messages.py --output /tmp/messages
    AMENT_PREFIX_PATH=/tmp/messages:$AMENT_PREFIX_PATH cargo build
"""

import argparse
import json
import os
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

# The first six are used by rclrs; a distribution that lacks one (Humble: service_msgs) does not need it.
PACKAGES = ['builtin_interfaces', 'service_msgs', 'unique_identifier_msgs', 'action_msgs', 'rcl_interfaces', 'rosgraph_msgs',
            'std_msgs', 'example_interfaces']
GENERATOR = 'rosidl_generator_rs'
REPOSITORY = 'https://github.com/ros2-rust/rosidl_rust'
COMMIT = 'de743fcc9a5d4c4a4fa5327a01dbe53639e6a77e'


def find_sourced(path):
    """`path` in the first sourced prefix that has it, or None."""
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    return next((Path(prefix) / path for prefix in prefixes if prefix and (Path(prefix) / path).exists()), None)


def fetch_generator(folder, repository):
    """The program and the templates of the generator in a checkout of its repository."""
    checkout = folder / 'rosidl_rust'
    program = checkout / GENERATOR / 'bin' / GENERATOR
    if not program.is_file():
        checkout.mkdir(parents=True, exist_ok=True)
        # Never asks for a password; gives up where a firewall swallows the packets.
        environment = {**os.environ, 'GIT_TERMINAL_PROMPT': '0'}
        for command in (['init', '--quiet'], ['fetch', '--quiet', '--depth', '1', repository, COMMIT],
                        ['checkout', '--quiet', '--force', COMMIT]):
            subprocess.run(['git', '-C', checkout, *command], check=True, timeout=120, env=environment,
                           capture_output=True, text=True)
    return program, checkout / GENERATOR / 'resource'


def find_generator(folder, repository):
    program, templates = find_sourced(f'lib/{GENERATOR}/{GENERATOR}'), find_sourced(f'share/{GENERATOR}/resource')
    if program and templates:
        return program, templates
    try:
        return fetch_generator(folder, repository)
    except (OSError, subprocess.SubprocessError) as error:
        why = (getattr(error, 'stderr', None) or str(error)).strip()
        package = f'ros-{os.environ.get("ROS_DISTRO", "<distro>")}-{GENERATOR.replace("_", "-")}'
        sys.exit(f'error: {GENERATOR} is not installed (package {package}), and cannot be fetched: {why}')


def generate(generator, package, folder, dependencies, output):
    """Run the generator over all interfaces of one package."""
    program, templates = generator
    files = sorted(path for kind in ('msg', 'srv', 'action') for path in (folder / kind).glob('*.idl'))
    target = output / 'share' / package
    target.mkdir(parents=True, exist_ok=True)
    arguments = output / f'{package}.json'
    arguments.write_text(json.dumps({
        'package_name': package,
        'package_version': xml.etree.ElementTree.parse(folder / 'package.xml').findtext('version'),
        'idl_tuples': [f'{folder}:{path.relative_to(folder)}' for path in files],
        'ros_interface_dependencies': [f'{dependency}:' for dependency in dependencies],
        'output_dir': str(target),
        'template_dir': str(templates),
        'target_dependencies': [str(program), *map(str, files)],
    }))
    subprocess.run([sys.executable, program, '--generator-arguments-file', arguments, '--typesupport-impls',
                    'rosidl_typesupport_c'], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--output', required=True, type=Path, help='becomes a prefix with share/<package>/rust')
    parser.add_argument('--repository', default=REPOSITORY, help='where to fetch the generator if none is sourced')
    options = parser.parse_args()

    folders = {package: folder for package in PACKAGES if (folder := find_sourced(f'share/{package}'))}
    if all((folder / 'rust' / 'Cargo.toml').is_file() for folder in folders.values()):
        return
    generator = find_generator(options.output, options.repository)
    for package, folder in folders.items():
        generate(generator, package, folder, [other for other in folders if other != package], options.output)


if __name__ == '__main__':
    main()
