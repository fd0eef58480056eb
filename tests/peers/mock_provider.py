"""The npm program aimock as a provider of three wire formats, with the answers of aimock/fixtures.json."""

import json
import urllib.request

from programs import HERE, NODE_MODULES, Program

NAME = "aimock"
CLI = NODE_MODULES / "@copilotkit/aimock/dist/cli.js"
START_SECONDS = 15.0


class MockProvider(Program):
    """A running aimock that refuses whatever no fixture answers."""

    def __init__(self, directory):
        super().__init__(
            ["node", CLI, "-p", "0", "-f", HERE / "aimock/fixtures.json", "--strict", "--validate-on-load"],
            directory / "aimock.log",
        )
        try:
            self.url = self.wait_for_line(r"listening on (http://\S+)", START_SECONDS)[1]
        except BaseException:
            self.kill()
            raise

    def provider(self, api):
        """The configuration of one provider entry."""
        base = self.url + "/v1" if api == "openai-completions" else self.url
        model = {"id": "mock", "name": "Mock", "contextWindow": 8192, "maxTokens": 1024,
                 "reasoning": api == "anthropic-messages"}
        return {"baseUrl": base, "api": api, "apiKey": "sk-mock", "models": [model]}

    def requests_for(self, words):
        """How many requests had these words in their last user message."""
        with urllib.request.urlopen(self.url + "/__aimock/journal", timeout=5) as answer:
            journal = json.load(answer)
        return sum(words in json.dumps(last_user_message(entry["body"])) for entry in journal)


def last_user_message(body):
    """The last user message of a provider request, in any of the three formats."""
    users = [message for message in (body or {}).get("messages", []) if message.get("role") == "user"]
    return users[-1] if users else {}
