"""The demo programs of the bare machine: two processes, generated messages, the exported C symbols and nothing else."""

import re

import pytest
from conftest import leftovers
from processes import Process, eventually, run

WHERE = re.compile(r'(?P<what>published|taken): (?P<file>inode \d+ offset \d+) access (?P<access>\S+) (?P<path>/\S+)')


@pytest.fixture
def programs(prefix):
    folder = prefix / 'lib' / 'rmw_hazcat_rs'
    return folder / 'talker', folder / 'listener'


def heard(process):
    return [line for line in process.lines if line.startswith('I heard: ')]


def expected(count):
    return [f'I heard: [Hello World: {number}]' for number in range(1, count + 1)]


@pytest.mark.parametrize('options', [[], ['--loaned']], ids=['text', 'loaned'])
def test_every_message_arrives(programs, environment, options):
    talker, listener = programs
    with Process([listener, '--count', '50', '--timeout', '30', *options], environment) as ear:
        run([talker, '--count', '50', '--rate', '200', '--wait-for', '1', '--timeout', '30', *options], environment)
        assert ear.wait(30) == 0, ear.output
        assert heard(ear) == expected(50)


def test_a_loaned_message_is_the_same_memory_in_both_processes(programs, environment):
    """Both programs say which file, and where in it, a message lies: the same, and read-only for the listener."""
    talker, listener = programs
    options = ['--loaned', '--where', '--count', '20']
    with Process([listener, '--timeout', '30', *options], environment) as ear:
        with Process([talker, '--rate', '200', '--wait-for', '1', '--timeout', '30', *options], environment) as mouth:
            assert mouth.wait(30) == 0, mouth.output
            assert ear.wait(30) == 0, ear.output
            published = [match for match in map(WHERE.match, mouth.lines) if match]
            taken = [match for match in map(WHERE.match, ear.lines) if match]
    assert len(published) == 20
    assert [match['file'] for match in taken] == [match['file'] for match in published]
    assert {match['access'] for match in published} == {'rw-'}
    assert {match['access'] for match in taken} == {'r--'}


def test_three_listeners_hear_one_talker(programs, environment):
    talker, listener = programs
    command = [listener, '--count', '30', '--timeout', '30']
    with Process(command, environment) as one, Process(command, environment) as two, Process(command, environment) as three:
        run([talker, '--count', '30', '--rate', '100', '--wait-for', '3', '--timeout', '30'], environment)
        for ear in (one, two, three):
            assert ear.wait(30) == 0, ear.output
            assert heard(ear) == expected(30)


def test_different_types_on_one_topic_do_not_meet(programs, environment):
    talker, listener = programs
    with Process([listener, '--count', '1', '--timeout', '2'], environment) as ear:
        run([talker, '--loaned', '--count', '5', '--rate', '10'], environment)
        assert ear.wait(30) == 1
        assert heard(ear) == []


def test_a_killed_talker_is_replaced(programs, environment):
    talker, listener = programs
    with Process([listener, '--count', '40', '--timeout', '60'], environment) as ear:
        with Process([talker, '--rate', '50', '--wait-for', '1', '--timeout', '30'], environment) as first:
            # It says what it is about to publish: when it says 11, it has published 10.
            first.wait_for("'Hello World: 11'")
            first.kill()
        ear.wait_for('[Hello World: 10]')
        run([talker, '--count', '40', '--rate', '50', '--wait-for', '1', '--timeout', '30'], environment)
        assert ear.wait(30) == 0, ear.output
        assert len(heard(ear)) == 40


def test_a_killed_listener_does_not_stop_the_talker(programs, environment):
    talker, listener = programs
    with Process([talker, '--loaned', '--rate', '500'], environment) as mouth:
        with Process([listener, '--loaned'], environment) as ear:
            ear.wait_for('I heard')
            ear.kill()
        with Process([listener, '--loaned', '--count', '500', '--timeout', '30'], environment) as next_ear:
            assert next_ear.wait(30) == 0, next_ear.output
        assert mouth.running()
        mouth.interrupt()
        assert mouth.wait(10) == 0, mouth.output


def test_nothing_remains_in_shared_memory(programs, environment, shared_memory):
    """Neither after a regular end nor after Ctrl-C, and a later user removes what kill -9 left."""
    talker, listener = programs
    with Process([listener], environment) as ear, Process([talker, '--rate', '100'], environment) as mouth:
        ear.wait_for('I heard')
        mouth.interrupt()
        assert mouth.wait(10) == 0, mouth.output
        ear.interrupt()
        assert ear.wait(10) == 0, ear.output
    assert leftovers(shared_memory) == []

    with Process([listener], environment) as ear, Process([talker, '--rate', '100'], environment) as mouth:
        ear.wait_for('I heard')
        mouth.kill()
        ear.kill()
        eventually(lambda: not mouth.running() and not ear.running())
    run([talker, '--count', '1'], environment)
    assert leftovers(shared_memory) == []


def test_the_domain_id_separates(programs, environment):
    talker, listener = programs
    with Process([listener, '--count', '1', '--timeout', '2'], {**environment, 'ROS_DOMAIN_ID': '7'}) as ear:
        run([talker, '--count', '5', '--rate', '10'], {**environment, 'ROS_DOMAIN_ID': '8'})
        assert ear.wait(30) == 1
        assert heard(ear) == []
