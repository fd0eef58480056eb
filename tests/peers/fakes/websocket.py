"""The server's side of a WebSocket (RFC 6455) for the fakes: no extensions, every rule for clients checked."""

import json
import struct
import time

from fakes.base import Gone

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MESSAGE_BYTES_MAX = 1024 * 1024


class WebSocket:
    """A link after its handshake. Only one thread may read; any may send."""

    def __init__(self, fake, link):
        self.fake, self.link = fake, link
        self.close_sent = False
        self.close_code = None  # what the client closed with, 1006 when it just went
        self.pongs = self.pings = 0
        self.last_pong_at = time.monotonic()

    def send_json(self, value):
        self.send_frame(TEXT, json.dumps(value, ensure_ascii=False).encode())

    def ping(self, data=b""):
        self.send_frame(PING, data)

    def close(self, code, reason=""):
        if not self.close_sent:
            self.close_sent = True
            self.send_frame(CLOSE, struct.pack(">H", code) + reason.encode())

    def send_frame(self, opcode, data):
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 0x80 | opcode, size)
        elif size < 65536:
            head = struct.pack(">BBH", 0x80 | opcode, 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 127, size)
        self.link.send(head + data)

    def receive(self):
        """The next text message, or None at the end. Answers pings and the closing handshake."""
        message, kind = b"", None
        try:
            while True:
                final, opcode, data = self._frame()
                if self.link.dead:
                    continue
                if opcode == CLOSE:
                    self.close_code = struct.unpack(">H", data[:2])[0] if len(data) >= 2 else 1005
                    self.close(self.close_code if self.close_code != 1005 else 1000)
                    return None
                if opcode == PING:
                    self.pings += 1
                    self.send_frame(PONG, data)
                elif opcode == PONG:
                    self.pongs += 1
                    self.last_pong_at = time.monotonic()
                elif (opcode == 0) != (kind is not None):
                    return self._refuse(1002, "a fragment out of order")
                else:
                    kind = opcode or kind
                    message += data
                    if len(message) > MESSAGE_BYTES_MAX:
                        return self._refuse(1009, "too long a message")
                    if final:
                        if kind != TEXT:
                            return self._refuse(1003, "a binary message")
                        return message.decode("utf-8")
        except Gone:
            if self.close_code is None:
                self.close_code = 1006
            return None
        except UnicodeDecodeError:
            return self._refuse(1007, "text that is not UTF-8")
        except ValueError as error:
            return self._refuse(1002, str(error))

    def _frame(self):
        first, second = self.link.read(2)
        opcode, size = first & 15, second & 127
        if first & 0x70:
            raise ValueError("a reserved bit is set, no extension was agreed on")
        if not second & 0x80:
            raise ValueError("a frame without a mask")
        if opcode not in (0, TEXT, BINARY, CLOSE, PING, PONG):
            raise ValueError(f"opcode {opcode}")
        if opcode >= CLOSE and (size > 125 or not first & 0x80):
            raise ValueError("a control frame that is long or in pieces")
        if size == 126:
            size = struct.unpack(">H", self.link.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.link.read(8))[0]
        if size > MESSAGE_BYTES_MAX:
            raise ValueError(f"a frame of {size} bytes")
        mask, data = self.link.read(4), self.link.read(size)
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        return bool(first & 0x80), opcode, (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")

    def _refuse(self, code, why):
        self.fake.violation("WebSocket (RFC 6455)", why)
        self.close(code, why)
        return None
