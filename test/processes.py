"""Programs that a test starts: their output line by line, patience with an end, and no leftovers."""

import os
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path

# Those that have not been stopped.
_running = []


class Process:
    """A running program whose output is collected line by line; it and all its children end with the `with` block."""

    def __init__(self, command, environment=None, name=None):
        self.name = name or os.path.basename(command[0])
        self.lines = []
        self._new = queue.Queue()
        self._process = subprocess.Popen(
            [str(part) for part in command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors='replace', start_new_session=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        _running.append(self)

    def _read(self):
        for line in self._process.stdout:
            self.lines.append(line.rstrip('\n'))
            self._new.put(self.lines[-1])
        self._new.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self._process.pid

    @property
    def output(self):
        return '\n'.join(self.lines)

    def evidence(self):
        """What this process and those that run beside it have printed, and where their threads are: the other may be the culprit."""
        processes = [self, *(other for other in _running if other is not self)]
        return '\n'.join(
            f'--- {process.name} ({process.state()}):\n{process.output}' for process in processes if process is self or process.lines)

    def state(self):
        """Ended, and how, or what each thread waits for."""
        if not self.running():
            return f'ended with {self._process.returncode}'
        threads = []
        for task in (task for pid in [self.pid, *descendants(self.pid)] for task in sorted(Path(f'/proc/{pid}/task').glob('*'))):
            try:
                name, state = (task / 'comm').read_text().strip(), (task / 'stat').read_text().rpartition(')')[2].split()[0]
                threads.append(f'{name} {state} {(task / "wchan").read_text()}')
            except OSError:
                pass  # it has ended meanwhile, or is not ours to look at
        return 'running; ' + ', '.join(threads)

    def wait_for(self, text, timeout=60):
        """The first line, among those not yet looked at by this method, that contains `text`."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._new.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f'{self.name}: no {text!r} within {timeout} s:\n{self.evidence()}') from None
            if line is None:
                raise AssertionError(f'{self.name} ended without {text!r}:\n{self.evidence()}')
            if text in line:
                return line

    def wait(self, timeout=60):
        """The exit code, once the program has ended by itself."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'{self.name}: still running after {timeout} s:\n{self.evidence()}') from None
        self._reader.join(5)
        return code

    def running(self):
        return self._process.poll() is None

    def interrupt(self, children=True):
        """Ctrl-C, to the program and its children or to it alone."""
        if children:
            self._signal(signal.SIGINT)
        else:
            self._process.send_signal(signal.SIGINT)

    def kill(self):
        self._signal(signal.SIGKILL)

    def signal(self, number):
        """Sends a signal to the program and its children."""
        self._signal(number)

    def stop(self, patience=10):
        """Interrupts the program, and kills what is left of its process group."""
        if self.running():
            self.interrupt()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        self.kill()
        self._process.wait()
        self._reader.join(5)
        if self in _running:
            _running.remove(self)
        return self._process.returncode

    def _signal(self, number):
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass


def run(command, environment=None, timeout=60):
    """
    Runs a program to its end; its output, provided that it succeeded.

    Without what the middleware says of the machine (stderr), where inotify instances are scarce for instance.
    """
    with Process(command, environment) as process:
        code = process.wait(timeout)
        assert code == 0, f'{" ".join(map(str, command))} ended with {code}:\n{process.output}'
        return '\n'.join(line for line in process.lines if not line.startswith('[rmw_hazcat_rs] '))


def eventually(probe, timeout=30, interval=0.2):
    """Calls `probe` until it returns something true, and returns that; its last answer is in the error."""
    deadline = time.monotonic() + timeout
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f'not within {timeout} s; the last answer was {answer!r}')
        time.sleep(interval)


def descendants(pid):
    """Process ids of all that a process has started, directly or not."""
    found = []
    for children in Path(f'/proc/{pid}/task').glob('*/children'):
        for child in children.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found
