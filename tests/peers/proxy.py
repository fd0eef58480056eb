"""A forwarder in front of the gateway that makes its clients look as if they came from elsewhere."""

import contextlib
import socket
import threading

ELSEWHERE = "203.0.113.7"  # reserved for documentation (RFC 5737)
HEAD_BYTES_MAX = 65536


class Proxy:
    """Passes connections on to `port`, each upgrade request with a header that names `ELSEWHERE`."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError), socket.create_connection(self.target) as gateway:
            head = read_head(client)
            line, rest = head.split(b"\r\n", 1)
            gateway.sendall(line + f"\r\nX-Forwarded-For: {ELSEWHERE}\r\n".encode() + rest)
            back = threading.Thread(target=pass_on, args=(gateway, client), daemon=True)
            back.start()
            pass_on(client, gateway)
            back.join()


def read_head(client):
    """Everything up to the end of the request's head, and what came with it."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = client.recv(4096)
        if not piece or len(head) > HEAD_BYTES_MAX:
            raise ConnectionError("no request head")
        head += piece
    return head


def pass_on(source, target):
    """Copies bytes until either side ends; then both are ended."""
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
