"""Discord's fake before discord.js's packages for the gateway and REST."""

from fakes.discord import Discord
from judges.judge import PNG, Judge, take


def closed_by(library):
    """The close codes that discord.js saw, up to 4004."""
    steps = [library.step("closed by")]
    while steps[-1]["code"] != 4004:
        steps.append(library.step("closed by"))
    return steps


def run(claims, directory):
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
