"""
QoS events between processes, told by rclpy without a message: deadlines, leases, peers that stop or are killed.

The counts are those of Cyclone DDS and Fast DDS: HAZCAT_TEST_RMW runs the same tests over them.
"""

import functools
import json
import signal
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / 'programs' / 'qos_events.py'
# Longer than a loaded machine keeps a process waiting.
LEASE = 1.5


@pytest.fixture
def side(program):
    """Starts one side of a topic with `side(role, topic, *options)`."""
    return functools.partial(program, PROGRAM)


def wait_for(process, event, timeout=60, **expected):
    """Waits for an event in which the fields are as expected; the event."""
    while True:
        told = json.loads(process.wait_for(f'"event": "{event}"', timeout=timeout))
        if all(told[field] == value for field, value in expected.items()):
            return told


def test_a_lease_follows_the_process(side):
    """Automatic liveliness: alive while the process runs, not while it is stopped, and not when it was killed."""
    watcher = side('subscribe', '/qos_events/automatic', '--lease', str(LEASE))
    publisher = side('publish', '/qos_events/automatic', '--lease', str(LEASE))
    wait_for(watcher, 'liveliness', alive_count=1, not_alive_count=0)
    publisher.signal(signal.SIGSTOP)
    wait_for(watcher, 'liveliness', alive_count=0, not_alive_count=1)
    publisher.signal(signal.SIGCONT)
    wait_for(watcher, 'liveliness', alive_count=1, not_alive_count=0)
    publisher.kill()
    wait_for(watcher, 'liveliness', alive_count=0, not_alive_count=1)


def test_manual_liveliness_is_lost_by_not_publishing(side):
    watcher = side('subscribe', '/qos_events/manual', '--lease', str(LEASE), '--manual')
    publisher = side('publish', '/qos_events/manual', '--lease', str(LEASE), '--manual', '--messages', '20')
    wait_for(watcher, 'liveliness', alive_count=1, not_alive_count=0)
    lost = wait_for(publisher, 'liveliness')
    assert (lost['total_count'], lost['total_count_change']) == (1, 1)
    wait_for(watcher, 'liveliness', alive_count=0, not_alive_count=1)
    publisher.interrupt()
    wait_for(watcher, 'liveliness', alive_count=0, not_alive_count=0)


def test_deadlines_are_missed_on_both_sides(side):
    """From the first message on, each period without another counts; also those after the publisher was killed."""
    watcher = side('subscribe', '/qos_events/deadline', '--deadline', '0.5')
    publisher = side('publish', '/qos_events/deadline', '--deadline', '0.5', '--messages', '20')
    for total in (1, 2, 3):
        wait_for(publisher, 'deadline', total_count=total)
        wait_for(watcher, 'deadline', total_count=total)
    publisher.kill()
    killed_at = json.loads(watcher.wait_for('"event": "deadline"'))['total_count']
    for total in (killed_at + 1, killed_at + 2):
        wait_for(watcher, 'deadline', total_count=total)


def test_a_killed_peer_is_not_matched_any_more(side, own_middleware):
    if not own_middleware:
        pytest.skip('over DDS this takes 10 to 20 seconds')
    subscription = side('subscribe', '/qos_events/matched')
    publisher = side('publish', '/qos_events/matched')
    for process in (subscription, publisher):
        wait_for(process, 'matched', current_count=1, total_count=1)
    subscription.kill()
    wait_for(publisher, 'matched', current_count=0, total_count=1)
    again = side('subscribe', '/qos_events/matched')
    wait_for(publisher, 'matched', current_count=1, total_count=2)
    publisher.kill()
    wait_for(again, 'matched', current_count=0, total_count=1)
