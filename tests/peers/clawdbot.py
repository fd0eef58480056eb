"""The field's own command line and node host, npm `clawdbot`, with a home directory of its own."""

import contextlib
import json
import pathlib
import queue
import subprocess
import threading

from programs import END_SECONDS, HERE, NODE_22, Late, Program
from terminal import Terminal

NAME = "clawdbot"
DIST = HERE / "clawdbot/node_modules/clawdbot/dist"
COMMAND_SECONDS = 60.0
# The node host's timer for the next connection doesn't keep Node alive: it would end with 0 at the first lost
# connection, and its service manager would start it again.
STAY_ALIVE = ["--import", "data:text/javascript,setInterval(()=>{},60000)"]
PATH = "/usr/local/bin:/usr/bin:/bin"


def is_installed():
    """Whether both the program and the Node that it needs are here."""
    return NODE_22 is not None and (DIST / "entry.js").exists()


class Clawdbot:
    """One person's installation: configuration, device key and tokens live below `home`.

    The gateway is on `port` of this machine, or seems to be.

    Inside a `with` block, `do` runs commands in one process. `alone` runs one in a process of its own.
    """

    def __init__(self, home, port, token):
        self.home = pathlib.Path(home)
        self.home.mkdir(parents=True)
        self.port = port
        self.token = token
        self.state = self.home / ".clawdbot"
        self.state.mkdir(mode=0o700)
        self.config_file = self.state / "clawdbot.json"
        self.config_file.write_text(json.dumps({
            "gateway": {"mode": "local", "port": port, "auth": {"mode": "token", "token": token}},
            "logging": {"file": str(self.home / "clawdbot.log")},
            # The first use of its channels compiles them, which takes a minute and says nothing about us.
            "plugins": {"enabled": False},
        }))
        self.config_file.chmod(0o600)
        self.shell = None
        self.lines = queue.Queue()

    def __enter__(self):
        with (self.home / "shell.log").open("ab") as log:
            self.shell = subprocess.Popen(
                [*self.node(), HERE / "clawdbot-shell.mjs", DIST],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=self.environment(), cwd=self.home, text=True, start_new_session=True,
            )
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shell.stdin.close()
        try:
            self.shell.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.shell.kill()
            self.shell.wait(END_SECONDS)

    def do(self, *arguments):
        """Runs a command in the common process."""
        self.shell.stdin.write(json.dumps(arguments) + "\n")
        self.shell.stdin.flush()
        try:
            line = self.lines.get(timeout=COMMAND_SECONDS)
        except queue.Empty:
            raise Late(f"clawdbot {' '.join(arguments)}: no end within {COMMAND_SECONDS} s") from None
        if line is None:
            raise Late(f"clawdbot {' '.join(arguments)}: the process ended")
        return Said(**json.loads(line))

    def call(self, method, params=None):
        """`gateway call METHOD`."""
        return self.do("gateway", "call", method, "--json", "--params", json.dumps(params or {}))

    def alone(self, *arguments):
        """Runs a command the way a person does."""
        done = subprocess.run(
            [*self.node(), DIST / "entry.js", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, env=self.environment(), cwd=self.home, timeout=COMMAND_SECONDS,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def node_host(self, name):
        """Starts `clawdbot node run`."""
        return Program(
            [*self.node(), *STAY_ALIVE, DIST / "entry.js", "node", "run",
             "--host", "127.0.0.1", "--port", str(self.port), "--display-name", name],
            self.home / "node-host.log",
            environment=self.environment(),
        )

    def editor(self, *options):
        """Starts `clawdbot acp`, through which an editor talks to the gateway."""
        return Editor(subprocess.Popen(
            [*self.node(), DIST / "entry.js", "acp", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(self.home / "acp.log").open("ab"),
            env=self.environment(), cwd=self.home, text=True, start_new_session=True,
        ))

    def tui(self):
        """Starts `clawdbot tui` in a terminal."""
        return Terminal([*self.node(), DIST / "entry.js", "tui"], self.environment(), self.home)

    def approver(self, decision):
        """Starts somebody who answers every request for approval with `decision`."""
        return Program(
            [*self.node(), HERE / "clawdbot-approver.mjs", DIST, f"ws://127.0.0.1:{self.port}", self.token, decision],
            self.home / f"approver-{decision}.log",
            environment=self.environment(),
        )

    def tokens(self):
        """The device tokens that it keeps, by role."""
        file = self.state / "identity/device-auth.json"
        return {role: entry["token"] for role, entry in json.loads(file.read_text())["tokens"].items()}

    @staticmethod
    def node():
        return [NODE_22, "--disable-warning=ExperimentalWarning"]

    def environment(self):
        """Nothing of the caller's settings."""
        return {
            "PATH": PATH,
            "HOME": str(self.home),
            "CLAWDBOT_STATE_DIR": str(self.state),
            "CLAWDBOT_CONFIG_PATH": str(self.config_file),
            "CLAWDBOT_NO_RESPAWN": "1",
            "CLAWDBOT_HIDE_BANNER": "1",
            "NO_COLOR": "1",
        }

    def _read(self):
        for line in self.shell.stdout:
            self.lines.put(line)
        self.lines.put(None)


class Editor:
    """What an editor does with `clawdbot acp`: JSON-RPC on its standard input and output."""

    def __init__(self, process):
        self.process = process
        self.last_id = 0
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.kill()
        self.process.wait(END_SECONDS)

    def ask(self, method, **params):
        """Sends a request and waits for its answer. Returns the result (or the error) and what was told meanwhile."""
        self.last_id += 1
        self.tell(method, id=self.last_id, **params)
        return self.answer()

    def tell(self, method, id=None, **params):
        """Sends a request, or a notification when it has no id."""
        frame = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})
        self.process.stdin.write(json.dumps(frame) + "\n")
        self.process.stdin.flush()

    def answer(self):
        """Waits for the answer to the last request."""
        told = []
        while True:
            frame = self.next()
            if frame.get("id") == self.last_id:
                return frame.get("result", frame.get("error")), told
            told.append(frame["params"]["update"])

    def next(self):
        """The next frame that comes."""
        try:
            line = self.lines.get(timeout=COMMAND_SECONDS)
        except queue.Empty:
            raise Late(f"clawdbot acp: nothing within {COMMAND_SECONDS} s") from None
        if line is None:
            raise Late("clawdbot acp ended")
        return json.loads(line)

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)


class Said:
    """How a command ended and what it printed."""

    def __init__(self, code, stdout, stderr):
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    @property
    def text(self):
        """Everything that was printed."""
        return self.stdout + self.stderr

    def __repr__(self):
        return f"exit {self.code}\n{self.stdout[-1500:]}\n{self.stderr[-1500:]}"

    @property
    def json(self):
        """What was printed, as JSON; None when it is none."""
        try:
            return json.loads(self.stdout)
        except ValueError:
            return None
