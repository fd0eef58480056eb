"""Telegram's fake before grammY."""

import socket

from fakes.telegram import Telegram
from judges.judge import PNG, Judge, refusal, take

PACES = {"pace in a chat", "pace in a group", "pace in all", "pace of edits", "pace of drafts"}


def run(claims, directory):
    with Telegram() as service, Judge(directory, "grammy", service.url, service.token) as grammy:
        ann = service.user(1001, "Ann", "ann")
        family = service.group(-1001234567890, "Family", topics=[5])
        claims.equal("grammY is told of a wrong token", refusal(grammy.step("wrong token")), (401, "Unauthorized"))
        service.forget()
        claims.equal("grammY starts", grammy.step("started")["username"], service.me["username"])
        telegram_text(claims, service, grammy, ann, family)
        telegram_poll(claims, service, grammy, ann)
        telegram_media(claims, service, grammy, ann)
        telegram_trouble(claims, service, grammy, ann, family)
        claims.equal("grammY's code had no failure", grammy.left("broke"), [])


def telegram_text(claims, service, grammy, ann, family):
    service.message(ann, "please say hello")
    hello = grammy.step("hello")
    claims.equal("grammY sends HTML", hello["text"], "Hello & welcome")
    claims.equal("entities count as documented", [
        (entity["type"], entity["offset"], entity["length"]) for entity in hello["entities"]
    ], [("bold", 0, 5), ("code", 8, 7)])
    claims.equal("grammY's reply names its question", hello["repliesTo"], "please say hello")
    claims.equal("grammY edits", grammy.step("edited"), {"step": "edited", "text": "Hello again", "edited": True})
    claims.check("an edit without a change is refused",
                 "message is not modified" in refusal(grammy.step("unchanged"))[1])
    service.wait_for("setMessageReaction", 5)
    claims.equal("the reaction is there", list(service.reactions.values()), [["👍"]])
    claims.equal("grammY was typing", [action for _, action, _ in service.actions], ["typing"])
    service.message(ann, "html")
    claims.equal("an open tag is refused", refusal(grammy.step("unclosed")), (
        400, 'Bad Request: can\'t parse entities: Can\'t find end tag corresponding to start tag "b"'))
    claims.equal("an unknown tag is refused", refusal(grammy.step("unknown tag")), (
        400, 'Bad Request: can\'t parse entities: Unsupported start tag "blink" at byte offset 0'))
    claims.equal("4097 characters are refused", refusal(grammy.step("too long"))[1], "Bad Request: message is too long")
    claims.equal("an unknown chat is refused", refusal(grammy.step("no chat")), (400, "Bad Request: chat not found"))
    service.message(ann, f"@{service.me['username']} look", chat=family, topic=5)
    claims.equal("grammY sees a mention", [entity["type"] for entity in take(grammy, "look")["entities"]], ["mention"])
    service.message(ann, "draft")
    claims.equal("grammY sends a draft", grammy.step("draft")["taken"], True)
    service.stop_generation(ann, 7)
    claims.equal("grammY hears the stop button", grammy.step("stop")["draft"], 7)
    message = service.message(ann, "button")
    asked = service.wait(lambda: [one for one in service.sent() if one.get("text") == "Allow?"], 5, "buttons")
    service.press(ann, asked[0], "yes")
    claims.equal("grammY hears a button", grammy.step("pressed"), {"step": "pressed", "data": "yes", "answered": True})
    service.react(ann, message, "🔥")
    claims.equal("grammY hears a reaction", grammy.step("reaction")["emoji"], "🔥")


def telegram_poll(claims, service, grammy, ann):
    service.message(ann, "poll")
    claims.equal("grammY sends a poll", grammy.step("poll")["options"], ["Tea", "Coffee"])
    poll = next(message for message in service.sent() if "poll" in message)
    service.vote(poll, ann, [1])
    claims.equal("grammY hears the vote", grammy.step("vote"), {"step": "vote", "options": [1], "from": "Ann"})
    claims.equal("grammY stops the poll", grammy.step("stopped"), {"step": "stopped", "closed": True, "votes": [0, 1]})


def telegram_media(claims, service, grammy, ann):
    service.host("https://pictures.example/notes.txt", b"some notes")
    service.message(ann, "photo")
    claims.equal("grammY uploads a picture", grammy.step("photo"), {"step": "photo", "sizes": 2,
                                                                    "caption": "the garden"})
    claims.equal("grammY sends a file by its address", grammy.step("document")["name"], "notes.txt")
    claims.equal("words are no picture", refusal(grammy.step("no picture")), (400, "Bad Request: IMAGE_PROCESS_FAILED"))
    service.message(ann, "album")
    claims.equal("grammY sends an album", grammy.step("album")["captions"], ["one", "two"])
    service.message(ann, photo=("cat.png", PNG))
    claims.equal("grammY downloads a picture", grammy.step("downloaded"), {"step": "downloaded", "bytes": len(PNG),
                                                                          "announced": len(PNG)})


def telegram_trouble(claims, service, grammy, ann, family):
    service.fail("sendMessage", service.too_many(1))
    service.message(ann, "busy")
    claims.check("grammY waits a 429 out", 900 < grammy.step("waited")["ms"] < 5000)
    claims.equal("and comes after its time", service.broken(but=PACES), [])
    service.block(ann)
    service.message(ann, "blocked")
    claims.equal("grammY is told that it is blocked", refusal(grammy.step("blocked")), (
        403, "Forbidden: bot was blocked by the user"))
    claims.equal("and by an update", grammy.step("membership")["status"], "kicked")
    service.unblock(ann)
    service.migrate(family["id"], -1009876543210)
    service.message(ann, "moved", chat=family)
    claims.equal("grammY is told where a group went", grammy.step("moved")["parameters"],
                 {"migrate_to_chat_id": -1009876543210})
    service.network_gone(0.5)
    service.message(ann, "back again")
    claims.check("grammY comes back after the network was gone", take(grammy, "again"))
    service.wait(lambda: service.calls_of("getUpdates")[-1].status == 0, 5, "a held poll")
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as other:
        other.sendall(f"GET /bot{service.token}/getUpdates?timeout=20 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        claims.equal("grammY is told of a second poller", refusal(grammy.step("conflict")), (
            409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"))
    claims.check("the conflict is noted", any("one poll at a time" in line for line in service.broken()))
    grammy.step("started")
