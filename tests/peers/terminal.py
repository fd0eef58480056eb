"""A terminal for programs that want one: what they show, as text, and keys to press."""

import contextlib
import fcntl
import os
import re
import struct
import subprocess
import termios
import threading
import time

from programs import END_SECONDS, LOOK_SECONDS, Late

# Colours, movements of the cursor, titles.
CONTROL = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\^_])")
ROWS, COLUMNS = 50, 160


class Terminal:
    """A running program and everything that it has shown so far."""

    def __init__(self, arguments, environment, directory):
        self.keyboard, screen = os.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            [str(argument) for argument in arguments], stdin=screen, stdout=screen, stderr=screen,
            env=environment | {"TERM": "xterm-256color"}, cwd=directory, start_new_session=True,
        )
        os.close(screen)
        self.shown = b""
        self.read = 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(END_SECONDS)
        self.reader.join(END_SECONDS)
        os.close(self.keyboard)

    def press(self, keys):
        """Presses keys, as one piece of input."""
        os.write(self.keyboard, keys.encode())

    def enter(self, line):
        """Types a line and sends it off. What was shown before no longer counts for `wait_for`."""
        self.read = len(self.shown)
        self.press(line)
        self.wait_for(line, END_SECONDS)
        self.press("\r")

    def wait_for(self, words, seconds):
        """Waits until the words are shown."""
        deadline = time.monotonic() + seconds
        while words not in self.text():
            if time.monotonic() > deadline:
                raise Late(f"not shown within {seconds} s: {words!r}\n{self.text()[-1500:]}")
            time.sleep(LOOK_SECONDS)

    def text(self):
        """What was shown since the last line was entered."""
        return CONTROL.sub("", self.shown[self.read:].decode(errors="replace"))

    def _read(self):
        with contextlib.suppress(OSError):
            while piece := os.read(self.keyboard, 65536):
                self.shown += piece
