"""HTTP/1.1 (RFC 9112) as the fakes read and write it: whole requests, bounded, every malformed one a ValueError."""

import dataclasses
import json
import re
import urllib.parse

HEAD_BYTES_MAX = 32 * 1024
BODY_BYTES_MAX = 64 * 1024 * 1024
REASONS = {200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
           404: "Not Found", 405: "Method Not Allowed", 409: "Conflict", 413: "Request Entity Too Large",
           429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}


@dataclasses.dataclass
class Request:
    """A request as it came. Header names are in small letters."""

    verb: str
    path: str
    query: dict
    headers: dict
    body: bytes

    @property
    def media_type(self):
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    def parts(self):
        """The parts of a multipart body: (name, file name or None, media type, bytes)."""
        found = re.search(r'boundary="?([^";]+)"?', self.headers.get("content-type", ""))
        if not found:
            raise ValueError("a multipart body without a boundary")
        pieces = (b"\r\n" + self.body).split(b"\r\n--" + found[1].encode())
        if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
            raise ValueError("a multipart body without its end")
        return [split_part(piece) for piece in pieces[1:-1]]


def split_part(piece):
    head, _, content = piece.lstrip(b"\r\n").partition(b"\r\n\r\n")
    head = head.decode("utf-8")
    name = re.search(r'\bname="([^"]*)"', head)
    if not name:
        raise ValueError("a part without a name")
    file_name = re.search(r'\bfilename="?([^";\r\n]*)', head)
    media_type = re.search(r"(?im)^content-type:\s*(\S+)", head)
    return name[1], file_name and file_name[1], media_type and media_type[1], content


@dataclasses.dataclass
class Answer:
    """An answer. A `stream` (an iterator of bytes) goes out in chunks until it ends."""

    status: int = 200
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=dict)
    stream: object = None


def answer_json(value, status=200, **headers):
    body = json.dumps(value, ensure_ascii=False).encode()
    return Answer(status, body, {"Content-Type": "application/json"} | headers)


def read_request(link):
    head = link.read_until(b"\r\n\r\n", HEAD_BYTES_MAX).decode("latin-1")
    line, *lines = head.split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise ValueError(f"not a request line: {line[:80]!r}")
    headers = {}
    for text in lines:
        name, colon, value = text.partition(":")
        if not colon or name != name.strip():
            raise ValueError(f"not a header line: {text[:80]!r}")
        headers[name.lower()] = value.strip()
    if "host" not in headers:
        raise ValueError("a request without Host")
    address = urllib.parse.urlsplit(words[1])
    query = dict(urllib.parse.parse_qsl(address.query, keep_blank_values=True))
    return Request(words[0], urllib.parse.unquote(address.path), query, headers, read_body(link, headers))


def read_body(link, headers):
    if headers.get("expect", "").lower() == "100-continue":
        link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int(link.read_until(b"\r\n", 100).split(b";")[0], 16):
            if len(body) + size > BODY_BYTES_MAX:
                raise ValueError("a body without end")
            body += link.read(size)
            link.read_until(b"\r\n", 2)
        while link.read_until(b"\r\n", HEAD_BYTES_MAX):
            pass
        return body
    length = int(headers.get("content-length", 0))
    if length > BODY_BYTES_MAX:
        raise ValueError("a body without end")
    return link.read(length)


def encode(answer, keep):
    headers = dict(answer.headers)
    if answer.stream:
        headers["Transfer-Encoding"] = "chunked"
    elif answer.status != 204:
        headers["Content-Length"] = str(len(answer.body))
    headers["Connection"] = "keep-alive" if keep else "close"
    head = f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Other')}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode("latin-1") + b"\r\n" + answer.body
