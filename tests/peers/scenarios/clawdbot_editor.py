"""The field's bridge for editors, `clawdbot acp`: it lives on the events of chats and runs."""

from clawdbot import Clawdbot
from gateway import Gateway
from mock_provider import MockProvider

NEEDS = ["aimock", "clawdbot"]
ANSWER = "Hello from the mock provider."


def run(claims, binary, directory):
    with MockProvider(directory) as mock:
        providers = {"mock": mock.provider("openai-completions")}
        with Gateway(binary, directory / "gateway", providers, "mock/mock") as gateway:
            person = Clawdbot(directory / "person", gateway.port, gateway.token)
            with person.editor() as editor:
                editor.ask("initialize", protocolVersion=1, clientCapabilities={})
                answers(claims, editor)
                failures_and_cancelling(claims, editor)
                sessions(claims, editor)


def answers(claims, editor):
    result, told = prompt(editor, new_session(editor), "say hello")
    claims.equal("a turn ends", result, {"stopReason": "end_turn"})
    # The bridge shows deltas alone, and the field's gateway sends none for the last words (methods.md 5).
    claims.check("its text streams in", len(spoken(told)) > 0 and ANSWER.startswith(spoken(told)), told)


def failures_and_cancelling(claims, editor):
    result, _ = prompt(editor, new_session(editor), "wrong key")
    claims.equal("a turn whose provider refuses ends as one that failed", result, {"stopReason": "refusal"})
    session = new_session(editor)
    editor.last_id += 1
    editor.tell("session/prompt", id=editor.last_id, sessionId=session, prompt=words("speak slowly"))
    first = editor.next()["params"]["update"]
    claims.equal("a long answer begins at once", first["sessionUpdate"], "agent_message_chunk")
    editor.tell("session/cancel", sessionId=session)
    result, _ = editor.answer()
    claims.equal("and can be cancelled", result, {"stopReason": "cancelled"})
    result, told = prompt(editor, session, "say hello")
    claims.check("after which the session answers", result == {"stopReason": "end_turn"} and spoken(told), told)


def sessions(claims, editor):
    listed, _ = editor.ask("session/list")
    claims.equal("the sessions are listed", len(listed.get("sessions", [])), 3)
    known = listed["sessions"][0]["sessionId"]
    editor.ask("session/load", sessionId=known, cwd="/tmp", mcpServers=[])
    result, _ = prompt(editor, known, "say hello")
    claims.equal("one that is known goes on", result, {"stopReason": "end_turn"})


def new_session(editor):
    result, _ = editor.ask("session/new", cwd="/tmp", mcpServers=[])
    return result["sessionId"]


def prompt(editor, session, text):
    return editor.ask("session/prompt", sessionId=session, prompt=words(text))


def words(text):
    return [{"type": "text", "text": text}]


def spoken(told):
    """The text that came, piece by piece."""
    return "".join(update["content"]["text"] for update in told if update["sessionUpdate"] == "agent_message_chunk")
