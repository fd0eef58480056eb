"""The gateway under test: its configuration, its life, and the client that talks to it."""

import http.client
import json
import os
import pathlib
import secrets

from programs import HERE, Late, Program, free_port

START_SECONDS = 15.0
ANSWER_SECONDS = 70.0


class Gateway:
    """One gateway with a state directory of its own below `directory`. Can be started more than once."""

    def __init__(self, binary, directory, providers, model):
        """`providers` and `model` are written into its configuration (methods.md 9.2, 9.3)."""
        self.binary = binary
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.port = free_port()
        self.token = secrets.token_hex(32)
        self.program = None
        self.config_file = self.directory / "barnacle.json"
        self.config_file.write_text(json.dumps({
            "gateway": {"port": self.port, "auth": {"mode": "token", "token": self.token}},
            "models": {"mode": "replace", "providers": providers},
            "agents": {"defaults": {"model": {"primary": model}}},
        }, indent=2))
        self.config_file.chmod(0o600)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def guide_url(self):
        return f"ws://127.0.0.1:{self.port}/v1/connect"

    @property
    def native_url(self):
        return f"ws://127.0.0.1:{self.port}/"

    def start(self):
        """Returns once it answers `GET /healthz` with 200."""
        self.program = Program(
            [self.binary, "run", "--config", self.config_file, "--state-dir", self.directory / "state"],
            self.directory / "gateway.log",
            environment=self.environment(),
        )
        try:
            self.program.wait_until(self.is_healthy, START_SECONDS, "200 from /healthz")
        except Late:
            self.program.kill()
            raise

    def stop(self):
        """Ends it the polite way. Returns the exit code."""
        return self.program.end() if self.program else None

    def kill(self):
        """kill -9."""
        self.program.kill()

    def environment(self):
        """Nothing of the caller's settings, and a home directory of its own."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.directory)}

    def is_healthy(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def client(self, task, session, *message):
        """Starts guide-client.mjs; its frames can be read one by one."""
        return Frames(Program(
            ["node", HERE / "guide-client.mjs", self.guide_url, self.token, task, session, *message],
            self.directory / "client.log",
            piped=True,
        ))

    def say(self, session, message):
        """One message and everything that came back for it."""
        return Conversation(self.client("say", session, message).all())

    def history(self, session):
        """The session's messages, read by a new connection."""
        return Conversation(self.client("history", session).all()).history


class Frames:
    """The frames that a client prints, as they come. The client has its own deadline."""

    def __init__(self, program):
        self.program = program

    def __iter__(self):
        for line in self.program.process.stdout:
            yield json.loads(line)

    def all(self):
        """Every frame up to the client's end."""
        with self.program:
            frames = list(self)
            code = self.program.process.wait(ANSWER_SECONDS)
        if code != 0:
            raise Late(f"the guide client failed:\n{self.program.tail(5)}")
        return frames


class Conversation:
    """What a client saw of one message, taken apart."""

    def __init__(self, frames):
        self.frames = frames
        answers = [frame["payload"] for frame in frames if frame.get("type") == "res"]
        self.acknowledgement = next((answer for answer in answers if "runId" in answer and "status" in answer), {})
        self.history = next((answer["messages"] for answer in answers if "messages" in answer), None)
        self.sessions = next((answer["sessions"] for answer in answers if "sessions" in answer), None)
        run = self.acknowledgement.get("runId")
        self.chat = [event for event in self.events("chat.event") if event.get("runId") == run]
        self.agent = [event for event in self.events("agent.event") if event.get("runId") == run]

    def events(self, name):
        """The payloads of all events with that name."""
        return [frame["payload"] for frame in self.frames if frame.get("event") == name]

    @property
    def end(self):
        """The run's last chat event."""
        return self.chat[-1] if self.chat else {}

    @property
    def answer(self):
        """The text of the run's last chat event."""
        return text_of(self.end.get("message"))

    def stream(self, name):
        """The data of one stream of the run, in order."""
        return [event["data"] for event in self.agent if event["stream"] == name]


def text_of(message):
    """A message's text, whether its content is a string or a list of blocks."""
    content = (message or {}).get("content", "")
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content if block.get("type") == "text")


def texts(history, role):
    """The texts of all messages of one role."""
    return [text_of(message) for message in history or [] if message.get("role") == role]
