"""Providers as aimock plays them: three wire formats, thinking, busy and overloaded answers, cut streams."""

from gateway import Gateway, texts
from mock_provider import MockProvider

NEEDS = ["aimock", "ws"]
APIS = ["openai-completions", "anthropic-messages", "ollama-chat"]


def run(claims, binary, directory):
    with MockProvider(directory) as mock:
        for api in APIS:
            with Gateway(binary, directory / api, {"mock": mock.provider(api)}, "mock/mock") as gateway:
                plain(claims, gateway, api)
                cut(claims, gateway, api)
                if api == "openai-completions":
                    tried_again(claims, gateway, mock, "busy once", "Now there is room.", 429)
                if api == "anthropic-messages":
                    thinking(claims, gateway)
                    tried_again(claims, gateway, mock, "overloaded once", "Awake again.", 529)
                    not_tried_again(claims, gateway, mock)


def plain(claims, gateway, api):
    said = gateway.say("plain", "say hello")
    claims.equal(f"{api}: the answer arrives", said.answer, "Hello from the mock provider.")
    claims.equal(f"{api}: with one end", [event["state"] for event in said.chat][-1:], ["final"])


def cut(claims, gateway, api):
    said = gateway.say("cut", "cut me off")
    claims.equal(f"{api}: a cut stream ends in an error", said.end.get("state"), "error")
    claims.check(f"{api}: the error has a text", said.end.get("errorMessage"), said.end)
    kept = texts(gateway.history("cut"), "assistant")
    claims.check(f"{api}: the text that had arrived is kept", any(
        text.startswith("This sen") and not text.endswith("end.") for text in kept
    ), kept)


def thinking(claims, gateway):
    said = gateway.say("thinking", "think first")
    thoughts = [data.get("content", "") for data in said.stream("thinking")]
    claims.check("thinking is a stream of its own", thoughts and thoughts[-1].endswith("make four."), thoughts)
    claims.equal("and no part of the answer", said.answer, "The answer is four.")
    blocks = [block for message in said.history if message["role"] == "assistant" for block in message["content"]]
    kept = [block for block in blocks if block.get("type") == "thinking"]
    claims.equal("it is kept in the history", [block.get("thinking") for block in kept], ["Two and two make four."])
    again = gateway.say("thinking", "say hello")
    claims.equal("the provider takes it back in the next turn", again.answer, "Hello from the mock provider.")


def tried_again(claims, gateway, mock, message, answer, status):
    said = gateway.say("patient", message)
    claims.equal(f"after a {status} the answer arrives", said.answer, answer)
    claims.equal(f"after a {status} there is one second try", mock.requests_for(message), 2)
    claims.equal("and one answer in the history", texts(said.history, "assistant"), [answer])


def not_tried_again(claims, gateway, mock):
    said = gateway.say("refused", "wrong key")
    claims.equal("a refused key ends in an error", said.end.get("state"), "error")
    claims.check("which names the refusal", "401" in said.end.get("errorMessage", ""), said.end)
    claims.equal("after one try", mock.requests_for("wrong key"), 1)
