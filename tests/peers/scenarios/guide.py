"""A client written from the guide alone: handshake, requests behind it, streaming, reconnect, abort, refusal."""

from gateway import Conversation, Gateway, texts
from mock_provider import MockProvider

NEEDS = ["aimock", "ws"]
ANSWER = "Hello from the mock provider."
METHODS = ["agent", "agent.wait", "chat.send", "chat.history", "chat.abort", "sessions.list", "health", "status"]


def run(claims, binary, directory):
    with MockProvider(directory) as mock:
        providers = {"mock": mock.provider("openai-completions")}
        with Gateway(binary, directory / "guide", providers, "mock/mock") as gateway:
            handshake_and_stream(claims, gateway)
            abort(claims, gateway)
            wrong_token(claims, gateway)
            claims.equal("the gateway ends with 0 when asked to", gateway.stop(), 0)


def handshake_and_stream(claims, gateway):
    first = gateway.say("peers", "say hello")
    spoken = [frame for frame in first.frames if frame.get("type") != "event"]
    hello = spoken[0]
    claims.equal("the first answer is a bare hello", (hello.get("type"), hello.get("protocol")), ("hello-ok", 3))
    listed = hello.get("features", {}).get("methods", [])
    claims.equal("the methods of a conversation are announced", [name for name in METHODS if name not in listed], [])
    claims.check("the policy is announced", all(
        hello.get("policy", {}).get(name, 0) > 0 for name in ("maxPayload", "maxBufferedBytes", "tickIntervalMs")
    ), hello.get("policy"))
    claims.check("scopes are announced", "operator.write" in hello.get("auth", {}).get("scopes", []), hello.get("auth"))
    claims.check("a session list sent behind the handshake is answered", isinstance(first.sessions, list))
    claims.equal("a message sent behind the handshake is taken", first.acknowledgement.get("status"), "started")
    stream(claims, first)

    claims.equal("a new connection finds the question", texts(gateway.history("peers"), "user"), ["say hello"])
    claims.equal("a new connection finds the answer", texts(gateway.history("peers"), "assistant"), [ANSWER])
    keys = [session.get("key") for session in gateway.say("peers", "say hello").sessions]
    claims.check("the session is listed", "agent:main:peers" in keys, keys)


def stream(claims, conversation):
    states = [event["state"] for event in conversation.chat]
    claims.equal("the last chat event is final", states[-1:], ["final"])
    claims.check("all before it are deltas", set(states[:-1]) <= {"delta"}, states)
    claims.equal("the final text is whole", conversation.answer, ANSWER)
    contents = [event["message"]["content"] for event in conversation.chat if "message" in event]
    claims.check("content is text", all(isinstance(content, str) for content in contents), contents)
    claims.check("deltas hold the text so far", all(
        after.startswith(before) for before, after in zip(contents, contents[1:])
    ), contents)
    said = conversation.stream("message")
    claims.check("agent events carry the message", said and said[-1].get("content") == ANSWER, said[-1:])
    claims.check("from the assistant", all(data.get("role") == "assistant" for data in said), said[:1])
    numbers = [event["seq"] for event in conversation.agent]
    claims.equal("agent events count from 0 without holes", numbers, list(range(len(numbers))))


def abort(claims, gateway):
    aborted = Conversation(gateway.client("abort", "impatient", "speak slowly").all())
    claims.equal("an aborted run says so", aborted.end.get("state"), "aborted")
    claims.equal("once", [event["state"] for event in aborted.chat].count("aborted"), 1)
    claims.equal("the same session answers the next message", gateway.say("impatient", "say hello").answer, ANSWER)


def wrong_token(claims, gateway):
    right, gateway.token = gateway.token, "0" * 64
    with gateway.client("history", "peers").program as client:
        printed = client.process.stdout.read()
        code = client.process.wait(20)
    gateway.token = right
    claims.equal("a wrong token is refused", code, 1)
    claims.check("without a hello", "hello-ok" not in printed, printed[:200])
    claims.check("with a reason in the close", "unauthorized" in client.tail(2), client.tail(2))
