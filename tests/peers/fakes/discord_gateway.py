"""Discord's gateway, strict: sessions, heartbeats, resume and replay, close codes.

Sources at docs.discord.com: "Gateway" (connecting, heartbeats, identify, resume, 120 frames a minute, 4096 bytes a
frame, intents and privileged intents, session start limit), "Gateway Events" (payloads), "Opcodes and Status Codes"
(close codes). A zombied connection is made with `acknowledges = False` or `half_open()`. Not from a document: how
late a heartbeat may be (half an interval). Judged by @discordjs/ws (judges/discord.mjs).
"""

import json
import secrets
import time

from fakes.base import Fake, Gone, Pace
from fakes.websocket import WebSocket

GUILDS, GUILD_MESSAGES, GUILD_REACTIONS = 1 << 0, 1 << 9, 1 << 10
DIRECT_MESSAGES, DIRECT_REACTIONS, MESSAGE_CONTENT = 1 << 12, 1 << 13, 1 << 15
GUILD_POLLS, DIRECT_POLLS = 1 << 24, 1 << 25
PRIVILEGED = 1 << 1 | 1 << 8 | MESSAGE_CONTENT
INTENTS = sum(1 << bit for bit in (*range(17), 20, 21, 24, 25))
FRAME_BYTES_MAX = 4096
LATE = 1.5  # of an interval
INVALIDATES = {1000, 1001}  # closing with these ends the session


class Session:
    """What outlives a connection: the number of the last event, and all events for a replay."""

    def __init__(self, intents):
        self.id, self.intents, self.sequence, self.events = secrets.token_hex(16), intents, 0, []


