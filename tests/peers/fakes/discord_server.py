"""Discord's REST API (v10) for one bot, strict.

Sources at docs.discord.com: "API Reference" (authentication, User-Agent, error format, uploading files), "Message"
(create, edit, limits, nonce, allowed mentions, reactions), "Channel" (typing), "Poll" (limits, end, voters), "User"
(direct messages), "Receiving and Responding" (interactions, 3 s), "Rate Limits" (headers, 429 body, buckets, invalid
requests), "Opcodes and Status Codes" (JSON error codes). The size of a bucket (5 in 5 s) is the documents' example.
Judged by @discordjs/rest (judges/discord.mjs).
"""

import itertools
import json
import re
import time
import urllib.parse

from fakes.base import Pace
from fakes.discord_gateway import DIRECT_MESSAGES, GUILD_MESSAGES, DiscordGateway
from fakes.http import Answer, answer_json

CONTENT_MAX = 2000
FILE_BYTES_MAX = 10 * 1024 * 1024
BUCKET_COUNT, BUCKET_SECONDS = 5, 5.0
KNOWN = {"content", "nonce", "enforce_nonce", "tts", "embeds", "allowed_mentions", "message_reference", "components",
         "sticker_ids", "attachments", "flags", "poll"}
CONTENTS = ("content", "embeds", "sticker_ids", "components", "poll")  # a message needs one of them, or a file
ROUTES = [(verb, re.compile(f"/api/v10{path}"), name) for verb, path, name in [
    ("GET", r"/gateway/bot", "gateway"),
    ("GET", r"/users/@me", "me"),
    ("POST", r"/users/@me/channels", "direct"),
    ("GET", r"/channels/(\d+)", "channel"),
    ("POST", r"/channels/(\d+)/messages", "create"),
    ("GET", r"/channels/(\d+)/messages/(\d+)", "message"),
    ("PATCH", r"/channels/(\d+)/messages/(\d+)", "edit"),
    ("DELETE", r"/channels/(\d+)/messages/(\d+)", "delete"),
    ("PUT", r"/channels/(\d+)/messages/(\d+)/reactions/([^/]+)/@me", "react"),
    ("POST", r"/channels/(\d+)/typing", "typing"),
    ("POST", r"/channels/(\d+)/polls/(\d+)/expire", "expire"),
    ("GET", r"/channels/(\d+)/polls/(\d+)/answers/(\d+)", "voters"),
    ("POST", r"/interactions/(\d+)/([^/]+)/callback", "respond"),
]]


class Refused(Exception):
    """An error answer: HTTP status, JSON error code, message, errors by field."""

    def __init__(self, status, code, message, errors=None):
        super().__init__(message)
        self.status = status
        self.body = {"message": message, "code": code} | ({"errors": errors} if errors else {})


def invalid(path, code, message):
    """400 with the error below the path of its field."""
    errors = {"_errors": [{"code": code, "message": message}]}
    for step in reversed(path.split(".")):
        errors = {step: errors}
    return Refused(400, 50035, "Invalid Form Body", errors)


