"""The field's own chat in a terminal, `clawdbot tui`: what a person sees of answers, failures and a lost gateway."""

from clawdbot import Clawdbot
from gateway import Gateway
from mock_provider import MockProvider

NEEDS = ["aimock", "clawdbot"]
ANSWER = "Hello from the mock provider."
START_SECONDS = 60.0
SHOW_SECONDS = 20.0


def run(claims, binary, directory):
    with MockProvider(directory) as mock:
        providers = {"mock": mock.provider("openai-completions")}
        with Gateway(binary, directory / "gateway", providers, "mock/mock") as gateway:
            person = Clawdbot(directory / "person", gateway.port, gateway.token)
            with person.tui() as terminal:
                shows(claims, terminal, "it connects and knows the model", None, "mock/mock", START_SECONDS)
                shows(claims, terminal, "it shows the answer", "say hello", ANSWER)
                shows(claims, terminal, "it can stop an answer", "speak slowly", "One word")
                terminal.press("\x1b")
                terminal.wait_for("aborted", SHOW_SECONDS)
                shows(claims, terminal, "it shows the gateway's state", "/status", "Active sessions: 1")
                shows(claims, terminal, "it begins a session anew", "/reset", "tokens 0/")
                gateway.kill()
                gateway.start()
                terminal.wait_for("reconnected", START_SECONDS)
                shows(claims, terminal, "after kill -9 it goes on", "say hello", ANSWER)
                shows(claims, terminal, "it shows why an answer failed", "wrong key", "HTTP 401")


def shows(claims, terminal, claim, line, words, seconds=SHOW_SECONDS):
    """Enters a line, if any, and waits for what is to be shown."""
    if line:
        terminal.enter(line)
    terminal.wait_for(words, seconds)
    claims.check(claim, True)
