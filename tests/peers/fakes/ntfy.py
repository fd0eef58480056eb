"""An ntfy server, strict: publishing as JSON or with headers, and the JSON stream.

Sources at docs.ntfy.sh: "Publishing" (JSON fields, priorities 1 to 5, at most 3 actions, 4096 bytes of message, access
tokens), "Subscribe via API" (open, message and keepalive lines, since, poll), "Configuration" (limits: 60 requests,
then one in 5 s). Error codes from the server's public source (binwiederhier/ntfy, server/errors.go). Publishing is
judged by the npm package ntfy, the stream by Node's fetch (judges/ntfy.mjs).
"""

import itertools
import json
import re
import secrets
import time

from fakes.base import Fake, instead
from fakes.http import Answer, answer_json

MESSAGE_BYTES_MAX = 4096
JSON_BYTES_MAX = 2 * MESSAGE_BYTES_MAX
FIELDS = {"topic": str, "message": str, "title": str, "tags": list, "priority": int, "actions": list, "click": str,
          "attach": str, "filename": str, "icon": str, "markdown": bool, "delay": str, "email": str, "call": str}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
ERRORS = {40007: "invalid priority parameter", 40008: "invalid since parameter",
          40009: "invalid request: topic invalid", 40017: "invalid request: request body must be message JSON",
          40018: "invalid request: actions invalid", 40101: "unauthorized", 40301: "forbidden",
          40401: "page not found", 41301: "attachment too large, or bandwidth limit reached",
          41303: "JSON body too large", 42901: "limit reached: too many requests", 50001: "internal server error"}


class Refused(Exception):
    """An error answer; the first three digits are the HTTP status."""