class DiscordGateway(Fake):
    """The WebSocket side. Needs `token`, `me`, `guilds` and `application` of its subclass."""

    def __init__(self, heartbeat_ms=2000, identify_seconds=5.0):
        self.heartbeat_ms, self.identify_seconds = heartbeat_ms, identify_seconds
        self.enabled = INTENTS  # privileged intents can be taken away from here
        self.acknowledges = True
        self.sockets, self.sessions = [], {}
        self.identified_at = -60.0
        self.heartbeats, self.identifies, self.resumes, self.closes = 0, 0, 0, []
        super().__init__()

    # What a scenario does.

    def live(self):
        """The connections that have a session."""
        with self.changed:
            return [socket for socket in self.sockets if socket.session and socket.close_code is None]

    def ask_to_reconnect(self):
        """Op 7, then the connection is closed soon."""
        for socket in self.live():
            socket.send_json({"op": 7, "d": None, "s": None, "t": None})

    def invalidate(self, resumable=False):
        """Op 9."""
        for socket in self.live():
            if not resumable:
                self.sessions.pop(socket.session.id, None)
            socket.send_json({"op": 9, "d": resumable, "s": None, "t": None})

    def ask_heartbeat(self):
        """Op 1: an answer is due at once."""
        for socket in self.live():
            socket.send_json({"op": 1, "d": None, "s": None, "t": None})

    def close_gateway(self, code, reason=""):
        """Closes every connection with a code of "Gateway Close Event Codes"."""
        for socket in list(self.sockets):
            if code in (4007, 4009) and socket.session:
                self.sessions.pop(socket.session.id, None)
            socket.close(code, reason)

    def dispatch(self, name, data, intent=0):
        """An event for every session that asked for it, live or waiting to be resumed."""
        with self.changed:
            for session in self.sessions.values():
                if intent and not session.intents & intent:
                    continue
                session.sequence += 1
                frame = {"op": 0, "d": visible(name, data, session.intents, self.me), "s": session.sequence, "t": name}
                session.events.append(frame)
                for socket in self.sockets:
                    if socket.session is session and socket.close_code is None:
                        self._try(socket, frame)
            self.changed.notify_all()

    # A connection.

    def connect_gateway(self, call, link):
        if refused := self.upgrade(call, link):
            return refused
        query = call.request.query
        socket = WebSocket(self, link)
        socket.session, socket.pace, socket.beat_at = None, Pace(120, 60), time.monotonic()
        socket.resuming = call.request.path.startswith("/resume")
        link.sock.settimeout(self.heartbeat_ms * LATE / 1000 + 1)
        with self.changed:
            self.sockets.append(socket)
        if query.get("v") != "10":
            socket.close(4012, "Invalid API version.")
        elif query.get("encoding") != "json" or "compress" in query:
            self.violation("the fake speaks plain JSON", str(query))
            socket.close(4002, "Error while decoding payload.")
        else:
            socket.send_json({"op": 10, "d": {"heartbeat_interval": self.heartbeat_ms, "_trace": []}, "s": None,
                              "t": None})
        while (text := socket.receive()) is not None:
            if not socket.close_sent:
                self._take(socket, text)
            if time.monotonic() - socket.beat_at > self.heartbeat_ms * LATE / 1000 + 1:
                break
        self._end(socket)
        return None

    def _end(self, socket):
        late = socket.close_code == 1006 and not socket.link.dead and not socket.link.closed \
            and time.monotonic() - socket.beat_at > self.heartbeat_ms * LATE / 1000
        if late and not socket.link.is_left():
            self.violation("heartbeats come in time", f"none for {time.monotonic() - socket.beat_at:.1f} s")
        with self.changed:
            self.closes.append(socket.close_code)
            if socket.close_code in INVALIDATES and socket.session:
                self.sessions.pop(socket.session.id, None)
            self.sockets.remove(socket)
            self.changed.notify_all()
        try:
            socket.close(4000, "heartbeat missing" if late else "")
        except Gone:
            pass

    def _take(self, socket, text):
        if len(text.encode()) > FRAME_BYTES_MAX:
            self.violation("frames of at most 4096 bytes", f"{len(text.encode())} bytes")
            return socket.close(4002, "Error while decoding payload.")
        if socket.pace.is_over("frames"):
            self.violation("at most 120 frames in 60 s", "more than that")
            return socket.close(4008, "Rate limited.")
        try:
            frame = json.loads(text)
            op, data = frame["op"], frame.get("d")
        except (ValueError, KeyError, TypeError):
            self.violation("frames are JSON with op", text[:200])
            return socket.close(4002, "Error while decoding payload.")
        if op == 1:
            return self._heartbeat(socket, data)
        if op == 2:
            return self._identify(socket, data)
        if op == 6:
            return self._resume(socket, data)
        if op not in (3, 4, 8, 31):
            self.violation("known opcodes", op)
            return socket.close(4001, "Unknown opcode.")
        if not socket.session:
            return socket.close(4003, "Not authenticated.")
        return None

    def _heartbeat(self, socket, data):
        last = socket.session.sequence if socket.session else 0
        if data is not None and (type(data) is not int or data > last):
            self.violation("a heartbeat carries the last s", repr(data))
        socket.beat_at = time.monotonic()
        with self.changed:
            self.heartbeats += 1
            self.changed.notify_all()
        if self.acknowledges:
            socket.send_json({"op": 11, "d": None, "s": None, "t": None})

    def _identify(self, socket, data):
        if socket.session:
            self.violation("one identify a connection", "")
            return socket.close(4005, "Already authenticated.")
        if not isinstance(data, dict) or not isinstance(data.get("token"), str):
            return socket.close(4002, "Error while decoding payload.")
        if data["token"].removeprefix("Bot ") != self.token:
            return self._wrong_token(socket)
        if not all(name in (data.get("properties") or {}) for name in ("os", "browser", "device")):
            self.violation("identify has os, browser and device", data.get("properties"))
        intents = data.get("intents")
        if type(intents) is not int or intents & ~INTENTS:
            self.violation("known intents", repr(intents))
            return socket.close(4013, "Invalid intent(s).")
        if intents & PRIVILEGED & ~self.enabled:
            return socket.close(4014, "Disallowed intent(s).")
        shard = data.get("shard", [0, 1])
        if shard != [0, 1]:
            return socket.close(4010, "Invalid shard.")
        with self.changed:
            self.identifies += 1
            if time.monotonic() - self.identified_at < self.identify_seconds * 0.97:
                self.violation("one identify in 5 s", f"{time.monotonic() - self.identified_at:.1f} s after the last")
                return socket.send_json({"op": 9, "d": False, "s": None, "t": None})
            self.identified_at = time.monotonic()
            socket.session = session = Session(intents)
            self.sessions[session.id] = session
            self._send(socket, session, "READY", {
                "v": 10, "user": self.me, "session_id": session.id, "session_type": "normal",
                "resume_gateway_url": f"ws://127.0.0.1:{self.port}/resume", "shard": [0, 1],
                "guilds": [{"id": guild["id"], "unavailable": True} for guild in self.guilds.values()],
                "application": {"id": self.me["id"], "flags": 1 << 19}, "private_channels": [], "relationships": [],
            })
            for guild in self.guilds.values() if intents & GUILDS else ():
                self._send(socket, session, "GUILD_CREATE", guild)
            self.changed.notify_all()
        return None

    def _resume(self, socket, data):
        if socket.session:
            return socket.close(4005, "Already authenticated.")
        if not isinstance(data, dict) or data.get("token", "").removeprefix("Bot ") != self.token:
            return self._wrong_token(socket)
        with self.changed:
            self.resumes += 1
            session, last = self.sessions.get(data.get("session_id")), data.get("seq")
            if session is None:
                return socket.send_json({"op": 9, "d": False, "s": None, "t": None})
            if type(last) is not int or last > session.sequence:
                del self.sessions[session.id]
                return socket.close(4007, "Invalid seq.")
            if not socket.resuming:
                self.violation("resume at resume_gateway_url", "another URL was used")
            socket.session = session
            for frame in session.events:
                if frame["s"] > last:
                    self._try(socket, frame)
            self._send(socket, session, "RESUMED", {"_trace": []})
            self.changed.notify_all()
        return None

    def _wrong_token(self, socket):
        if self.frozen_for("gateway token"):
            self.violation("no new try after 4004", "")
        self.freeze("gateway token", 3600)
        socket.close(4004, "Authentication failed.")

    def _send(self, socket, session, name, data):
        session.sequence += 1
        frame = {"op": 0, "d": data, "s": session.sequence, "t": name}
        session.events.append(frame)
        self._try(socket, frame)

    @staticmethod
    def _try(socket, frame):
        try:
            socket.send_json(frame)
        except Gone:
            pass  # comes again with the resume


def visible(name, data, intents, me):
    """Without the privileged intent the content of others is empty ("Message Content Intent")."""
    if not name.startswith("MESSAGE_") or "content" not in data or intents & MESSAGE_CONTENT \
            or "guild_id" not in data or data["author"]["id"] == me["id"] \
            or any(user["id"] == me["id"] for user in data.get("mentions", [])):
        return data
    return data | {"content": "", "embeds": [], "attachments": [], "components": []} | \
        ({"poll": None} if "poll" in data else {})
