"""The product's own command line against a running gateway: what it prints and how it ends."""

import json
import subprocess

from gateway import Gateway
from mock_provider import MockProvider

NEEDS = ["aimock"]
ANSWER = "Hello from the mock provider."
COMMAND_SECONDS = 30.0
# Exit codes (the command line's help).
OK, REFUSED, UNREACHABLE, UNAUTHORIZED = 0, 1, 3, 4


def run(claims, binary, directory):
    with MockProvider(directory) as mock:
        providers = {"mock": mock.provider("anthropic-messages")}
        with Gateway(binary, directory / "gateway", providers, "mock/mock") as gateway:
            healthy = command(gateway, "health")
            claims.equal("health of a running gateway ends with 0", healthy.returncode, OK)
            said = command(gateway, "chat", "say hello", "--session", "cli")
            claims.equal("chat prints the answer and nothing else", said.stdout, ANSWER + "\n")
            claims.equal("and ends with 0", said.returncode, OK)
            called = command(gateway, "call", "chat.history", '{"sessionKey": "cli"}')
            roles = [message["role"] for message in json.loads(called.stdout or "{}").get("messages", [])]
            claims.equal("call prints JSON", roles, ["user", "assistant"])
            failed = command(gateway, "chat", "wrong key", "--session", "cli")
            claims.equal("an answer that failed ends with 1", failed.returncode, REFUSED)
            claims.check("and tells why", "401" in failed.stderr, failed.stderr)
            stranger = command(gateway, "health", token="0" * 64)
            claims.equal("a wrong token ends with 4", stranger.returncode, UNAUTHORIZED)
            gateway.stop()
            gone = command(gateway, "health")
            claims.equal("no gateway ends with 3", gone.returncode, UNREACHABLE)
            claims.check("and tells how to start one", "barnacle run" in gone.stderr, gone.stderr)


def command(gateway, *arguments, token=None):
    """Runs the program once, told by its environment where the gateway is."""
    environment = gateway.environment()
    environment["BARNACLE_URL"] = gateway.native_url
    environment["BARNACLE_TOKEN"] = token or gateway.token
    return subprocess.run(
        [gateway.binary, *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=COMMAND_SECONDS,
    )
