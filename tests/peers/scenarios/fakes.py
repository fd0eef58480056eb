"""The fakes of chat services, each judged by the vendor's own or the most used client library."""

import contextlib
import http.client
import json
import os
import queue
import threading

from fakes.discord import Discord
from fakes.slack import Slack
from fakes.telegram import Telegram
from fakes.whatsapp import WhatsApp
from programs import HERE, NODE_22, Late, Program

NEEDS = ["grammy", "@grammyjs/auto-retry", "@slack/web-api", "@slack/socket-mode", "@discordjs/ws",
         "@discordjs/rest", "whatsapp-api-js"]
STEP_SECONDS = 15.0
PNG = b"\x89PNG\r\n\x1a\n" + bytes(300)


def run(claims, binary, directory):
    telegram(claims, directory)
    slack(claims, directory)
    discord(claims, directory)
    whatsapp(claims, directory)


class Judge:
    """A running judge. Its lines are steps that can be waited for, in any order."""

    def __init__(self, directory, name, *arguments):
        self.name, self.log, self.steps, self.lines = name, directory / f"{name}.log", [], queue.Queue()
        environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "NODE_NO_WARNINGS": "1"}
        self.program = Program([NODE_22, HERE / "judges" / f"{name}.mjs", *arguments], self.log, environment, piped=True)
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.kill()
        with contextlib.suppress(ValueError):
            self.program.process.stdout.close()

    def _read(self):
        with contextlib.suppress(ValueError):
            for line in self.program.process.stdout:
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def step(self, name, seconds=STEP_SECONDS):
        """The next step of that name; each is given once."""
        while True:
            for index, step in enumerate(self.steps):
                if step["step"] == name:
                    return self.steps.pop(index)
            try:
                step = self.lines.get(timeout=seconds)
            except queue.Empty:
                raise Late(f"{self.name}: no step {name!r} within {seconds} s, but {self.steps}\n"
                           f"{self.program.tail()}") from None
            if step is None:
                raise Late(f"{self.name} ended before {name!r}; it told {self.steps}\n{self.program.tail()}")
            self.steps.append(step)

    def left(self, name):
        """The steps of that name that nobody waited for."""
        while not self.lines.empty():
            self.steps.append(self.lines.get())
        return [step for step in self.steps if step and step["step"] == name]


def refusal(step):
    return step["code"], step["description"]


def closed_by(library):
    """The close codes that discord.js saw, up to 4004."""
    steps = [library.step("closed by")]
    while steps[-1]["code"] != 4004:
        steps.append(library.step("closed by"))
    return steps


def telegram(claims, directory):
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
    service.wait(lambda: [one for one in service.sent(service.chats[1001]) if one.get("text") == "Allow?"], 5, "buttons")
    service.press(ann, service.sent(service.chats[1001])[-1], "yes")
    claims.equal("grammY hears a button", grammy.step("pressed"), {"step": "pressed", "data": "yes", "answered": True})
    service.react(ann, message, "🔥")
    claims.equal("grammY hears a reaction", grammy.step("reaction")["emoji"], "🔥")


