#!/usr/bin/env python3
"""Round trips between two rclcpp processes over several rmw implementations, taken in turn.

A message of N bytes goes one way, 8 bytes come back. Builds the programs first where that has not been done. Needs a sourced
ROS 2; rmw_hazcat_rs from a sourced workspace, or from --prefix. Prints a table and writes results.json.
"""

import argparse
import dataclasses
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / 'install' / 'lib' / 'rmw_hazcat_bench'

HAZCAT = 'rmw_hazcat_rs'
CYCLONE = 'rmw_cyclonedds_cpp'
FAST = 'rmw_fastrtps_cpp'

KIB = 1 << 10
MIB = 1 << 20
SIZES = (64, KIB, 64 * KIB, MIB, 8 * MIB)

# Longest time one measurement may take, in seconds.
WATCHDOG = 120


@dataclasses.dataclass(frozen=True)
class Work:
    """What is sent: `kind` is bytes (a uint8[]) or fixed (a struct, loaned where that is possible)."""

    kind: str
    size: int

    def name(self):
        if self.size >= MIB:
            return f'{self.size // MIB} MiB'
        return f'{self.size // KIB} KiB' if self.size >= KIB else f'{self.size} B'

    def rounds(self, quick):
        rounds = 2000 if self.size < MIB else 500 if self.size < 8 * MIB else 100
        return rounds // 5 if quick else rounds


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rmw', nargs='+', default=[HAZCAT, CYCLONE, FAST], help='implementations, in this order')
    parser.add_argument('--kinds', nargs='+', choices=['bytes', 'fixed'], default=['bytes', 'fixed'])
    parser.add_argument('--sizes', nargs='+', type=int, choices=SIZES, default=list(SIZES), metavar='BYTES')
    parser.add_argument('--quick', action='store_true', help='a fifth of the rounds, two repetitions')
    parser.add_argument('--repetitions', type=int, help='each with fresh processes (default 5); medians over them')
    parser.add_argument('--depth', type=int, default=10, help='history depth of all endpoints')
    parser.add_argument('--cores', help='pin the two processes, as in 0,1 (default: not pinned)')
    parser.add_argument('--prefix', type=Path, action='append', default=[],
                        help='install prefix that is not sourced, of rmw_hazcat_rs for instance')
    parser.add_argument('--out', type=Path, default=HERE / 'results', help='folder for results.json')
    parser.add_argument('--rebuild', action='store_true', help='build the programs again')
    parser.add_argument('--cmake-args', nargs='*', default=[], help='for the build, as in -DPython3_EXECUTABLE=...')
    parser.add_argument('--check', action='store_true', help='end with an error where a target is missed')
    return parser.parse_args()


def build(options):
    """Builds and installs the programs beside this file."""
    if (PROGRAMS / 'round_trip').exists() and not options.rebuild:
        return
    if 'AMENT_PREFIX_PATH' not in os.environ:
        sys.exit('Source a ROS 2 first (as in: source /opt/ros/jazzy/setup.bash).')
    python = [f'-D{name}_EXECUTABLE={sys.executable}' for name in ('Python3', 'PYTHON')]
    configure = ['cmake', '-S', HERE, '-B', HERE / 'build', f'-DCMAKE_INSTALL_PREFIX={HERE / "install"}',
                 '-DCMAKE_BUILD_TYPE=Release', *python, *options.cmake_args]
    steps = [configure, ['cmake', '--build', HERE / 'build', '--parallel', '2'], ['cmake', '--install', HERE / 'build']]
    for step in steps:
        print('+', *step, file=sys.stderr)
        subprocess.run(step, check=True, stdout=subprocess.DEVNULL)


def environment(rmw, kind, prefixes, domain):
    """Environment of both processes. Loans are allowed for subscriptions only where loans are measured."""
    result = dict(os.environ)
    for prefix in [*prefixes, HERE / 'install']:
        for variable, path in (('AMENT_PREFIX_PATH', prefix), ('LD_LIBRARY_PATH', prefix / 'lib')):
            result[variable] = os.pathsep.join(filter(None, [str(path), result.get(variable)]))
    result.update(
        RMW_IMPLEMENTATION=rmw, ROS_DOMAIN_ID=str(domain), ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST',
        ROS_DISABLE_LOANED_MESSAGES='0' if kind == 'fixed' else '1', ROS_LOG_DIR=tempfile.gettempdir())
    return result


