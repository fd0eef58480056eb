"""The npm client openclaw-node, written by other people for the native dialect, with a device key of its own.

Version 0.1 speaks protocol 3. Version 0.14 speaks protocol 4 alone and has to be told so.
"""

import json

from gateway import Gateway, texts
from mock_provider import MockProvider
from programs import HERE, Program

NEEDS = ["aimock", "openclaw-node", "openclaw-node-protocol-4", "ws"]
ANSWER = "Hello from the mock provider."
CLIENT_SECONDS = 70.0


def run(claims, binary, directory):
    with MockProvider(directory) as mock:
        providers = {"mock": mock.provider("openai-completions")}
        with Gateway(binary, directory / "gateway", providers, "mock/mock") as gateway:
            protocol_3(claims, gateway)
            protocol_4(claims, gateway)


def protocol_3(claims, gateway):
    steps = walk(gateway, "openclaw-node")
    hello = steps.get("connected", [{}])[0].get("hello", {})
    claims.equal("it connects", (hello.get("type"), hello.get("protocol")), ("hello-ok", 3))
    listed = steps.get("sessions", [{}])[0].get("payload", {})
    claims.check("it lists sessions", isinstance(listed.get("sessions"), list), listed)
    chunks = [step["chunk"] for step in steps.get("chunk", [])]
    spoken = "".join(chunk["text"] for chunk in chunks if chunk["type"] == "text")
    claims.equal("it prints the stream", spoken, ANSWER)
    claims.equal("the stream ends well", [chunk["type"] for chunk in chunks][-1:], ["done"])
    claims.check("it connects again", "reconnected" in steps, list(steps))
    history = steps.get("history", [{}])[0].get("payload", {}).get("messages", [])
    claims.equal("it finds its question again", texts(history, "user"), ["say hello"])
    claims.equal("it finds the answer again", texts(history, "assistant"), [ANSWER])
    wrong = {name: steps[name] for name in ("refused", "failed", "error", "late") if name in steps}
    claims.equal("nothing was refused", wrong, {})


def protocol_4(claims, gateway):
    steps = walk(gateway, "openclaw-node-protocol-4")
    error = steps.get("refused", [{}])[0].get("error", {})
    claims.equal("a client of protocol 4 is refused", error.get("message"), "protocol mismatch")
    claims.equal("and told which one is spoken", (error.get("details") or {}).get("expectedProtocol"), 3)


def walk(gateway, package):
    """Runs openclaw-client.mjs. Returns its steps by name."""
    identity = gateway.directory / f"{package}.json"
    steps = {}
    arguments = ["node", HERE / "openclaw-client.mjs", package, gateway.native_url, gateway.token, identity,
                 "visitor", "say hello"]
    environment = gateway.environment() | {"NODE_NO_WARNINGS": "1"}
    with Program(arguments, gateway.directory / f"{package}.log", environment, piped=True) as client:
        for line in client.process.stdout:
            step = json.loads(line)
            steps.setdefault(step["step"], []).append(step)
        client.process.wait(CLIENT_SECONDS)
    return steps