def take(grammy, word):
    """The message step whose text ends in `word`."""
    while True:
        step = grammy.step("message")
        if step["text"].endswith(word):
            return step


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
    service.unblock(ann)
    service.migrate(family["id"], -1009876543210)
    service.message(ann, "moved", chat=family)
    claims.equal("grammY is told where a group went", grammy.step("moved")["parameters"],
                 {"migrate_to_chat_id": -1009876543210})
    service.network_gone(0.5)
    service.message(ann, "back again")
    claims.check("grammY comes back after the network was gone", take(grammy, "again"))
    service.wait(lambda: service.calls_of("getUpdates")[-1].status == 0, 5, "a held poll")
    other = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    other.request("GET", f"/bot{service.token}/getUpdates?timeout=0")
    claims.equal("a second poller is served", json.load(other.getresponse())["ok"], True)
    other.close()
    claims.equal("and the first is told", refusal(grammy.step("conflict")), (
        409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"))
    claims.check("the conflict is noted", any("one poll at a time" in line for line in service.broken()))
    grammy.step("started")


PACES = {"pace in a chat", "pace in a group", "pace in all", "pace of edits", "pace of drafts"}


def slack(claims, directory):
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
    service.network_gone(0.5)
    sdk.step("connected")
    service.message(ann, "wait")
    again = take(sdk, "wait")
    claims.equal("an event without acknowledgement comes again", again["attempt"], 1)
    claims.equal("and is noted", sum("acknowledge" in line for line in service.broken()), 1)


def discord(claims, directory):
    with Discord(heartbeat_ms=1000, identify_seconds=5.0) as service:
        ann, general = service.user("Ann"), service.guild("Home")
        with Judge(directory, "discord", service.url + "/api", service.token) as library:
            claims.equal("discord.js is told of a wrong token", library.step("wrong token")["status"], 401)
            service.forget()
            library.step("ready")
            discord_text(claims, service, library, ann, general)
            discord_more(claims, service, library, ann, general)
            discord_trouble(claims, service, library, ann, general)
            claims.equal("discord.js's code had no failure", library.left("broke"), [])
            claims.equal("discord.js keeps Discord's rules", service.broken(), [])


def discord_text(claims, service, library, ann, general):
    service.message(ann, "please say hello")
    claims.equal("discord.js replies", library.step("hello"), {"step": "hello", "text": "**Hello**",
                                                               "repliesTo": "please say hello"})
    claims.equal("discord.js edits", library.step("edited"), {"step": "edited", "text": "Hello again", "edited": True})
    claims.equal("2001 characters are refused", (too_long := library.step("too long"))["code"], 50035)
    claims.check("with the field and the limit", "2000 or fewer" in too_long["message"], too_long)
    claims.equal("an unknown channel is refused", library.step("no channel")["code"], 10003)
    service.wait(lambda: [emoji for _, emoji in service.reactions] == ["👍"], 5, "the reaction")
    claims.equal("discord.js was typing", len(service.typings), 1)
    message = service.message(ann, f"<@{service.me['id']}> look", general)
    seen = take(library, "look")
    claims.equal("discord.js sees a mention in a guild", (seen["guild"], seen["mentions"]), (True, 1))
    service.react(message, ann, "🔥")
    claims.equal("discord.js hears a reaction", library.step("reaction")["emoji"], "🔥")
    service.message(ann, "once or twice", general)
    claims.equal("a nonce makes one message of two", library.step("nonce")["same"], True)


def discord_more(claims, service, library, ann, general):
    service.message(ann, "poll", general)
    claims.equal("a poll of 769 hours is refused", library.step("too long a poll")["code"], 50035)
    service.vote(service.sent(general)[-1], ann, [2])
    claims.equal("discord.js hears the vote", library.step("vote"), {"step": "vote", "answer": 2, "from": ["ann"]})
    claims.equal("discord.js ends the poll", library.step("ended")["counts"], [[2, 1]])
    service.message(ann, "file")
    claims.equal("discord.js uploads", library.step("uploaded"), {"step": "uploaded", "name": "garden.png", "size": 20})
    service.message(ann, "see", files=[("cat.png", "image/png", PNG)])
    claims.equal("discord.js downloads", library.step("downloaded"), {"step": "downloaded", "bytes": len(PNG),
                                                                     "announced": len(PNG)})
    service.message(ann, "button")
    service.wait(lambda: service.sent()[-1]["components"], 5, "a button")
    pressed = service.press(service.sent()[-1], ann, "yes")
    claims.equal("discord.js hears a button", library.step("pressed")["id"], "yes")
    claims.equal("and answers it", pressed["answer"], {"type": 6})


def discord_trouble(claims, service, library, ann, general):
    other = service.user("Bob")
    service.fail("create", service.too_many(1.0))
    service.message(other, "busy")
    claims.check("discord.js waits a 429 out", 900 < library.step("waited")["ms"] < 5000)
    service.close_to_bot(service.direct(other))
    service.message(other, "closed")
    claims.equal("discord.js is told of a closed door", library.step("closed")["code"], 50007)
    service.ask_to_reconnect()
    library.step("resumed")
    service.message(ann, "after op 7", general)
    claims.check("discord.js resumes after op 7", take(library, "7"))
    service.network_gone(0.5)
    service.message(ann, "while away", general)
    claims.check("what was missed is replayed", take(library, "away"))
    library.step("resumed")
    service.closes.clear()
    service.acknowledges = False
    service.wait(lambda: service.closes, 8, "a zombie's end")
    service.acknowledges = True
    library.step("resumed")
    claims.check("discord.js ends a zombie and resumes", not {1000, 1001, 1006} & set(service.closes), service.closes)
    service.invalidate()
    library.step("ready")
    claims.equal("discord.js identifies again after op 9", service.identifies, 2)
    service.close_gateway(4004, "Authentication failed.")
    claims.check("discord.js stops after 4004", any(step["code"] == 4004 for step in closed_by(library)))
    claims.equal("and says why", library.step("error")["message"], "Error: Authentication failed")


def whatsapp(claims, directory):
    with WhatsApp() as service, Judge(directory, "whatsapp", service.url, service.token, service.phone, service.secret,
                                      service.verify_token) as library:
        ann = service.person("491111", "Ann")
        claims.equal("whatsapp-api-js is told of a wrong token", library.step("wrong token")["code"], 190)
        service.forget()
        claims.check("whatsapp-api-js passes the challenge", service.subscribe(library.step("listening")["url"]))
        whatsapp_messages(claims, service, library, ann)
        whatsapp_trouble(claims, service, library, ann)
        claims.equal("whatsapp-api-js's code had no failure", library.left("broke"), [])
        claims.equal("whatsapp-api-js keeps WhatsApp's rules", service.broken(), [])


def whatsapp_messages(claims, service, library, ann):
    question = service.message(ann, "please say hello")
    claims.equal("whatsapp-api-js marks as read", library.step("read").get("success"), True)
    hello = library.step("hello")
    claims.equal("whatsapp-api-js replies", (hello["to"], service.messages[hello["id"]]["context"]),
                 ("491111", {"message_id": question["id"]}))
    claims.equal("its message is delivered", library.step("delivered")["id"], hello["id"])
    claims.check("4097 characters are refused", "4096" in library.step("too long")["details"])
    claims.equal("the reaction is there", service.reactions, {question["id"]: "👍"})
    claims.equal("it was typing", [who for who, _ in service.typing], ["491111"])
    service.message(ann, "poll")
    poll = service.messages[library.step("poll")["id"]]
    claims.equal("a row of 25 characters is refused", library.step("long row")["code"], 131009)
    service.choose(ann, poll, "coffee")
    claims.equal("whatsapp-api-js hears the choice", library.step("vote"), {"step": "vote", "id": "coffee",
                                                                            "to": poll["id"]})
    service.message(ann, "photo")
    claims.equal("whatsapp-api-js uploads", library.step("photo")["sent"], True)
    claims.equal("and deletes", library.step("deleted")["success"], True)
    service.message(ann, image=("image/png", PNG), caption="look")
    claims.equal("whatsapp-api-js downloads", library.step("downloaded"), {"step": "downloaded", "bytes": len(PNG),
                                                                          "announced": len(PNG)})


def whatsapp_trouble(claims, service, library, ann):
    service.fail("messages", service.too_many(1))
    service.message(ann, "busy")
    claims.equal("whatsapp-api-js is told of the limit", library.step("busy")["code"], 130429)
    claims.equal("and may send later", library.step("later")["sent"], True)
    claims.equal("a forged post is refused", service.forged(ann, "forged"), 401)
    claims.equal("by whatsapp-api-js", library.step("refused")["name"], "WhatsAppAPIFailedToVerifyError")
    service.person("490000", "Far")
    service.message(ann, "too far")
    accepted, failed = library.step("accepted"), library.step("failed")
    claims.equal("a closed window fails afterwards", (failed["id"], failed["code"]), (accepted["id"], 131047))
