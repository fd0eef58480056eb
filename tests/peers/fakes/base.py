"""What all fakes share: a small HTTP/1.1 server on 127.0.0.1, a record of what came in, faults on demand, and
a list of broken rules. It knows no service. It never talks to anything but its clients.

A scenario holds the fake in its own process:

    with Telegram() as telegram:
        telegram.fail("sendMessage", telegram.too_many(2))   # the next sendMessage; then 429 until 2 s are over
        telegram.fail("sendMessage", LOST, times=2)          # done, but the answer never arrives
        telegram.network_gone(3)                             # links are cut, new ones too, for 3 s
        telegram.half_open()                                 # the links of now stay, but nothing passes any more
        call = telegram.wait_for("sendMessage", 5)           # .params .at .status .answer .request
        claims.equal("no rule is broken", telegram.broken(), [])
"""

import base64
import collections
import contextlib
import dataclasses
import hashlib
import json
import select
import socket
import struct
import threading
import time

from fakes.http import Answer, Request, encode, read_request
from programs import Late

LINKS_MAX = 200
IDLE_SECONDS = 120.0
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


@dataclasses.dataclass
class Call:
    """One thing a client asked for, and what it was told."""

    at: float
    operation: str
    params: dict
    request: Request
    status: int = 0
    answer: object = None


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens instead of a plain answer."""

    kind: str
    seconds: float = 0.0
    answer: Answer = None


CUT = Fault("cut")  # done; the link ends in the middle of the answer
LOST = Fault("lost")  # done; the link ends before the answer
SILENCE = Fault("silence")  # not done; the link stays open and nothing ever comes


def stall(seconds):
    """The answer comes, but only after a while."""
    return Fault("stall", seconds)


def instead(answer):
    """Not done; this is the answer."""
    return Fault("answer", answer=answer)


class Pace:
    """Tells whether something happened more than `count` times in any `seconds`."""

    def __init__(self, count, seconds):
        self.count, self.seconds = count, seconds * 0.97  # a little for the clock of the other side
        self.seen = collections.defaultdict(collections.deque)

    def is_over(self, key):
        now, times = time.monotonic(), self.seen[key]
        while times and now - times[0] >= self.seconds:
            times.popleft()
        times.append(now)
        return len(times) > self.count


class Gone(Exception):
    """The client's end of a link is no more."""