def measure(rmw, work, options, domain):
    """Figures of one pair of fresh processes, in microseconds; raises RuntimeError where they have none."""
    rounds = work.rounds(options.quick)
    settings = [work.kind, str(work.size), str(rounds), str(max(10, rounds // 10)), str(options.depth)]
    cores = options.cores.split(',') if options.cores else [None, None]

    def start(role, core):
        pin = ['taskset', '-c', core] if core else []
        return subprocess.Popen(
            [*pin, PROGRAMS / 'round_trip', role, *settings], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment(rmw, work.kind, options.prefix, domain))

    pong = start('pong', cores[1])
    ping = start('ping', cores[0])
    try:
        out, error = ping.communicate(timeout=WATCHDOG)
        if ping.returncode != 0:
            raise RuntimeError(f'ping: {error.strip() or ping.returncode}')
        return json.loads(out.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise RuntimeError(f'no end after {WATCHDOG} s') from None
    finally:
        ping.kill()
        pong.send_signal(signal.SIGINT)
        try:
            pong.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            pong.kill()
            pong.communicate()


def floor(options):
    """Median of two bare futex wakes, in microseconds."""
    pin = ['taskset', '-c', options.cores] if options.cores else []
    result = subprocess.run([*pin, PROGRAMS / 'futex_floor', '2000'], check=True, capture_output=True, text=True)
    return json.loads(result.stdout)['median_us']


def run(options):
    """All measurements: the implementations in turn within each kind of work, all work in each repetition."""
    repetitions = options.repetitions or (2 if options.quick else 5)
    works = [Work(kind, size) for kind in options.kinds for size in sorted(options.sizes)]
    cells = {(work, rmw): {'repetitions': [], 'failures': []} for work in works for rmw in options.rmw}
    floors = []
    domain = os.getpid() % 90 + 10
    for repetition in range(repetitions):
        print(f'repetition {repetition + 1} of {repetitions}', file=sys.stderr)
        floors.append(floor(options))
        for work in works:
            turn = repetition % len(options.rmw)
            for rmw in options.rmw[turn:] + options.rmw[:turn]:
                try:
                    cells[work, rmw]['repetitions'].append(measure(rmw, work, options, domain))
                except RuntimeError as error:
                    print(f'{rmw} {work.kind} {work.name()}: {error}', file=sys.stderr)
                    cells[work, rmw]['failures'].append(str(error))
    for cell in cells.values():
        for figure in ('median_us', 'p99_us'):
            values = [one[figure] for one in cell['repetitions']]
            cell[figure] = statistics.median(values) if values else None
        cell['loaned'] = any(one['loaned'] for one in cell['repetitions'])
    return cells, statistics.median(floors)


def judge(cells):
    """The project's targets: text, value, limit, met (None where something was not measured)."""
    def median(kind, size, rmw):
        return cells.get((Work(kind, size), rmw), {}).get('median_us')

    def faster(size, other, least):
        ours, theirs = median('bytes', size, HAZCAT), median('bytes', size, other)
        value = theirs / ours if ours and theirs else None
        text = f'uint8[] {Work("bytes", size).name()}: times faster than {other}'
        return text, value, f'>= {least}', None if value is None else value >= least

    targets = [faster(64, CYCLONE, 1.0)]
    targets += [faster(size, other, least) for size, least in ((MIB, 2.5), (8 * MIB, 8.0)) for other in (CYCLONE, FAST)]
    loaned = [median('fixed', size, HAZCAT) for size in SIZES if size >= KIB]
    value = max(loaned) / min(loaned) if all(loaned) else None
    targets.append(('fixed, loaned, 1 KiB to 8 MiB: slowest / fastest size', value, '<= 1.15',
                    None if value is None else value <= 1.15))
    return targets


def shown(cell):
    """One cell of the table."""
    if cell['median_us'] is None:
        return '-'
    mark = '*' if cell['loaned'] else ' '
    return f'{cell["median_us"]:.1f} ({cell["p99_us"]:.1f}){mark}'


def table(options, cells, floor_us, targets):
    """The table for people."""
    lines = [f'Round trip, N bytes there and 8 bytes back, two rclcpp processes: median (p99) in us; '
             f'* loaned; two bare futex wakes: {floor_us:.1f}']
    works = list(dict.fromkeys(work for work, _ in cells))
    others = [rmw for rmw in options.rmw if rmw != HAZCAT] if HAZCAT in options.rmw else []
    for kind in options.kinds:
        heading = [f'{kind:<10}', *(f'{rmw:>24}' for rmw in options.rmw), *(f'{rmw + " / ours":>28}' for rmw in others)]
        lines += ['', ''.join(heading)]
        for work in (work for work in works if work.kind == kind):
            line = f'{work.name():<10}'
            for rmw in options.rmw:
                line += f'{shown(cells[work, rmw]):>24}'
            ours = cells.get((work, HAZCAT), {}).get('median_us')
            for rmw in others:
                theirs = cells[work, rmw]['median_us']
                line += f'{f"{theirs / ours:.2f} x" if ours and theirs else "-":>28}'
            lines.append(line)
    lines += ['', 'Targets']
    for text, value, limit, met in targets:
        mark = {True: 'pass', False: 'FAIL', None: '----'}[met]
        measured = 'not measured' if value is None else f'{value:.2f}'
        lines.append(f'  [{mark}] {text:<56} {measured} ({limit})')
    return '\n'.join(lines)


def main():
    options = parse_arguments()
    build(options)
    load = os.getloadavg()[0]
    cells, floor_us = run(options)
    targets = judge(cells)
    options.out.mkdir(parents=True, exist_ok=True)
    record = {
        'format': 1, 'machine': platform.platform(), 'cores': options.cores, 'load_before': load, 'depth': options.depth,
        'two_futex_wakes_us': floor_us,
        'cells': [{'kind': work.kind, 'size': work.size, 'rmw': rmw, **cell} for (work, rmw), cell in cells.items()],
        'targets': [dict(zip(('what', 'value', 'limit', 'met'), target)) for target in targets],
    }
    (options.out / 'results.json').write_text(json.dumps(record, indent=1) + '\n')
    print(table(options, cells, floor_us, targets))
    if load > 0.5:
        print(f'NOTE: the machine was busy with other work when this began (load {load:.2f}).')
    print(options.out / 'results.json')
    failed = any(cell['failures'] for cell in cells.values())
    missed = options.check and not all(met for *_, met in targets)
    return 1 if failed or missed else 0


if __name__ == '__main__':
    sys.exit(main())
