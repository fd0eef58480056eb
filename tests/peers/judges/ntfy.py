"""ntfy's fake before the npm package ntfy and Node's fetch."""

from fakes.ntfy import Ntfy
from judges.judge import Judge


def run(claims, directory):
    with Ntfy() as service, Judge(directory, "ntfy", service.url, service.token) as library:
        claims.equal("ntfy's client is told of a wrong token", library.step("wrong token")["message"],
                     "Error while publishing message: Unauthorized")
        service.forget()
        claims.equal("the stream is NDJSON", library.step("open")["type"], "application/x-ndjson; charset=utf-8")
        library.step("keepalive")
        service.publish("garden", "publish")
        claims.equal("ntfy's client publishes", library.step("published"), {
            "step": "published", "topic": "garden", "title": "Garden", "priority": 4, "tags": ["seedling"]})
        service.fail("publish", service.too_many(1))
        service.publish("garden", "busy")
        claims.equal("ntfy's client is told of the limit", library.step("refused")["message"],
                     "Error while publishing message: Too Many Requests")
        claims.equal("and may publish later", library.step("later")["topic"], "garden")
        service.network_gone(0.3)
        service.publish("garden", "while away")
        library.step("open")
        messages = [library.step("message")["message"]]
        while messages[-1] != "while away":
            messages.append(library.step("message")["message"])
        claims.check("what was missed comes with since", messages[-1] == "while away", messages)
        claims.equal("ntfy's code had no failure", library.left("broke"), [])
        claims.equal("ntfy's rules are kept", service.broken(), [])
