"""Clients that break the rules: the fakes have to notice, or a gateway that does the same would pass. And the faults
that a scenario can ask for have to happen."""

import base64
import hmac
import http.client
import http.server
import json
import os
import socket
import struct
import threading
import time
import urllib.parse

from fakes.base import CUT, LOST, SILENCE, stall
from fakes.discord import Discord
from fakes.ntfy import Ntfy
from fakes.slack import Slack
from fakes.telegram import Telegram
from fakes.whatsapp import WhatsApp

AGENT = "DiscordBot (https://example.org, 1)"


def run(claims):
    telegram(claims)
    faults(claims)
    slack(claims)
    discord_gateway(claims)
    discord_rest(claims)
    whatsapp(claims)
    webhook(claims)
    ntfy(claims)


def ask(service, verb, path, body=None, seconds=5, **headers):
    """Status and JSON of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=seconds)
    try:
        if body is not None:
            headers["Content-Type"] = "application/json"
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(verb, path, None if body is None else json.dumps(body), names)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if "json" in answer.headers.get("Content-Type", "") else content
    finally:
        connection.close()


def rules(service):
    """The names of the rules that were broken, each once, in order."""
    return list(dict.fromkeys(rule for _, rule, _ in service.violations))


class Socket:
    """A WebSocket client without manners."""

    def __init__(self, service, path):
        self.sock = socket.create_connection(("127.0.0.1", service.port), timeout=5)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass

    def send(self, value, masked=True):
        data = json.dumps(value).encode()
        head = struct.pack(">BBH", 0x81, (0x80 if masked else 0) | 126, len(data))
        self.sock.sendall(head + (bytes(4) if masked else b"") + data)

    def receive(self):
        """The next JSON message, or the close code."""
        while True:
            first, size = self.file.read(2)
            if size == 126:
                size = struct.unpack(">H", self.file.read(2))[0]
            data = self.file.read(size)
            if first & 15 == 8:
                self.sock.close()
                return struct.unpack(">H", data[:2])[0]
            if first & 15 == 1:
                return json.loads(data)


def telegram(claims):
    with Telegram() as service:
        ann = service.user(1001, "Ann")

        def say(text, chat=1001, token=service.token, **more):
            return ask(service, "POST", f"/bot{token}/sendMessage", {"chat_id": chat, "text": text} | more)[0]

        say("one")
        say("two")
        claims.equal("Telegram: two messages at once are noted", rules(service), ["pace in a chat"])
        service.forget()
        claims.equal("Telegram: a number is no text", say(5), 400)
        say("three", wrong_name=1)
        claims.equal("Telegram: types and unknown names are noted", rules(service)[:2],
                     ["types of parameters", "unknown parameter"])
        service.forget()
        service.fail("sendMessage", service.too_many(5))
        claims.equal("Telegram: who doesn't wait gets 429 again", [say("four"), say("five")], [429, 429])
        claims.equal("Telegram: and is noted", rules(service), ["calling before retry_after"])
        service.forget()
        service.block(ann)
        claims.equal("Telegram: blocked is 403", [say("six"), say("seven")], [403, 403])
        claims.equal("Telegram: the second is noted", service.broken(), ["calling after 403: chat 1001"])
        service.forget()
        claims.equal("Telegram: a wrong token is 401", [say("x", token="1:a"), say("x", token="1:a")], [401, 401])
        claims.equal("Telegram: going on with it is noted", rules(service), ["calling after 401"])
        service.forget()
        service.message(ann, "hello")
        fetched = [ask(service, "GET", f"/bot{service.token}/getUpdates")[1]["result"] for _ in range(6)]
        claims.equal("Telegram: without an offset an update comes again", ["message" in one[-1] for one in fetched],
                     [True] * 6)
        claims.equal("Telegram: for ever is noted", rules(service), ["offset confirms"])


def faults(claims):
    with Telegram() as service:
        ann = service.user(1001, "Ann")
        path, body = f"/bot{service.token}/sendMessage", {"chat_id": 1001, "text": "hello"}
        for name, fault, sent in (("lost", LOST, 1), ("cut", CUT, 2), ("silent", SILENCE, 2)):
            service.fail("sendMessage", fault)
            claims.check(f"an answer is {name}", fails(service, path, body))
            claims.equal(f"a request whose answer is {name} is done or not", len(service.sent()), sent)
        service.fail("sendMessage", stall(0.3))
        started = time.monotonic()
        ask(service, "POST", path, body)
        claims.check("an answer comes late", 0.3 <= time.monotonic() - started < 3)
        link = socket.create_connection(("127.0.0.1", service.port), timeout=0.5)
        link.sendall(f"GET /bot{service.token}/getUpdates?timeout=20 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        service.wait_held("getUpdates", 5)
        service.half_open()
        service.message(ann, "hello?")
        claims.check("a half-open link stays silent", is_silent(link))
        claims.equal("a new one works", len(ask(service, "GET", f"/bot{service.token}/getUpdates")[1]["result"]), 1)
        link.close()
        service.network_gone(3600)
        claims.check("the network is gone", fails(service, path, body))
        service.network_back()
        claims.equal("and comes back", ask(service, "POST", path, body)[0], 200)


def fails(service, path, body):
    try:
        ask(service, "POST", path, body, seconds=1)
    except (OSError, http.client.HTTPException):
        return True
    return False


def is_silent(link):
    try:
        return link.recv(1) is None
    except TimeoutError:
        return True


def slack(claims):
    with Slack() as service:
        def call(method, token=service.bot_token, **body):
            return ask(service, "POST", f"/api/{method}", body, Authorization=f"Bearer {token}")[1]

        ann = service.user("UANN00", "Ann")
        direct = service.dm(ann)["id"]
        claims.equal("Slack: a bot's token opens no socket", call("apps.connections.open")["error"],
                     "not_allowed_token_type")
        claims.equal("Slack: an unknown method is told", call("chat.sing")["error"], "unknown_method")
        call("chat.postMessage", channel=direct, text="x" * 4001)
        url = urllib.parse.urlsplit(call("apps.connections.open", token=service.app_token)["url"])
        client = Socket(service, f"{url.path}?{url.query}")
        claims.equal("Slack: a connection says hello", client.receive()["type"], "hello")
        claims.equal("Slack: a URL opens once", Socket(service, f"{url.path}?{url.query}").status, 403)
        client.send({"envelope_id": "nonsense"})
        number = service.message(ann, "see", files=[("a.txt", "text/plain", b"words")])
        claims.equal("Slack: events come", client.receive()["type"], "events_api")
        path = urllib.parse.urlsplit(number["files"][0]["url_private"]).path
        claims.check("Slack: a file without the token is a page", b"Sign in" in ask(service, "GET", path)[1])
        claims.equal("Slack: all of it is noted", rules(service), [
            "text of at most 4000", "a URL is for one use", "an acknowledgement names its envelope",
            "files need the token"])
        client.sock.close()


def discord_gateway(claims):
    with Discord(heartbeat_ms=300) as service:
        path = "/?v=10&encoding=json"
        identify = {"op": 2, "d": {"token": service.token, "intents": 1 << 9,
                                   "properties": {"os": "linux", "browser": "x", "device": "x"}}}

        def closed(*frames, at=path, masked=True):
            client = Socket(service, at)
            for frame in frames:
                client.send(frame, masked)
            while not isinstance(told := client.receive(), int):
                pass
            return told

        claims.equal("Discord: an old version is 4012", closed(at="/?v=6&encoding=json"), 4012)
        claims.equal("Discord: a frame without a mask is 1002", closed(identify, masked=False), 1002)
        claims.equal("Discord: nothing comes before identify", closed({"op": 3, "d": {}}), 4003)
        claims.equal("Discord: op 99 is unknown", closed({"op": 99, "d": {}}), 4001)
        claims.equal("Discord: identify is once", closed(identify, identify), 4005)
        wrong = {"op": 2, "d": identify["d"] | {"token": "wrong"}}
        claims.equal("Discord: a wrong token is 4004", closed(wrong), 4004)
        claims.equal("Discord: unknown intents are 4013", closed({"op": 2, "d": identify["d"] | {"intents": 1 << 30}}),
                     4013)
        service.enabled &= ~(1 << 15)
        claims.equal("Discord: a privileged intent needs leave",
                     closed({"op": 2, "d": identify["d"] | {"intents": 1 << 15}}), 4014)
        claims.equal("Discord: a frame of 5000 bytes is 4002", closed({"op": 1, "d": "x" * 5000}), 4002)
        claims.equal("Discord: who resumes nothing must identify", closed(
            {"op": 6, "d": {"token": service.token, "session_id": "x", "seq": 1}}), 4000)
        claims.check("Discord: silence is noted", "heartbeats come in time" in rules(service), rules(service))
        claims.check("Discord: so is the rest", {"WebSocket (RFC 6455)", "known opcodes", "one identify a connection",
                                                 "known intents", "frames of at most 4096 bytes"}
                     <= set(rules(service)), rules(service))


def discord_rest(claims):
    with Discord() as service:
        channel = service.guild("Home")

        def say(content, agent=AGENT):
            return ask(service, "POST", f"/api/v10/channels/{channel['id']}/messages", {"content": content},
                       Authorization=f"Bot {service.token}", User_Agent=agent)[0]

        say("hi", agent="curl")
        claims.equal("Discord: who calls without its name is noted", rules(service),
                     ["User-Agent is DiscordBot (url, version)"])
        claims.equal("Discord: an empty message is refused", say(""), 400)
        claims.equal("Discord: a bucket is 5", [say("hi") for _ in range(4)], [200, 200, 200, 429])
        claims.check("Discord: going on is noted", "an empty bucket is left alone" in rules(service))
        service.close_to_bot(channel)
        service.refill()
        claims.equal("Discord: a closed door is 403", [say("hi"), say("hi")], [403, 403])
        claims.check("Discord: knocking again is noted", "calling after 403" in rules(service))
        claims.equal("Discord: bad answers are counted", service.invalid_requests, 3)


def whatsapp(claims):
    with WhatsApp() as service:
        def say(to="491111", token=service.token, **more):
            body = {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "hi"}} | more
            return ask(service, "POST", f"/v23.0/{service.phone}/messages", body, Authorization=f"Bearer {token}")[0]

        claims.equal("WhatsApp: a number is no phone number", say(to=491111), 400)
        claims.equal("WhatsApp: an unknown field is noted", (say(edit="x"), rules(service)), (200, ["unknown field"]))
        claims.equal("WhatsApp: the 46th message in 6 s is too much", [say() for _ in range(45)][-1], 429)
        claims.equal("WhatsApp: and noted", rules(service)[-1:], ["pace to one person"])
        say(token="wrong")
        claims.equal("WhatsApp: a wrong token is 401", say(token="wrong"), 401)
        claims.equal("WhatsApp: going on with it is noted", rules(service)[-1:], ["calling after 190"])


class Deaf(http.server.BaseHTTPRequestHandler):
    """A webhook that answers 500, 500, then 200."""

    seen = []

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(query["hub.challenge"][0].encode())

    def do_POST(self):
        self.seen.append((self.headers["X-Hub-Signature-256"], self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if len(self.seen) < 3 else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


def webhook(claims):
    with WhatsApp(retry_seconds=(0.1, 0.1)) as service, http.server.HTTPServer(("127.0.0.1", 0), Deaf) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        claims.check("WhatsApp: the challenge is echoed", service.subscribe(f"http://127.0.0.1:{server.server_port}/"))
        message = service.message(service.person("491111", "Änn"), "hello/you")
        service.wait(lambda: len(service.posts) == 3, 5, "three posts")
        server.shutdown()
        claims.equal("WhatsApp: a post comes until it is answered 200", [status for _, status in service.posts],
                     [500, 500, 200])
        claims.equal("WhatsApp: always the same", len(set(Deaf.seen)), 1)
        signature, body = Deaf.seen[0]
        claims.equal("WhatsApp: signed over the raw bytes", signature,
                     "sha256=" + hmac.new(service.secret.encode(), body, "sha256").hexdigest())
        claims.check("WhatsApp: which are escaped", b"hello\\/you" in body and b"\\u00c4nn" in body, body)
        claims.check("WhatsApp: and hold the message", message["id"].encode() in body)


def ntfy(claims):
    with Ntfy() as service:
        def call(verb, path, body=None):
            return ask(service, verb, path, body, Authorization=f"Bearer {service.token}")

        claims.equal("ntfy: JSON publishes", call("POST", "/", {"topic": "a", "message": "hi", "priority": 5})[0], 200)
        claims.equal("ntfy: a priority of 6 is refused", call("POST", "/", {"topic": "a", "priority": 6})[1]["code"],
                     40007)
        claims.equal("ntfy: a text is no priority", call("POST", "/", {"topic": "a", "priority": "5"})[1]["code"],
                     40017)
        action = {"action": "view", "label": "Open", "url": "https://example.org"}
        four = {"topic": "a", "actions": [action] * 4}
        claims.equal("ntfy: four actions are refused", call("POST", "/", four)[1]["code"], 40018)
        long = {"topic": "a", "message": "x" * 4097}
        claims.equal("ntfy: a long message is refused", call("POST", "/", long)[0], 413)
        service.deny("b")
        claims.equal("ntfy: a closed topic is 403", [call("POST", "/", {"topic": "b"})[0] for _ in "12"], [403, 403])
        head = f"GET /a/json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.token}\r\n\r\n"
        for _ in "12":
            with socket.create_connection(("127.0.0.1", service.port), timeout=5) as link:
                link.sendall(head.encode())
                while b"open" not in link.recv(4096):
                    pass
        claims.equal("ntfy: all of it is noted", rules(service), [
            "messages of at most 4096 bytes", "calling after 403", "a later subscription names since"])
