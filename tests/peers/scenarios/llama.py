"""A real llama.cpp server with a tiny model of ours, as an OpenAI and as an Anthropic provider."""

import subprocess

from gateway import Gateway
from programs import HERE, PYTHON, Program

NEEDS = ["xllamacpp", "ws"]
KEY = "sk-llama-peer"
SENTENCE = "I am a tiny test model running on llama cpp."
SENTENCE_TOKENS = 12
CONTEXT_TOKENS = 4096
START_SECONDS = 30.0


def run(claims, binary, directory):
    model = directory / "parrot.gguf"
    subprocess.run([PYTHON, HERE / "llama/mkmodel.py", model], check=True, timeout=60)
    with Program([PYTHON, HERE / "llama/serve.py", model, KEY], directory / "llama.log") as server:
        url = server.wait_for_line(r"listening on (http://\S+)", START_SECONDS)[1]
        for api, base in (("openai-completions", url + "/v1"), ("anthropic-messages", url)):
            with Gateway(binary, directory / api, {"llama": provider(api, base, KEY)}, "llama/parrot") as gateway:
                conversation(claims, gateway, api)
                too_long(claims, gateway, api)
            wrong = {"llama": provider(api, base, "sk-wrong")}
            with Gateway(binary, directory / f"{api}-wrong-key", wrong, "llama/parrot") as gateway:
                refused = gateway.say("main", "hello")
                claims.equal(f"{api}: a wrong key ends in an error", refused.end.get("state"), "error")


def conversation(claims, gateway, api):
    first = gateway.say("main", "Who are you?")
    claims.equal(f"{api}: the model answers", first.answer.strip(), SENTENCE)
    claims.equal(f"{api}: the run is final", first.end.get("state"), "final")
    claims.check(f"{api}: the answer grew before it was final", len(first.stream("message")) > 1, first.agent)
    messages = [message for message in first.history if message["role"] == "assistant"]
    usage = messages[-1].get("usage", {}) if messages else {}
    claims.equal(f"{api}: the tokens are counted", usage.get("output"), SENTENCE_TOKENS)
    second = gateway.say("main", "And again?")
    claims.equal(f"{api}: a second turn is answered too", second.answer.strip(), SENTENCE)
    claims.check(f"{api}: the prompt that it knew is counted as cached", cached(second), second.history[-1:])
    roles = [message["role"] for message in gateway.history("main")]
    claims.equal(f"{api}: a new connection finds both turns", roles, ["user", "assistant"] * 2)


def too_long(claims, gateway, api):
    said = gateway.say("long", "Read this. " + "word " * CONTEXT_TOKENS)
    claims.equal(f"{api}: a message above the model's window ends in an error", said.end.get("state"), "error")
    claims.check(f"{api}: which has a text", said.end.get("errorMessage"), said.end)
    claims.equal(f"{api}: other sessions go on", gateway.say("main", "Still there?").answer.strip(), SENTENCE)


def cached(conversation):
    """Tokens of the last answer's prompt that the server had seen before."""
    return conversation.history[-1].get("usage", {}).get("cacheRead", 0)


def provider(api, base, key):
    model = {"id": "parrot", "name": "Parrot", "contextWindow": CONTEXT_TOKENS, "maxTokens": 256, "reasoning": False}
    return {"baseUrl": base, "api": api, "apiKey": key, "models": [model]}
