"""Slack's fake before the vendor's own clients."""

from fakes.slack import Slack
from judges.judge import PNG, Judge, take


def run(claims, directory):
    with Slack() as service, Judge(directory, "slack", service.url + "/api/", service.app_token,
                                   service.bot_token) as sdk:
        ann = service.user("UANN00", "Ann")
        general = service.channel("C100", "general")
        claims.equal("Slack's client is told of a wrong token", sdk.step("wrong token")["error"], "invalid_auth")
        claims.equal("Slack's client knows itself", sdk.step("me")["me"], service.bot_user)
        service.forget()
        sdk.step("connected")
        slack_text(claims, service, sdk, ann, general)
        slack_more(claims, service, sdk, ann, general)
        slack_trouble(claims, service, sdk, ann, general)
        claims.equal("Slack's code had no failure", sdk.left("broke"), [])
        claims.equal("Slack's clients keep Slack's rules", service.broken(but={"pace in a channel",
                                                                             "acknowledge within 3 s"}), [])


def slack_text(claims, service, sdk, ann, general):
    service.message(ann, "please say hello")
    claims.equal("Slack's client replies in a thread", sdk.step("hello"), {"step": "hello", "inThread": True,
                                                                           "text": "Hello &amp; welcome"})
    claims.equal("Slack's client edits", sdk.step("edited")["text"], "Hello again")
    claims.equal("4001 characters are refused", sdk.step("too long")["error"], "msg_too_long")
    claims.equal("an unknown channel is refused", sdk.step("no channel")["error"], "channel_not_found")
    claims.equal("a reaction counts once", sdk.step("twice")["error"], "already_reacted")
    claims.equal("an empty section is refused", sdk.step("empty section")["error"], "invalid_blocks")
    claims.equal("the bot hears itself", sdk.step("echo")["text"], "Hello &amp; welcome")
    message = service.message(ann, f"<@{service.bot_user}> look", channel=general)
    claims.equal("a mention comes as a message", take(sdk, "look")["type"], "message")
    claims.check("and as a mention", sdk.step("mention")["text"].endswith("look"))
    service.react(ann, message, "fire", general)
    claims.equal("Slack's client hears a reaction", sdk.step("reaction")["name"], "fire")
    service.message(ann, "who")
    claims.equal("Slack's client looks people up", sdk.step("who"), {"step": "who", "name": "Ann", "direct": True})


def slack_more(claims, service, sdk, ann, general):
    service.message(ann, "stream", channel=general)
    claims.equal("Slack's client streams", sdk.step("streamed")["text"], "one two three")
    claims.equal("a stream ends once", sdk.step("stream is over")["error"], "message_not_in_streaming_state")
    service.message(ann, "poll", channel=general)
    service.wait_for("chat.postMessage", 5, lambda call: "Tea or coffee?" == call.params.get("text"))
    poll = service.sent(general)[-1]
    service.press(ann, poll, "tea", general)
    claims.equal("Slack's client hears a button", sdk.step("vote"), {"step": "vote", "value": "tea", "from": "ann"})
    service.wait(lambda: poll["text"].endswith("1"), 5, "the tally")
    service.message(ann, "file")
    claims.equal("Slack's client uploads", sdk.step("uploaded"), {"step": "uploaded", "name": "garden.png", "size": 20})
    service.message(ann, "see", files=[("cat.png", "image/png", PNG)])
    claims.equal("Slack's client downloads", sdk.step("downloaded"), {"step": "downloaded", "bytes": len(PNG),
                                                                     "announced": len(PNG)})


def slack_trouble(claims, service, sdk, ann, general):
    service.fail("chat.postMessage", service.too_many(1))
    service.message(ann, "busy")
    claims.check("Slack's client waits a 429 out", 900 < sdk.step("waited")["ms"] < 5000)
    service.ask_to_leave("refresh_requested")
    sdk.step("connected")
    service.message(ann, "after the refresh")
    claims.check("Slack's client goes on after a refresh", take(sdk, "refresh"))
    service.half_open("connect")
    sdk.step("connected")
    service.slash(ann, "/photo", "garden")
    claims.equal("Slack's client leaves a half-open connection", sdk.step("slash")["command"], "/photo")
    service.network_gone(0.5)
    sdk.step("connected")
    service.message(ann, "wait")
    again = take(sdk, "wait")
    claims.equal("an event without acknowledgement comes again", again["attempt"], 1)
    claims.equal("and is noted", sum("acknowledge" in line for line in service.broken()), 1)