def envelope(code):
    return answer_json({"code": code, "http": code // 100, "error": ERRORS[code],
                        "link": "https://ntfy.sh/docs/publish/"}, code // 100)


class Ntfy(Fake):
    """A server where every topic needs `token`."""

    def __init__(self, keepalive_seconds=1.0):
        """The service sends a keepalive every 45 s."""
        self.token = "tk_" + secrets.token_hex(14)
        self.messages, self.denied, self.streams = [], set(), 0
        self.keepalive_seconds = keepalive_seconds
        self._seen, self._refused = set(), set()
        self._numbers = itertools.count(1)
        super().__init__()

    # What a scenario does.

    def publish(self, topic, message, **fields):
        """A message by somebody else, as a subscriber sees it."""
        with self.changed:
            entry = {"id": f"m{next(self._numbers):09d}", "time": int(time.time()), "expires": int(time.time()) + 43200,
                     "event": "message", "topic": topic, "message": message} | fields
            self.messages.append(entry)
            self.changed.notify_all()
            return entry

    def sent(self, topic=None):
        """What clients published."""
        with self.changed:
            return [message for call in self.calls_of("publish") if call.status == 200
                    for message in (call.answer,) if topic in (None, message["topic"])]

    def deny(self, topic):
        """From now on the topic is forbidden."""
        self.denied.add(topic)

    def too_many(self, seconds):
        """429 now, and for whatever is published until `seconds` are over."""
        fault = instead(envelope(42901))
        fault.answer.headers["X-Fake-Seconds"] = str(seconds)
        return fault

    @staticmethod
    def server_error():
        return instead(envelope(50001))

    # What the service does.

    def operation(self, request):
        if request.verb in ("POST", "PUT"):
            return "publish"
        return "subscribe" if request.path.endswith("/json") else request.path

    def on_fault(self, call, fault):
        if fault.answer and fault.answer.status == 429:
            self.freeze(call.operation, float(fault.answer.headers["X-Fake-Seconds"]))

    def perform(self, call, link):
        try:
            if call.operation == "publish":
                return self._publish(call)
            if call.operation == "subscribe":
                return self._subscribe(call, link)
            raise Refused(40401)
        except Refused as refused:
            return envelope(refused.args[0])

    def _check(self, call, topics):
        if left := self.frozen_for(call.operation):
            self.violation("calling before the limit is over", f"{left:.1f} s early")
            raise Refused(42901)
        if call.request.headers.get("authorization") != f"Bearer {self.token}":
            if self.frozen_for("token"):
                self.violation("calling after 401", call.request.path)
            self.freeze("token", 3600)
            raise Refused(40101)
        for topic in topics:
            if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", topic):
                raise Refused(40009)
            if topic in self.denied:
                if topic in self._refused:
                    self.violation("calling after 403", topic)
                self._refused.add(topic)
                raise Refused(40301)

    def _publish(self, call):
        request = call.request
        if request.path == "/":
            call.params = self._from_json(request.body)
        else:
            call.params = self._from_headers(request)
        fields = call.params
        self._check(call, [fields.get("topic", "")])
        if "priority" in fields and not 0 <= fields["priority"] <= 5:
            raise Refused(40007)
        actions = fields.get("actions", [])
        if len(actions) > 3 or any(not isinstance(action, dict) or not action.get("label")
                                   or action.get("action") not in ("view", "broadcast", "http", "copy")
                                   or (action["action"] in ("view", "http") and not action.get("url"))
                                   for action in actions):
            raise Refused(40018)
        message = fields.get("message") or "triggered"
        if len(message.encode()) > MESSAGE_BYTES_MAX:
            self.violation("messages of at most 4096 bytes", f"{len(message.encode())} bytes")
            raise Refused(41301)
        kept = {name: value for name, value in fields.items() if name not in ("topic", "message")}
        return answer_json(self.publish(fields["topic"], message, **kept))

    def _from_json(self, body):
        if len(body) > JSON_BYTES_MAX:
            raise Refused(41303)
        try:
            fields = json.loads(body)
        except ValueError:
            raise Refused(40017) from None
        if not isinstance(fields, dict) or any(type(value) is not FIELDS[name] for name, value in fields.items()
                                               if name in FIELDS):
            raise Refused(40017)
        if unknown := set(fields) - set(FIELDS):
            self.violation("unknown field", ", ".join(sorted(unknown)))
        return {name: value for name, value in fields.items() if name in FIELDS}

    @staticmethod
    def _from_headers(request):
        heads = request.headers
        fields = {"topic": request.path.strip("/"), "message": request.body.decode("utf-8", "replace")}
        for name in ("title", "click", "icon"):
            if value := heads.get(f"x-{name}", heads.get(name)):
                fields[name] = value
        if tags := heads.get("x-tags", heads.get("tags")):
            fields["tags"] = tags.split(",")
        if priority := heads.get("x-priority", heads.get("priority")):
            if not priority.isdigit():
                raise Refused(40007)
            fields["priority"] = int(priority)
        return fields

    def _subscribe(self, call, link):
        topics = call.request.path.removesuffix("/json").strip("/").split(",")
        call.params = dict(call.request.query)
        self._check(call, topics)
        poll, since = call.params.get("poll") == "1", call.params.get("since")
        with self.changed:
            if not poll and since is None and set(topics) & self._seen:
                self.violation("a later subscription names since", ",".join(topics))
            self._seen |= set(topics)
            old = self._since(since or ("all" if poll else "none"))
            start = len(self.messages)
        return Answer(200, b"", {"Content-Type": "application/x-ndjson; charset=utf-8"},
                      self._lines(topics, old, start, poll, link))

    def _since(self, since):
        if since == "all":
            return list(self.messages)
        if since in ("none", "latest"):
            return self.messages[-1:] if since == "latest" else []
        if re.fullmatch(r"\d+", since):
            return [message for message in self.messages if message["time"] >= int(since)]
        if found := re.fullmatch(r"(\d+)([smhd])", since):
            first = time.time() - int(found[1]) * SECONDS[found[2]]
            return [message for message in self.messages if message["time"] >= first]
        if not re.fullmatch(r"[A-Za-z0-9]{10,12}", since):
            raise Refused(40008)
        known = [index for index, message in enumerate(self.messages) if message["id"] == since]
        return self.messages[known[0] + 1:] if known else list(self.messages)

    def _lines(self, topics, old, start, poll, link):
        with self.changed:
            self.streams += 1
        try:
            if not poll:
                yield self._line("open", topics)
            for message in old:
                if message["topic"] in topics:
                    yield json.dumps(message).encode() + b"\n"
            spoken = time.monotonic()
            while not poll and not self.ended and not link.is_left():
                with self.changed:
                    self.changed.wait(0.1)
                    new, start = self.messages[start:], len(self.messages)
                for message in new:
                    if message["topic"] in topics:
                        yield json.dumps(message).encode() + b"\n"
                        spoken = time.monotonic()
                if time.monotonic() - spoken >= self.keepalive_seconds:
                    yield self._line("keepalive", topics)
                    spoken = time.monotonic()
        finally:
            with self.changed:
                self.streams -= 1
                self.changed.notify_all()

    def _line(self, event, topics):
        return json.dumps({"id": f"e{next(self._numbers):09d}", "time": int(time.time()), "event": event,
                           "topic": ",".join(topics)}).encode() + b"\n"
