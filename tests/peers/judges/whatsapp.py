"""WhatsApp's fake before whatsapp-api-js."""

from fakes.whatsapp import WhatsApp
from judges.judge import PNG, Judge


def run(claims, directory):
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
    while library.step("delivered")["id"] != hello["id"]:  # statuses come in any order
        pass
    claims.check("4097 characters are refused", "4096" in library.step("too long")["details"])
    claims.equal("the reaction is there", service.reactions, {question["id"]: "👍"})
    claims.equal("it was typing", [who for who, _ in service.typing], [ann["user_id"]])
    zed = service.person("492222", "Zed", username="zed")
    service.message(zed, "hidden hello")
    answered = service.messages[library.step("hello")["id"]]
    claims.equal("who shows no number is answered by user id", answered["to"], zed["user_id"])
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
