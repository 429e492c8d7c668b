#!/usr/bin/env python3
"""
Runs `cargo test` and writes a JUnit file with one case for each Rust test.

A run in which no test ran has failed: a filter that matches nothing must not pass for a success.

usage: cargo_test.py --result-file FILE --suite NAME plain|loom|asan [cargo arguments]
  plain  the tests as they are
  loom   the model checks: hazcat_core/tests/loom_*, compiled with --cfg loom
  asan   hazcat_core (but for kills and figures), and the library tests of rmw_hazcat_rs, under AddressSanitizer; skipped
         where the compiler has no sanitizer runtime
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

RUNNING = re.compile(r'^\s+Running (?:unittests )?(?P<source>\S+) \(.*?(?P<name>[^/]+?)-[0-9a-f]+\)$')
DOC_TESTS = re.compile(r'^\s+Doc-tests (?P<crate>\S+)$')
TEST = re.compile(r'^test (?P<name>.+?) \.\.\. (?P<result>ok|FAILED|ignored)(?P<reason>, .*)?$')
# A test that writes past the harness's capture puts its text between name and result.
STARTED = re.compile(r'^test (?P<name>\S+(?: - .+?)?) \.\.\. ')
ENDED = re.compile(r'^(?:.*\s)?(?P<result>ok|FAILED)$')
# cargo's line for a binary that failed, whether a test in it did or it came down as a whole
BROUGHT_DOWN = re.compile(r"^\s+process didn't exit successfully: .*\((?P<how>signal: .*)\)$")
OUTPUT_OF = re.compile(r'^---- (?P<name>.+) stdout ----$')


class Report:
    """What the lines of a `cargo test` run say."""

    def __init__(self):
        self.cases = []  # (binary, test, result, message)
        self.output = {}  # (binary, test) -> lines that it printed
        self._binary = 'cargo'
        self._open = None
        self._output_of = None

    def line(self, line):
        match = RUNNING.match(line)
        if match:
            source = Path(match['source']).stem
            # unit tests are named after their crate, integration tests after their file
            self._begin(match['name'] if source in ('lib', 'main') else source)
            return
        match = DOC_TESTS.match(line)
        if match:
            self._begin(match['crate'] + '.doc')
            return
        match = TEST.match(line)
        if match:
            self._case(match['name'], match['result'], (match['reason'] or '')[2:])
            return
        match = STARTED.match(line)
        if match:
            self._open = match['name']
            return
        match = ENDED.match(line) if self._open else None
        if match:
            self._case(self._open, match['result'], '')
            return
        match = BROUGHT_DOWN.match(line)
        if match:
            self._case('(the whole program)', 'FAILED', match['how'])
            return
        match = OUTPUT_OF.match(line)
        if match:
            self._output_of = (self._binary, match['name'])
            self.output[self._output_of] = []
        elif line in ('failures:', 'successes:'):
            self._output_of = None
        elif self._output_of:
            self.output[self._output_of].append(line)

    def _begin(self, binary):
        self.close()
        self._binary = binary
        self._output_of = None

    def close(self):
        """A test that never ended has brought its binary down."""
        if self._open:
            self._case(self._open, 'FAILED', 'began and never ended')

    def _case(self, name, result, message):
        self._open = None
        self.cases.append((self._binary, name.removesuffix(' - should panic'), result, message))

    def executed(self):
        return sum(result != 'ignored' for _, _, result, _ in self.cases)

    def failed(self):
        return sum(result == 'FAILED' for _, _, result, _ in self.cases)


def write_junit(path, suite, report, problem, tail, seconds):
    cases = list(report.cases)
    if problem:
        cases.append(('cargo', 'run', 'FAILED', problem + '\n' + tail))
    failures = sum(result == 'FAILED' for _, _, result, _ in cases)
    skipped = sum(result == 'ignored' for _, _, result, _ in cases)
    root = ElementTree.Element('testsuite', {
        'name': suite, 'tests': str(len(cases)), 'failures': str(failures), 'errors': '0',
        'skipped': str(skipped), 'time': f'{seconds:.1f}'})
    for binary, name, result, message in cases:
        case = ElementTree.SubElement(root, 'testcase', {'classname': f'{suite}.{binary}', 'name': name, 'time': '0'})
        if result == 'FAILED':
            text = '\n'.join(report.output.get((binary, name), [])) or message or 'failed'
            ElementTree.SubElement(case, 'failure', {'message': printable(text)})
        elif result == 'ignored':
            ElementTree.SubElement(case, 'skipped', {'message': printable(message or 'ignored')})
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding='utf-8', xml_declaration=True)


def printable(text):
    """XML cannot hold control characters."""
    return re.sub(r'[^\t\n\x20-\ud7ff\ue000-\ufffd]', '?', text)


def sanitizer_runtime(environment):
    sysroot = subprocess.run(
        ['rustc', '--print', 'sysroot'], env=environment, check=True, capture_output=True, text=True).stdout.strip()
    return list(Path(sysroot).glob('lib/rustlib/*-linux-gnu/lib/librustc*_rt.asan.a'))


def commands(what, cargo_arguments, environment):
    """The cargo command lines to run; None if this compiler cannot."""
    cargo = [environment.get('CARGO', 'cargo'), 'test', '--locked', '--no-fail-fast']
    if what == 'plain':
        return [cargo + cargo_arguments]
    if what == 'loom':
        models = sorted(path.stem for path in Path('hazcat_core/tests').glob('loom_*.rs'))
        models += sorted(path.parent.name for path in Path('hazcat_core/tests').glob('loom_*/main.rs'))
        selection = [argument for model in models for argument in ('--test', model)]
        environment['RUSTFLAGS'] = (environment.get('RUSTFLAGS', '') + ' --cfg loom').strip()
        return [cargo + ['--release', '--package', 'hazcat_core'] + selection + cargo_arguments] if models else []
    runtime = sanitizer_runtime(environment)
    if not runtime:
        return None
    target = runtime[0].parent.parent.name
    environment['RUSTC_BOOTSTRAP'] = '1'  # -Z on a stable compiler
    environment['RUSTFLAGS'] = (environment.get('RUSTFLAGS', '') + ' -Zsanitizer=address').strip()
    environment.setdefault('ASAN_OPTIONS', 'detect_leaks=1')  # the default; tests see by it what they run under
    cargo += ['--target', target]
    # What takes long and reads no byte that the others do not read.
    left_out = ('queue_kills', 'queue_scale', 'steady_state', 'fault_points')
    tests = sorted({path.parent.name for path in Path('hazcat_core/tests').glob('*/main.rs')}
                   | {path.stem for path in Path('hazcat_core/tests').glob('*.rs')})
    tests = [name for name in tests if not name.startswith(('loom_',) + left_out)]
    selection = [argument for name in tests for argument in ('--test', name)]
    return [
        cargo + ['--package', 'hazcat_core', '--lib'] + selection + cargo_arguments,
        cargo + ['--package', 'rmw_hazcat_rs', '--lib'] + cargo_arguments,
    ]


def run(command, environment, report, tail):
    print('+', ' '.join(command), flush=True)
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors='replace')
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        report.line(line.rstrip('\n'))
        tail.append(line)
        del tail[:-60]
    report.close()
    return process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--result-file', type=Path, required=True)
    parser.add_argument('--suite', required=True)
    parser.add_argument('what', choices=('plain', 'loom', 'asan'))
    arguments, cargo_arguments = parser.parse_known_args()

    environment = dict(os.environ)
    # One group of lines per test binary, in order, without colours.
    environment['CARGO_TERM_COLOR'] = 'never'
    environment.pop('CARGO_BUILD_TARGET', None)  # programs are looked for where cargo puts those of this machine
    start = time.monotonic()
    report, tail, code = Report(), [], 0
    lines = commands(arguments.what, cargo_arguments, environment)
    if lines is None:
        reason = 'this compiler has no AddressSanitizer runtime'
        print('skipped:', reason)
        report.cases.append(('cargo', arguments.what, 'ignored', reason))
        write_junit(arguments.result_file, arguments.suite, report, '', '', 0)
        return 0
    for command in lines:
        code = run(command, environment, report, tail) or code
    problem = ''
    if code and not report.failed():
        problem = f'cargo ended with {code}'
    elif not report.executed():
        problem = 'no test ran'
    write_junit(arguments.result_file, arguments.suite, report, problem, ''.join(tail), time.monotonic() - start)
    print(f'{arguments.suite}: {report.executed()} ran, {report.failed()} failed{"; " + problem if problem else ""}')
    return 1 if code or problem else 0


if __name__ == '__main__':
    sys.exit(main())
