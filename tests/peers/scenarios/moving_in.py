"""Moving in from the field's own gateway: what the real program left is what this gateway goes on with."""

import json
import secrets
import subprocess
import urllib.error
import urllib.request

from clawdbot import DIST, Clawdbot
from gateway import Gateway
from mock_provider import MockProvider
from programs import Program, free_port

NEEDS = ["clawdbot"]
START_SECONDS = 90.0
ASKED = "say hello, says the one who moves"


def run(claims, binary, directory):
    with MockProvider(directory) as mock:
        port = free_port()
        person = Clawdbot(directory / "person", port, secrets.token_hex(32))
        config = json.loads(person.config_file.read_text())
        provider = mock.provider("openai-completions")
        for model in provider["models"]:
            # It refuses models with less.
            model["contextWindow"] = 128_000
        config["models"] = {"mode": "replace", "providers": {"mock": provider}}
        config["agents"] = {"defaults": {"model": {"primary": "mock/mock"}, "skipBootstrap": True}}
        person.config_file.write_text("// mine\n" + json.dumps(config, indent=2))
        with theirs(person):
            person.alone("agent", "--agent", "main", "--message", ASKED)
            person.alone("cron", "add", "--name", "moved", "--every", "1h", "--session", "main", "--system-event", "x")
            before = {
                "history": history(person),
                "jobs": [job["name"] for job in called(person, "cron.list")["jobs"]],
                "devices": [device["deviceId"] for device in called(person, "device.pair.list")["paired"]],
            }
        claims.check("the real program left a conversation, a job and a device", all(before.values()), before)
        move(claims, binary, directory, person, before)


def move(claims, binary, directory, person, before):
    gateway = Gateway(binary, directory / "gateway", {}, "mock/mock")
    gateway.config_file.unlink()
    arguments = [binary, "import", person.state, "--config", gateway.config_file, "--state-dir", gateway.directory / "state"]
    environment = {"HOME": str(person.home), "PATH": "/usr/bin:/bin"}
    told = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=30)
    claims.equal("import tells what it would take", told.returncode, 0)
    claims.check("and changes nothing", not gateway.config_file.exists(), told.stdout)
    done = subprocess.run([*arguments, "--apply"], capture_output=True, text=True, env=environment, timeout=30)
    claims.check("import --apply does it", done.returncode == 0, done.stdout + done.stderr)
    claims.check("comments are kept", gateway.config_file.read_text().startswith("// mine"), done.stdout)
    again = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=30)
    claims.check("given again it has nothing to do", "nothing is left to do" in again.stdout, again.stdout)
    gateway.port, gateway.token = person.port, person.token
    with gateway:
        claims.equal("its command line sees the same conversation", history(person), before["history"])
        claims.equal("the same jobs", [job["name"] for job in called(person, "cron.list")["jobs"]], before["jobs"])
        paired = called(person, "device.pair.list")["paired"]
        claims.equal("and the same paired devices", [device["deviceId"] for device in paired], before["devices"])
        kept = json.loads((gateway.directory / "state/devices/paired.json").read_text())
        tokens = {token["token"] for device in kept.values() for token in device["tokens"].values()}
        claims.check("its device token is still good", set(person.tokens().values()) <= tokens, kept)


def theirs(person):
    """The field's own gateway, running."""
    program = Program(
        [*person.node(), DIST / "entry.js", "gateway", "run", "--port", str(person.port), "--bind", "loopback"],
        person.home / "theirs.log",
        environment=person.environment(),
    )
    program.wait_until(lambda: answers(person.port), START_SECONDS, "an answer on its port")
    return program


def answers(port):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def called(person, method, params=None):
    said = person.alone("gateway", "call", method, "--json", "--params", json.dumps(params or {}))
    return said.json or {"jobs": [], "paired": [], "messages": [], "said": str(said)}


def history(person):
    messages = called(person, "chat.history", {"sessionKey": "main"})["messages"]
    return [[part.get("text") for part in message["content"]] if isinstance(message["content"], list)
            else message["content"] for message in messages]
