"""The launch file of this package prints "I heard" for every message."""

import re
import time
from pathlib import Path

from processes import Process, descendants

HEARD = re.compile(r'I heard: \[(Hello World: \d+)\]')
SAID = re.compile(r'Publishing: [\'"](Hello World: \d+)[\'"]')


def check(arguments, ros):
    command = ['ros2', 'launch', 'rmw_hazcat_rs', 'talker_listener.launch.py', 'talker_delay:=8.0', *arguments]
    with Process(command, ros) as launch:
        for number in range(3, 8):
            launch.wait_for(f'I heard: [Hello World: {number}]', timeout=90)
        # Launch may hang for ever when it is interrupted while it prints (seen with plain shell programs too, 1 time in 40):
        # Python raises KeyboardInterrupt between any two of its steps, and launch goes on without the one it was at.
        time.sleep(0.5)
        launch.interrupt(children=False)
        launch.wait(30)
        # When interrupted, launch may print a program's last line again: the same down to its time stamp.
        lines = list(dict.fromkeys(launch.lines))
        said = [match[1] for match in map(SAID.search, lines) if match]
        heard = [match[1] for match in map(HEARD.search, lines) if match]
    assert len(said) >= 7
    # What was said at the very moment of the interrupt may be lost with the listener.
    assert heard in (said, said[:-1]), launch.output


def test_cpp_talker_python_listener(ros):
    check([], ros)


def test_other_way_round_on_another_topic(ros):
    check(['talker:=demo_nodes_py', 'listener:=demo_nodes_cpp', 'topic:=/news', 'namespace:=/somewhere'], ros)


def test_it_sets_the_middleware_itself(ros, own_middleware):
    """Whatever RMW_IMPLEMENTATION says outside."""
    environment = {key: value for key, value in ros.items() if key != 'RMW_IMPLEMENTATION'}
    command = ['ros2', 'launch', 'rmw_hazcat_rs', 'talker_listener.launch.py']
    with Process(command, environment) as launch:
        launch.wait_for('I heard', timeout=90)
        nodes = descendants(launch.pid)
        assert len(nodes) == 2
        for pid in nodes:
            assert 'librmw_hazcat_rs.so' in Path(f'/proc/{pid}/maps').read_text()
