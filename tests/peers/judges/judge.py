"""A judge: a program around a client library of other people, which tells what it saw of a fake."""

import contextlib
import json
import os
import queue
import threading

from programs import HERE, NODE_22, Late, Program

STEP_SECONDS = 15.0
PNG = b"\x89PNG\r\n\x1a\n" + bytes(300)


class Judge:
    """A running judge. Its lines are steps that can be waited for, in any order."""

    def __init__(self, directory, name, *arguments):
        self.name, self.log, self.steps, self.lines = name, directory / f"{name}.log", [], queue.Queue()
        environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "NODE_NO_WARNINGS": "1"}
        program = [NODE_22, HERE / "judges" / f"{name}.mjs", *arguments]
        self.program = Program(program, self.log, environment, piped=True)
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.kill()
        with contextlib.suppress(ValueError):
            self.program.process.stdout.close()

    def _read(self):
        with contextlib.suppress(ValueError):
            for line in self.program.process.stdout:
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def step(self, name, seconds=STEP_SECONDS):
        """The next step of that name; each is given once."""
        while True:
            for index, step in enumerate(self.steps):
                if step["step"] == name:
                    return self.steps.pop(index)
            try:
                step = self.lines.get(timeout=seconds)
            except queue.Empty:
                raise Late(f"{self.name}: no step {name!r} within {seconds} s, but {self.steps}\n"
                           f"{self.program.tail()}") from None
            if step is None:
                raise Late(f"{self.name} ended before {name!r}; it told {self.steps}\n{self.program.tail()}")
            self.steps.append(step)

    def left(self, name):
        """The steps of that name that nobody waited for."""
        while not self.lines.empty():
            self.steps.append(self.lines.get())
        return [step for step in self.steps if step and step["step"] == name]


def refusal(step):
    return step["code"], step["description"]


def take(judge, word):
    """The message step whose text ends in `word`."""
    while True:
        step = judge.step("message")
        if step["text"].endswith(word):
            return step