class DiscordServer(DiscordGateway):
    """The service's side. People are in discord.py."""

    def __init__(self, token="MTE3NDU.fake.token-of-the-bot", **gateway):
        self.token = token
        self._numbers = itertools.count(1)
        self.me = {"id": self.snowflake(), "username": "barnacle", "discriminator": "0", "avatar": None, "bot": True}
        self.users, self.guilds, self.channels, self.messages = {}, {}, {}, {}
        self.files, self.reactions, self.typings, self.nonces, self.interactions = {}, [], [], {}, {}
        self.closed_to, self.refused = set(), set()  # channels that answer 403, and those that already did
        self.invalid_requests = 0  # 401, 403 and 429; 10,000 in 10 minutes ban the address
        self._buckets = {}
        self._all = Pace(50, 1)
        super().__init__(**gateway)

    def refill(self):
        """All rate limit buckets are full again."""
        self._buckets.clear()

    def snowflake(self):
        return str((int(time.time() * 1000) - 1420070400000 << 22) | next(self._numbers) & 0xFFF)

    def operation(self, request):
        for verb, path, name in ROUTES:
            if request.verb == verb and path.fullmatch(request.path):
                return name
        if request.path.startswith("/attachments/"):
            return "attachment"
        return "connect" if request.path.rstrip("/") in ("", "/resume") else request.path

    def on_fault(self, call, fault):
        if fault.answer and fault.answer.status == 429:
            body = json.loads(fault.answer.body)
            self.freeze("global" if body["global"] else self._bucket(call), body["retry_after"])

    def perform(self, call, link):
        if call.operation == "connect":
            return self.connect_gateway(call, link)
        if call.operation == "attachment":
            return self._attachment(call.request)
        with self.changed:
            bucket, headers = self._bucket(call), {}
            try:
                self._check_token(call.request)
                found = next((match for verb, path, _ in ROUTES if verb == call.request.verb
                              and (match := path.fullmatch(call.request.path))), None)
                if not found:
                    raise Refused(404, 0, "404: Not Found")
                if limited := self._limited(call, bucket, headers):
                    return limited
                call.params, files = self._body(call.request)
                result = getattr(self, "_" + call.operation)(call.params, files, *found.groups())
                self.changed.notify_all()
                return answer_json(result, **headers) if result is not None else Answer(204, b"", headers)
            except Refused as refused:
                if refused.status in (401, 403):
                    self.invalid_requests += 1
                return answer_json(refused.body, refused.status, **headers)

    def _check_token(self, request):
        if not re.match(r"DiscordBot \(\S+, \S+\)", request.headers.get("user-agent", "")):
            self.violation("User-Agent is DiscordBot (url, version)", request.headers.get("user-agent"))
        if request.path.startswith("/api/v10/interactions/"):
            return  # the token in the path is enough ("Receiving and Responding")
        if request.headers.get("authorization") != f"Bot {self.token}":
            if self.frozen_for("token"):
                self.violation("calling after 401", request.path)
            self.freeze("token", 3600)
            raise Refused(401, 0, "401: Unauthorized")

    # Rate limits.

    def _bucket(self, call):
        """One per method and channel; the other ids of a path do not count."""
        channel = re.search(r"/channels/(\d+)", call.request.path)
        return f"{call.operation}:{channel[1] if channel else ''}"

    def _limited(self, call, bucket, headers):
        if left := max(self.frozen_for("global"), self.frozen_for(bucket)):
            self.violation("calling before retry_after", f"{call.operation}, {left:.1f} s early")
            return self._too_many(left, bool(self.frozen_for("global")))
        if self._all.is_over("all"):
            self.violation("at most 50 requests a second", "more than that")
        now = time.monotonic()
        start, count = self._buckets.get(bucket, (now, 0))
        if now - start >= BUCKET_SECONDS:
            start, count = now, 0
        after = start + BUCKET_SECONDS - now
        over = count >= BUCKET_COUNT
        self._buckets[bucket] = (start, count + (not over))
        headers |= {
            "X-RateLimit-Limit": str(BUCKET_COUNT), "X-RateLimit-Remaining": str(max(0, BUCKET_COUNT - count - 1)),
            "X-RateLimit-Reset": f"{time.time() + after:.3f}", "X-RateLimit-Reset-After": f"{after:.3f}",
            "X-RateLimit-Bucket": f"b{abs(hash(call.operation)) % 10**8}",
        }
        if over:
            self.violation("an empty bucket is left alone", f"{bucket}, {after:.1f} s early")
            answer = self._too_many(after)
            answer.headers |= headers
            return answer
        return None

    def _too_many(self, seconds, everything=False, scope="user"):
        self.invalid_requests += scope != "shared"
        headers = {"Retry-After": str(int(seconds) + 1), "X-RateLimit-Scope": "global" if everything else scope}
        headers |= {"X-RateLimit-Global": "true"} if everything else {}
        body = {"message": "You are being rate limited.", "retry_after": round(seconds, 3), "global": everything}
        return answer_json(body, 429, **headers)

    # Requests.

    def _body(self, request):
        files = []
        if request.media_type == "multipart/form-data":
            source = b"{}"
            for name, file_name, media_type, content in request.parts():
                if found := re.fullmatch(r"files\[(\d+)\]", name):
                    files.append((int(found[1]), file_name, media_type, content))
                elif name == "payload_json":
                    source = content
                else:
                    raise Refused(400, 50035, "Invalid Form Body")
        elif request.body and request.media_type != "application/json":
            raise Refused(400, 50035, "Invalid Form Body")
        else:
            source = request.body or b"{}"
        try:
            value = json.loads(source)
        except ValueError:
            raise Refused(400, 50109, "The request body contains invalid JSON.") from None
        if not isinstance(value, dict):
            raise Refused(400, 50035, "Invalid Form Body")
        return value, files

    def _gateway(self, *_):
        return {"url": f"ws://127.0.0.1:{self.port}", "shards": 1, "session_start_limit": {
            "total": 1000, "remaining": 1000 - self.identifies, "reset_after": 86400000, "max_concurrency": 1}}

    def _me(self, *_):
        return self.me

    def _direct(self, params, _):
        if params.get("recipient_id") not in self.users:
            raise invalid("recipient_id", "UNKNOWN_USER", "Unknown User")
        return self.direct(self.users[params["recipient_id"]])

    def direct(self, user):
        """The direct channel with somebody."""
        found = next((channel for channel in self.channels.values() if channel["type"] == 1
                      and channel["recipients"] == [user]), None)
        if not found:
            found = {"id": self.snowflake(), "type": 1, "recipients": [user]}
            self.channels[found["id"]] = found
        return found

    def _channel(self, params, files, number):
        return self._open_channel(number, sends=False)

    def _open_channel(self, number, sends=True):
        channel = self.channels.get(number)
        if not channel:
            raise Refused(404, 10003, "Unknown Channel")
        if sends and number in self.closed_to:
            if number in self.refused:
                self.violation("calling after 403", f"channel {number}")
            self.refused.add(number)
            raise Refused(403, 50007, "Cannot send messages to this user") if channel["type"] == 1 \
                else Refused(403, 50013, "Missing Permissions")
        return channel

    def _found(self, channel, number):
        message = self.messages.get(number)
        if not message or message["channel_id"] != channel["id"]:
            raise Refused(404, 10008, "Unknown Message")
        return message

    def _create(self, params, files, number):
        channel = self._open_channel(number)
        self._check_fields(params, files)
        if not files and not any(params.get(name) for name in CONTENTS):
            raise Refused(400, 50006, "Cannot send an empty message")
        nonce = params.get("nonce")
        if nonce is not None and (type(nonce) not in (int, str) or len(str(nonce)) > 25):
            raise invalid("nonce", "BASE_TYPE_BAD_LENGTH", "Must be 25 or fewer in length.")
        if nonce is not None and params.get("enforce_nonce") and nonce in self.nonces:
            return self.messages[self.nonces[nonce]]  # the same message, no second one
        reference = params.get("message_reference") or {}
        original = self.messages.get(reference.get("message_id"))
        if reference and not original and reference.get("fail_if_not_exists", True):
            raise invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        poll = {"poll": self._new_poll(params["poll"])} if params.get("poll") else {}
        message = self.new_message(self.me, channel, params.get("content", ""), files)
        message |= poll | {name: params[name] for name in ("embeds", "components", "nonce") if name in params}
        if reference:
            message |= {"type": 19, "message_reference": reference, "referenced_message": original}
        if nonce is not None:
            self.nonces[nonce] = message["id"]
        self.tell_message("MESSAGE_CREATE", message)
        return public(message)

    def _check_fields(self, params, files):
        if unknown := set(params) - KNOWN:
            self.violation("unknown field", ", ".join(sorted(unknown)))
        if not isinstance(params.get("content") or "", str):
            raise invalid("content", "STRING_TYPE_CONVERT", "Could not interpret as string.")
        if len(params.get("content") or "") > CONTENT_MAX:
            raise invalid("content", "BASE_TYPE_MAX_LENGTH", f"Must be {CONTENT_MAX} or fewer in length.")
        if len(params.get("embeds") or []) > 10:
            raise invalid("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
        mentions = params.get("allowed_mentions") or {}
        if set(mentions.get("parse", [])) - {"roles", "users", "everyone"}:
            raise invalid("allowed_mentions.parse", "BASE_TYPE_CHOICES", "Value must be one of roles, users, everyone.")
        if "users" in mentions.get("parse", []) and mentions.get("users"):
            raise invalid("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                          "parse:[\"users\"] and users: [ids...] are mutually exclusive.")
        if len(files) > 10:
            raise invalid("files", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
        if any(len(content) > FILE_BYTES_MAX for *_, content in files):
            raise Refused(413, 40005, "Request entity too large")
        for row in params.get("components") or []:
            buttons = row.get("components", [])
            if row.get("type") != 1 or not 1 <= len(buttons) <= 5:
                raise invalid("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
            for button in buttons:
                if button.get("type") == 2 and not (1 <= len(button.get("custom_id", "")) <= 100
                                                    and len(button.get("label", "")) <= 80):
                    raise invalid("components", "BASE_TYPE_BAD_LENGTH", "custom_id 1 to 100, label up to 80.")

    def _new_poll(self, poll):
        question, answers = poll.get("question", {}).get("text", ""), poll.get("answers", [])
        hours = poll.get("duration", 24)
        if not 1 <= len(question) <= 300:
            raise invalid("poll.question.text", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 300 in length.")
        if not 1 <= len(answers) <= 10:
            raise invalid("poll.answers", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 10 in length.")
        for index, answer in enumerate(answers):
            if not 1 <= len(answer.get("poll_media", {}).get("text", "")) <= 55:
                raise invalid(f"poll.answers.{index}.poll_media.text", "BASE_TYPE_BAD_LENGTH",
                              "Must be between 1 and 55 in length.")
        if type(hours) is not int or not 1 <= hours <= 768:
            raise invalid("poll.duration", "NUMBER_TYPE_MAX", "int value should be between 1 and 768.")
        expiry = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + hours * 3600))
        return {"question": {"text": question}, "expiry": expiry, "layout_type": 1,
                "answers": [{"answer_id": index + 1, "poll_media": answer["poll_media"]}
                            for index, answer in enumerate(answers)],
                "allow_multiselect": poll.get("allow_multiselect", False),
                "results": {"is_finalized": False, "answer_counts": []}, "_votes": {}}

    def _message(self, params, files, number, message):
        return public(self._found(self._open_channel(number), message))

    def _edit(self, params, files, number, message):
        message = self._found(self._open_channel(number), message)
        if message["author"]["id"] != self.me["id"]:
            raise Refused(403, 50005, "Cannot edit a message authored by another user")
        if "poll" in params or "poll" in message:
            raise Refused(400, 520000, "Cannot edit a poll message")
        self._check_fields(params, files)
        if "content" in params and not params["content"] and not message["attachments"]:
            raise Refused(400, 50006, "Cannot send an empty message")
        for name in ("content", "embeds", "components"):
            message |= {name: params[name]} if name in params else {}
        message["edited_timestamp"] = stamp()
        self.tell_message("MESSAGE_UPDATE", message)
        return public(message)

    def _delete(self, params, files, number, message):
        del self.messages[self._found(self._open_channel(number), message)["id"]]

    def _react(self, params, files, number, message, emoji):
        message = self._found(self._open_channel(number), message)
        if not re.search(r"[^\x00-\x7f]", emoji) and not re.fullmatch(r"\w+:\d+", emoji):
            raise Refused(400, 10014, "Unknown Emoji")
        self.reactions.append((message["id"], emoji))

    def _typing(self, params, files, number):
        self.typings.append((self._open_channel(number)["id"], time.monotonic()))

    def _expire(self, params, files, number, message):
        message = self._found(self._open_channel(number), message)
        if "poll" not in message or message["author"]["id"] != self.me["id"]:
            raise Refused(403, 50013, "Missing Permissions")
        if message["poll"]["results"]["is_finalized"]:
            raise Refused(400, 520001, "Poll expired")
        message["poll"]["results"]["is_finalized"] = True
        self.tell_message("MESSAGE_UPDATE", message)
        return public(message)

    def _voters(self, params, files, number, message, answer):
        message = self._found(self._open_channel(number), message)
        votes = message.get("poll", {}).get("_votes", {})
        return {"users": [self.users[user] for user, chosen in votes.items() if int(answer) in chosen]}

    def _respond(self, params, files, number, token):
        interaction = self.interactions.get((number, token))
        if not interaction or time.monotonic() - interaction["at"] > 3.0:
            self.violation("an interaction is answered within 3 s", number)
            raise Refused(404, 10062, "Unknown interaction")
        if interaction["answer"]:
            raise Refused(400, 40060, "Interaction has already been acknowledged.")
        if params.get("type") not in (4, 5, 6, 7):
            raise invalid("type", "BASE_TYPE_CHOICES", "Value must be one of 4, 5, 6, 7.")
        interaction["answer"] = params

    def _attachment(self, request):
        """Files have signed addresses; without the signature there is nothing."""
        found = self.files.get(request.path)
        if not found or not {"ex", "is", "hm"} <= set(request.query):
            return Answer(404, b"This content is no longer available.", {"Content-Type": "text/plain"})
        return Answer(200, found, {"Content-Type": "application/octet-stream"})

    # Messages.

    def new_message(self, author, channel, content, files=()):
        number = self.snowflake()
        message = {"id": number, "type": 0, "channel_id": channel["id"], "author": author, "content": content,
                   "timestamp": stamp(), "edited_timestamp": None, "tts": False, "pinned": False, "embeds": [],
                   "mention_everyone": False, "mention_roles": [], "attachments": [], "components": [], "flags": 0,
                   "mentions": [self._user(found) for found in re.findall(r"<@!?(\d+)>", content) if self._user(found)]}
        for index, name, media_type, data in files:
            path = f"/attachments/{channel['id']}/{self.snowflake()}/{urllib.parse.quote(name)}"
            self.files[urllib.parse.unquote(path)] = data
            url = f"{self.url}{path}?ex=66d0&is=66cf&hm=0a1b"
            message["attachments"].append({"id": str(index), "filename": name, "size": len(data), "url": url,
                                           "proxy_url": url, "content_type": media_type or "application/octet-stream"})
        self.messages[number] = message
        return message

    def _user(self, number):
        return self.me if number == self.me["id"] else self.users.get(number)

    def tell_message(self, event, message):
        channel = self.channels[message["channel_id"]]
        where = {"guild_id": channel["guild_id"], "member": {"roles": [], "nick": None, "deaf": False, "mute": False}} \
            if "guild_id" in channel else {}
        self.dispatch(event, public(message) | where, GUILD_MESSAGES if where else DIRECT_MESSAGES)


def stamp():
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00", time.gmtime())


def public(value):
    """Without the fake's own notes."""
    if isinstance(value, dict):
        return {name: public(part) for name, part in value.items() if not name.startswith("_")}
    return [public(part) for part in value] if isinstance(value, list) else value