class Link:
    """One TCP connection. A dead one is half open: it stays, takes bytes and gives none."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""
        self.dead = self.closed = False
        self.operation = None  # what it was last used for
        self.writing = threading.Lock()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(IDLE_SECONDS)

    def read(self, count):
        while len(self.buffer) < count:
            self._fill()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def read_until(self, mark, limit):
        while mark not in self.buffer:
            if len(self.buffer) > limit:
                raise ValueError(f"no {mark!r} in {limit} bytes")
            self._fill()
        taken, _, self.buffer = self.buffer.partition(mark)
        return taken

    def _fill(self):
        try:
            piece = self.sock.recv(65536)
        except OSError as error:
            raise Gone from error
        if not piece:
            raise Gone
        self.buffer += piece

    def send(self, data):
        if self.dead:
            return
        try:
            with self.writing:
                self.sock.sendall(data)
        except OSError as error:
            raise Gone from error

    def is_left(self):
        """Whether the client closed its end while it waits for an answer."""
        try:
            readable, _, _ = select.select([self.sock], [], [], 0)
            return bool(readable) and not self.sock.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def reset(self):
        """Ends it without a word."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.closed = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Fake:
    """A service. Subclasses say what a request is (`operation`) and what it does (`perform`)."""

    def __init__(self):
        self.changed = threading.Condition(threading.RLock())
        self.calls = []
        self.violations = []  # (seconds of the monotonic clock, rule, details)
        self.ended = False
        self._faults = []  # [operation, fault, times]
        self._frozen = {}  # key → until when everything of it is refused
        self._links = set()
        self._gone_until = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    # What a scenario does.

    def fail(self, operation, fault, times=1):
        """The next `times` calls of `operation` ("*" is any) end in `fault`."""
        with self.changed:
            self._faults.append([operation, fault, times])

    def cut_links(self):
        """Ends all links that are open now."""
        with self.changed:
            links = list(self._links)
        for link in links:
            link.reset()

    def half_open(self, operation=None):
        """The links of now go dead: nothing is answered on them any more, and nothing ends them. With a name only
        those that were last used for that ("connect" is a WebSocket)."""
        with self.changed:
            for link in self._links:
                link.dead = link.dead or operation in (None, link.operation)

    def network_gone(self, seconds):
        """All links are cut, and so is every new one until `seconds` are over."""
        self._gone_until = time.monotonic() + seconds
        self.cut_links()

    def network_back(self):
        """Ends `network_gone` before its time."""
        self._gone_until = 0.0

    def calls_of(self, operation):
        with self.changed:
            return [call for call in self.calls if call.operation == operation]

    def wait_for(self, operation, seconds, where=lambda call: True, count=1):
        """The `count`th answered call of that kind."""
        found = self.wait(
            lambda: [call for call in self.calls_of(operation) if call.status and where(call)][count - 1:count],
            seconds, f"{operation} number {count}",
        )
        return found[0]

    def wait_held(self, operation, seconds):
        """A call of that kind that is not answered yet: a long poll."""
        return self.wait(lambda: next((call for call in self.calls_of(operation) if not call.status), None), seconds,
                         f"held {operation}")

    def wait(self, condition, seconds, what):
        """Waits until `condition()` holds and returns its value."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not (value := condition()):
                left = deadline - time.monotonic()
                if left <= 0:
                    seen = ", ".join(call.operation for call in self.calls[-12:])
                    raise Late(f"{type(self).__name__}: no {what} within {seconds} s (last calls: {seen or 'none'})")
                self.changed.wait(min(left, 0.25))
            return value

    def broken(self, but=()):
        """The rules that clients broke, as lines; rules named in `but` are forgiven."""
        with self.changed:
            return [f"{rule}: {details}" for _, rule, details in self.violations if rule not in but]

    def forget(self):
        """Drops the record so far: calls, broken rules, faults that were not used."""
        with self.changed:
            self.calls.clear()
            self.violations.clear()
            self._faults.clear()
            self._frozen.clear()

    def close(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_links()

    # What a service uses.

    def violation(self, rule, details):
        with self.changed:
            self.violations.append((time.monotonic(), rule, str(details)))
            self.changed.notify_all()

    def freeze(self, key, seconds):
        """From now on `frozen_for(key)` is above zero, for a while."""
        with self.changed:
            self._frozen[key] = time.monotonic() + seconds

    def frozen_for(self, key):
        """How long `key` is still refused."""
        return max(0.0, self._frozen.get(key, 0.0) - time.monotonic())

    def operation(self, request):
        """The name of what is asked for, for the record and for `fail`."""
        raise NotImplementedError

    def perform(self, call, link):
        """Does it and returns an Answer, or None when the link has become something else."""
        raise NotImplementedError

    def on_fault(self, call, fault):
        """Called when a fault takes the place of an answer."""

    # The server.

    def _accept(self):
        while not self.ended:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            link = Link(sock)
            if time.monotonic() < self._gone_until or len(self._links) >= LINKS_MAX:
                link.reset()
                continue
            with self.changed:
                self._links.add(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        try:
            while self._one(link):
                pass
        except Gone:
            pass
        except ValueError as error:
            self.violation("HTTP/1.1 (RFC 9112)", error)
            with contextlib.suppress(Gone):
                link.send(encode(Answer(400, str(error).encode()), False))
        finally:
            with self.changed:
                self._links.discard(link)
                self.changed.notify_all()
            link.close()

    def _one(self, link):
        """One request and its answer. Says whether another may follow."""
        request = read_request(link)
        if link.dead:
            return True
        call = Call(time.monotonic(), self.operation(request), {}, request)
        link.operation = call.operation
        with self.changed:
            self.calls.append(call)
            fault = self._next_fault(call.operation)
        if fault and fault.kind == "silence":
            self.on_fault(call, fault)
            while not self.ended and not link.is_left():
                time.sleep(0.05)
            raise Gone
        if fault and fault.kind == "stall":
            time.sleep(fault.seconds)
        if fault and fault.kind == "answer":
            self.on_fault(call, fault)
            answer = fault.answer
        else:
            answer = self.perform(call, link)
        if answer is None:
            return False
        with self.changed:
            call.status = answer.status
            if call.answer is None and answer.headers.get("Content-Type", "").startswith("application/json"):
                call.answer = json.loads(answer.body)
            self.changed.notify_all()
        if fault and fault.kind in ("lost", "cut"):
            whole = encode(answer, True)
            link.send(whole[:len(whole) - len(answer.body) // 2 - 1] if fault.kind == "cut" else b"")
            link.reset()
            raise Gone
        keep = request.headers.get("connection", "").lower() != "close" and not answer.stream
        link.send(encode(answer, keep))
        if answer.stream:
            for piece in answer.stream:
                link.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            link.send(b"0\r\n\r\n")
        return keep

    def _next_fault(self, operation):
        for entry in self._faults:
            if entry[0] in (operation, "*"):
                entry[2] -= 1
                if entry[2] <= 0:
                    self._faults.remove(entry)
                return entry[1]
        return None

    # WebSocket.

    def upgrade(self, call, link):
        """Answers a WebSocket handshake (RFC 6455, 4.2); returns the Answer of a refusal, or None."""
        headers = call.request.headers
        wanted = {"upgrade": "websocket", "sec-websocket-version": "13"}
        if any(headers.get(name, "").lower() != value for name, value in wanted.items()) \
                or "upgrade" not in headers.get("connection", "").lower() \
                or len(base64.b64decode(headers.get("sec-websocket-key", ""))) != 16:
            return Answer(400, b"not a WebSocket handshake")
        accept = base64.b64encode(hashlib.sha1((headers["sec-websocket-key"] + WEBSOCKET_GUID).encode()).digest())
        with self.changed:
            call.status = 101
            self.changed.notify_all()
        link.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        return None
