"""kill -9 while an answer streams: what was acknowledged is there after the restart."""

from gateway import Gateway, texts
from mock_provider import MockProvider

NEEDS = ["aimock", "ws"]
ANSWER = "Hello from the mock provider."
DELTAS_BEFORE_KILL = 2


def run(claims, binary, directory):
    with MockProvider(directory) as mock:
        providers = {"mock": mock.provider("openai-completions")}
        with Gateway(binary, directory / "gateway", providers, "mock/mock") as gateway:
            gateway.say("kept", "say hello, first")
            gateway.say("kept", "say hello, second")
            seen = kill_while_streaming(gateway, "kept", "speak slowly, third")
            claims.equal("the answer was streaming when the gateway was killed", seen, DELTAS_BEFORE_KILL)

            gateway.start()
            history = gateway.history("kept")
            asked = ["say hello, first", "say hello, second", "speak slowly, third"]
            claims.equal("every acknowledged message is there", texts(history, "user"), asked)
            claims.equal("finished answers are there", texts(history, "assistant")[:2], [ANSWER, ANSWER])
            claims.equal("the session answers again", gateway.say("kept", "say hello, fourth").answer, ANSWER)

            gateway.kill()
            gateway.start()
            history = gateway.history("kept")
            claims.equal("an answer seen just before a kill is there", texts(history, "assistant")[-1:], [ANSWER])
            claims.equal("nothing is there twice", texts(history, "user"), [*asked, "say hello, fourth"])


def kill_while_streaming(gateway, session, message):
    """Sends a message and kills the gateway after some deltas. Returns how many were seen."""
    seen = 0
    frames = gateway.client("say", session, message)
    with frames.program:
        for frame in frames:
            seen += frame.get("event") == "chat.event" and frame["payload"]["state"] == "delta"
            if seen == DELTAS_BEFORE_KILL:
                gateway.kill()
                break
    return seen
