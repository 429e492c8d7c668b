#!/usr/bin/env python3
"""
Counts single test cases in the JUnit files below a build folder of colcon.

usage: test_results.py [--path-name NAME] BUILD_FOLDER...

Prints one line per file, every failure, every reason for a skip, and at the end `NAME: N passed, N failed, N skipped`.
Exit code 1: a case failed, or there was none.
"""

import argparse
import sys
from pathlib import Path
from xml.etree import ElementTree


def outcome(case):
    for kind, tag in (('failed', 'failure'), ('failed', 'error'), ('skipped', 'skipped')):
        element = case.find(tag)
        if element is not None:
            return kind, (element.get('message') or element.text or '').strip()
    if case.get('status') == 'notrun':  # how gtest says "disabled"
        return 'skipped', 'disabled'
    return 'passed', ''


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--path-name', default='total')
    parser.add_argument('folders', type=Path, nargs='+')
    arguments = parser.parse_args()

    total = {'passed': 0, 'failed': 0, 'skipped': 0}
    files = sorted(path for folder in arguments.folders for path in folder.glob('*/test_results/*/*.xml'))
    for path in files:
        count = dict.fromkeys(total, 0)
        details = []
        try:
            cases = list(ElementTree.parse(path).iter('testcase'))
        except ElementTree.ParseError as error:
            count['failed'] += 1
            details.append(f'    FAILED  unreadable result file: {error}')
            cases = []
        for case in cases:
            kind, message = outcome(case)
            count[kind] += 1
            if kind != 'passed':
                first_line = message.splitlines()[0] if message else ''
                details.append(f'    {kind if kind == "skipped" else "FAILED "}  {case.get("classname")}.{case.get("name")}'
                               f'{": " if first_line else ""}{first_line[:200]}')
        name = path.name.split('.')[0]
        print(f'  {name}: {count["passed"]} passed, {count["failed"]} failed, {count["skipped"]} skipped')
        print(*details, sep='\n', end='\n' if details else '')
        for kind in total:
            total[kind] += count[kind]
    print(f'{arguments.path_name}: {total["passed"]} passed, {total["failed"]} failed, {total["skipped"]} skipped')
    return 1 if total['failed'] or not total['passed'] else 0


if __name__ == '__main__':
    sys.exit(main())
