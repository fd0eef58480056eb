"""Slack's Socket Mode for one app, strict.

Sources at docs.slack.dev: "Using Socket Mode" (hello, envelopes, acknowledgement within 3 s, disconnect and its
reasons, up to 10 connections, a URL for one use), "The Events API" (redelivery, retry reasons). From the vendor's own
client, node-slack-sdk: the server sends pings (30 s without one is the end), and leaves the TCP connection open after
the closing handshake. Not from a document: that a second use of a URL is answered with 403. Judged by
@slack/socket-mode (judges/slack.mjs).
"""

import itertools
import json
import secrets
import threading
import time

from fakes.base import Fake, Gone
from fakes.http import Answer
from fakes.websocket import WebSocket

ACK_SECONDS = 3.0
CONNECTIONS_MAX = 10
TICKET_SECONDS = 30.0
LINGER_SECONDS = 3.0  # how long the link stays open after the closing handshake


class SlackSocket(Fake):
    """The WebSocket side. Needs `team`, `app` and `bot_user` of its subclass."""

    def __init__(self, ping_seconds=2.0, retry_seconds=(0.2, 1.0, 2.0)):
        """`retry_seconds`: after how long an event without acknowledgement comes again; the service takes
        "almost at once", a minute and five minutes."""
        self.sockets, self.tickets = [], {}
        self.waiting = {}  # envelope id → [envelope, when sent, socket]
        self.acknowledged = {}  # envelope id → payload of the acknowledgement
        self.ping_seconds, self.retry_seconds = ping_seconds, retry_seconds
        self.linger_seconds = LINGER_SECONDS
        self._backlog = []
        self._numbers = itertools.count(1)
        super().__init__()
        threading.Thread(target=self._watch, daemon=True).start()

    def push_event(self, event, event_id=None):
        """An Events API envelope. Returns its id."""
        event = {name: value for name, value in event.items() if not name.startswith("_")}
        return self.push("events_api", {
            "token": "verification", "team_id": self.team, "api_app_id": self.app, "event": event,
            "type": "event_callback", "event_id": event_id or f"Ev{next(self._numbers):06d}",
            "event_time": int(time.time()),
            "authorizations": [{"team_id": self.team, "user_id": self.bot_user, "is_bot": True}],
        })

    def push(self, kind, payload, attempt=0, reason="", envelope_id=None):
        envelope = {"envelope_id": envelope_id or secrets.token_hex(16), "type": kind, "payload": payload,
                    "accepts_response_payload": kind in ("slash_commands", "interactive")}
        if kind == "events_api":
            envelope |= {"retry_attempt": attempt, "retry_reason": reason}
        with self.changed:
            self._backlog.append(envelope)
            self.changed.notify_all()
        self._deliver()
        return envelope["envelope_id"]

    def open_sockets(self):
        return [socket for socket in self.sockets if not socket.close_sent and not socket.leaving]

    def _deliver(self):
        with self.changed:
            ready = self.open_sockets()
            if not ready:
                return
            batch, self._backlog = self._backlog, []
            for envelope in batch:
                socket = ready[next(self._numbers) % len(ready)]  # any of the connections
                self.waiting[envelope["envelope_id"]] = [envelope, time.monotonic(), socket]
                try:
                    socket.send_json(envelope)
                except Gone:
                    pass  # comes again, as whatever is not acknowledged

    def _watch(self):
        """Redelivers what was not acknowledged, and pings."""
        while not self.ended:
            time.sleep(0.1)
            now, late = time.monotonic(), []
            with self.changed:
                for envelope, sent, socket in list(self.waiting.values()):
                    gone = socket.close_code is not None
                    if now - sent > ACK_SECONDS or gone:
                        if not gone and not socket.link.dead:
                            self.violation("acknowledge within 3 s", f"{envelope['type']} {envelope['envelope_id']}")
                        del self.waiting[envelope["envelope_id"]]
                        attempt = envelope.get("retry_attempt", 9) + 1
                        if attempt <= len(self.retry_seconds):
                            late.append((self.retry_seconds[attempt - 1], envelope, attempt))
            for seconds, envelope, attempt in late:
                timer = threading.Timer(seconds, self.push, (envelope["type"], envelope["payload"], attempt, "timeout"))
                timer.daemon = True
                timer.start()
            self._deliver()
            self._ping(now)

    def _ping(self, now):
        for socket in list(self.sockets):
            if now - socket.pinged_at >= self.ping_seconds and not socket.close_sent:
                socket.pinged_at = now
                if now - socket.last_pong_at > 3 * self.ping_seconds + 5:
                    if not socket.link.dead:
                        self.violation("pings are answered", f"no pong for {now - socket.last_pong_at:.0f} s")
                    socket.link.reset()
                    continue
                try:
                    socket.ping(b"Ping from applink-fake")
                except Gone:
                    pass

    def _connect(self, call, link):
        ticket = call.request.query.get("ticket")
        with self.changed:
            opened = self.tickets.pop(ticket, None)
            if opened is None or time.monotonic() - opened > TICKET_SECONDS:
                self.violation("a URL is for one use", call.request.path)
                return Answer(403, b"invalid ticket")
        if refused := self.upgrade(call, link):
            return refused
        socket = WebSocket(self, link)
        socket.pinged_at, socket.leaving = time.monotonic(), False
        with self.changed:
            too_many = len(self.open_sockets()) >= CONNECTIONS_MAX
            if not too_many:
                self.sockets.append(socket)
                socket.send_json({
                    "type": "hello", "num_connections": len(self.open_sockets()),
                    "connection_info": {"app_id": self.app},
                    "debug_info": {"host": "applink-fake", "build_number": 1, "approximate_connection_time": 18060},
                })
        if too_many:
            socket.send_json({"type": "disconnect", "reason": "too_many_websockets", "debug_info": {}})
            socket.close(1000)
        while (text := socket.receive()) is not None:
            self._acknowledge(socket, text)
        with self.changed:
            if socket in self.sockets:
                self.sockets.remove(socket)
            self.changed.notify_all()
        deadline = time.monotonic() + self.linger_seconds
        while time.monotonic() < deadline and not link.closed and not link.is_left():
            time.sleep(0.05)
        return None

    def _acknowledge(self, socket, text):
        try:
            number = json.loads(text)["envelope_id"]
        except (ValueError, KeyError, TypeError):
            self.violation("an acknowledgement names its envelope", text[:200])
            return
        with self.changed:
            if self.waiting.pop(number, None) is None and number not in self.acknowledged:
                self.violation("an acknowledgement names its envelope", f"{number} is unknown or too late")
            self.acknowledged[number] = json.loads(text).get("payload")
            self.changed.notify_all()
