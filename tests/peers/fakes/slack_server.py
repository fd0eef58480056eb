"""Slack's Web API for one app in one workspace, strict. Socket Mode is slack_socket.py.

Sources at docs.slack.dev: "Using the Slack Web API" (200 with ok:false, form or JSON), "Rate limits" (429 with
Retry-After; 1 message a second in a channel), the pages of the methods below ("chat.postMessage",
"chat.startStream" and so on, errors and limits), "Blocks" and "Block elements" (limits). Not from a document: what an
upload of another length than announced is answered. Judged by @slack/web-api (judges/slack.mjs).
"""

import json
import math
import re
import secrets
import time
import urllib.parse

from fakes.base import Pace
from fakes.http import Answer, answer_json
from fakes.slack_socket import SlackSocket

PLAIN_UNITS = 4000
STREAM_UNITS = 12000

METHODS = {  # required arguments, then the others
    "auth.test": ("", ""),
    "apps.connections.open": ("", ""),
    "chat.postMessage": ("channel", "text blocks attachments thread_ts reply_broadcast mrkdwn unfurl_links "
                         "unfurl_media username icon_emoji icon_url metadata parse link_names markdown_text "
                         "client_msg_id"),
    "chat.update": ("channel ts", "text blocks attachments metadata parse link_names reply_broadcast file_ids "
                    "markdown_text"),
    "chat.delete": ("channel ts", ""),
    "chat.startStream": ("channel", "thread_ts markdown_text chunks recipient_user_id recipient_team_id "
                         "task_display_mode username icon_emoji icon_url"),
    "chat.appendStream": ("channel ts", "markdown_text chunks"),
    "chat.stopStream": ("channel ts", "markdown_text chunks blocks metadata"),
    "conversations.info": ("channel", "include_locale include_num_members"),
    "conversations.open": ("", "users channel return_im prevent_creation"),
    "users.info": ("user", "include_locale"),
    "reactions.add": ("channel timestamp name", ""),
    "files.getUploadURLExternal": ("filename length", "alt_text snippet_type"),
    "files.completeUploadExternal": ("files", "channel_id channels thread_ts initial_comment blocks"),
}
JSON_ARGUMENTS = {"blocks", "attachments", "metadata", "files", "chunks"}
PACES = {"chat.update": (50, 60), "chat.startStream": (20, 60), "chat.appendStream": (100, 60),
         "chat.stopStream": (20, 60)}


class Refused(Exception):
    """An answer with ok:false."""

    def __init__(self, error, *messages):
        super().__init__(error)
        self.body = {"ok": False, "error": error}
        if messages:
            self.body["response_metadata"] = {"messages": [f"[ERROR] {message}" for message in messages]}


class SlackServer(SlackSocket):
    """The service's side. People are in slack.py."""

    def __init__(self, **socket_mode):
        self.bot_token = "xoxb-100-200-" + secrets.token_hex(12)
        self.app_token = "xapp-1-A100-300-" + secrets.token_hex(12)
        self.team, self.app, self.bot_user, self.bot = "T100", "A100", "UBOT00", "BBOT00"
        self.users, self.channels, self.messages, self.files, self.uploads = {}, {}, {}, {}, {}
        self.reactions = []
        self._paces = {"chat.postMessage": Pace(1, 1)} | {name: Pace(*pace) for name, pace in PACES.items()}
        super().__init__(**socket_mode)

    # Web API.

    def operation(self, request):
        if request.path.startswith("/api/"):
            return request.path.removeprefix("/api/")
        others = {"link": "connect", "upload": "upload", "files": "download"}
        return others.get(request.path.split("/")[1], request.path)

    def perform(self, call, link):
        if call.operation == "connect":
            return self._connect(call, link)
        if call.operation == "upload":
            return self._upload(call.request)
        if call.operation == "download":
            return self._download(call.request)
        with self.changed:
            if left := self.frozen_for(call.operation):
                self.violation("calling before Retry-After", f"{call.operation}, {left:.1f} s early")
                return self._too_many(math.ceil(left))
            try:
                call.params = self._arguments(call)
                do = getattr(self, "_" + call.operation.replace(".", "_"))
                return answer_json({"ok": True} | do(call.params))
            except Refused as refused:
                return answer_json(refused.body)

    def on_fault(self, call, fault):
        if fault.answer and fault.answer.status == 429:
            self.freeze(call.operation, int(fault.answer.headers["Retry-After"]))

    @staticmethod
    def _too_many(seconds):
        return answer_json({"ok": False, "error": "ratelimited"}, 429, **{"Retry-After": str(seconds)})

    def _arguments(self, call):
        request, method = call.request, call.operation
        values = dict(request.query)
        if request.media_type == "application/json":
            try:
                values |= json.loads(request.body or b"{}")
            except (ValueError, TypeError):
                raise Refused("invalid_json") from None
        elif request.media_type == "application/x-www-form-urlencoded":
            values |= dict(urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True))
        elif request.media_type == "multipart/form-data":
            values |= {name: content.decode() for name, file, _, content in request.parts() if file is None}
        elif request.body:
            raise Refused("invalid_post_type")
        self._check_token(method, request, values.pop("token", None))
        if method not in METHODS:
            raise Refused("unknown_method")
        required, others = (words.split() for words in METHODS[method])
        unknown = [name for name in values if name not in required + others and name != "team_id"]
        if unknown:
            self.violation("unknown argument", f"{method}: {', '.join(unknown)}")
        missing = [name for name in required if values.get(name) in (None, "")]
        if missing:
            raise Refused("invalid_arguments", *(f"missing required field: {name}" for name in missing))
        for name in values:
            values[name] = self._typed(method, name, values[name])
        return values

    def _typed(self, method, name, value):
        if name in JSON_ARGUMENTS:
            try:
                return json.loads(value) if isinstance(value, str) else value
            except ValueError:
                raise Refused("invalid_blocks_format" if name == "blocks" else "invalid_arguments") from None
        if name in ("channel", "ts", "thread_ts", "text", "markdown_text", "user", "name", "timestamp") \
                and not isinstance(value, str):
            self.violation("types of arguments", f"{method}: {name} is no string")
            raise Refused("invalid_arguments", f"must be a string [json-pointer:/{name}]")
        return value

    def _check_token(self, method, request, in_body):
        head = request.headers.get("authorization", "")
        token = head.removeprefix("Bearer ") if head.startswith("Bearer ") else in_body
        if not token:
            raise Refused("not_authed")
        if token not in (self.bot_token, self.app_token):
            if self.frozen_for("token"):
                self.violation("calling after invalid_auth", method)
            self.freeze("token", 3600)
            raise Refused("invalid_auth")
        if (token == self.app_token) != (method == "apps.connections.open"):
            raise Refused("not_allowed_token_type")
        if method == "apps.connections.open" and request.verb != "POST":
            raise Refused("insecure_request")

    def _auth_test(self, _):
        return {"url": "https://home.slack.com/", "team": "Home", "user": "barnacle", "team_id": self.team,
                "user_id": self.bot_user, "bot_id": self.bot, "is_enterprise_install": False}

    def _apps_connections_open(self, _):
        ticket = secrets.token_hex(16)
        self.tickets[ticket] = time.monotonic()
        return {"url": f"ws://127.0.0.1:{self.port}/link/?ticket={ticket}&app_id={self.app}"}

    def _chat_postMessage(self, args):
        channel = self._channel(args["channel"])
        text, blocks = args.get("text") or args.get("markdown_text", ""), self._blocks(args)
        if not text and not blocks:
            raise Refused("no_text")
        if len(text) > PLAIN_UNITS:
            self.violation("text of at most 4000", f"{len(text)} characters")
        text = text[:40000]
        if self._paces["chat.postMessage"].is_over(channel["id"]):
            self.violation("pace in a channel", channel["id"])
        message = self._post(channel, {"text": text} | ({"blocks": blocks} if blocks else {}), args.get("thread_ts"))
        return {"channel": channel["id"], "ts": message["ts"], "message": message}

    def _chat_update(self, args):
        message = self._own(args, "cant_update_message")
        self._note_pace("chat.update")
        text, blocks = args.get("text", args.get("markdown_text")), self._blocks(args)
        if text is None and blocks is None:
            raise Refused("no_text")
        if len(text or "") > PLAIN_UNITS:
            raise Refused("msg_too_long")
        if text is not None:
            message |= {"text": text, "edited": {"user": self.bot_user, "ts": self._ts()}}
            message.pop("blocks", None)  # text without blocks takes them away ("chat.update")
        if blocks is not None:
            message["blocks"] = blocks
        self.push_event({"type": "message", "subtype": "message_changed", "channel": args["channel"],
                         "message": dict(message), "ts": self._ts(), "hidden": True})
        return {"channel": args["channel"], "ts": message["ts"], "text": message["text"], "message": message}

    def _chat_delete(self, args):
        message = self._own(args, "cant_delete_message")
        del self.messages[args["channel"], message["ts"]]
        return {"channel": args["channel"], "ts": message["ts"]}

    def _chat_startStream(self, args):
        channel = self._channel(args["channel"])
        self._note_pace("chat.startStream")
        if not channel.get("is_im"):
            for name in ("recipient_team_id", "recipient_user_id"):
                if not args.get(name):
                    raise Refused(f"missing_{name}")
        if channel.get("is_im") and not args.get("thread_ts"):
            raise Refused("invalid_thread_ts")
        text = self._streamed(args)
        message = self._post(channel, {"text": text, "_streaming": True}, args.get("thread_ts"))
        return {"channel": channel["id"], "ts": message["ts"]}

    def _chat_appendStream(self, args):
        message = self._own(args, "message_not_owned_by_app")
        self._note_pace("chat.appendStream")
        if not message.get("_streaming"):
            raise Refused("message_not_in_streaming_state")
        if not args.get("markdown_text") and not args.get("chunks"):
            raise Refused("no_text")
        message["text"] += self._streamed(args)
        return {"channel": args["channel"], "ts": message["ts"]}

    def _chat_stopStream(self, args):
        message = self._own(args, "message_not_owned_by_app")
        self._note_pace("chat.stopStream")
        if not message.pop("_streaming", False):
            raise Refused("message_not_in_streaming_state")
        message["text"] += self._streamed(args)
        if blocks := self._blocks(args):
            message["blocks"] = blocks
        return {"channel": args["channel"], "ts": message["ts"], "message": message}

    def _streamed(self, args):
        text = args.get("markdown_text", "")
        if len(text) > STREAM_UNITS:
            raise Refused("msg_too_long")
        for chunk in args.get("chunks") or []:
            if chunk.get("type") not in ("markdown_text", "task_update", "plan_update", "blocks"):
                raise Refused("invalid_chunks")
            text += chunk.get("text", "") if chunk["type"] == "markdown_text" else ""
        return text

    def _conversations_info(self, args):
        return {"channel": self._channel(args["channel"], member=False)}

    def _conversations_open(self, args):
        users = [user for user in str(args.get("users", "")).split(",") if user]
        if not users and not args.get("channel"):
            raise Refused("users_list_not_supplied")
        if any(user not in self.users for user in users):
            raise Refused("user_not_found")
        return {"channel": {"id": self.dm(self.users[users[0]])["id"]}, "no_op": True, "already_open": True}

    def dm(self, user):
        """The direct conversation with somebody."""
        number = "D" + user["id"][1:]
        return self.channels.setdefault(number, {"id": number, "is_im": True, "user": user["id"], "is_member": True})

    def _users_info(self, args):
        if args["user"] not in self.users:
            raise Refused("user_not_found")
        return {"user": self.users[args["user"]]}

    def _reactions_add(self, args):
        channel = self._channel(args["channel"])
        if (channel["id"], args["timestamp"]) not in self.messages:
            raise Refused("message_not_found")
        if not re.fullmatch(r"[a-z0-9_+'-]+(::skin-tone-\d)?", args["name"]):
            raise Refused("invalid_name")
        reaction = (channel["id"], args["timestamp"], args["name"])
        if reaction in self.reactions:
            raise Refused("already_reacted")
        self.reactions.append(reaction)
        return {}

    def _files_getUploadURLExternal(self, args):
        if not str(args["length"]).isdigit() or int(args["length"]) == 0:
            raise Refused("invalid_arguments", "length must be more than 0")
        number = f"F{next(self._numbers):06d}"
        self.uploads[number] = {"name": args["filename"], "size": int(args["length"]), "content": None}
        return {"upload_url": f"{self.url}/upload/v1/{number}", "file_id": number}

    def _upload(self, request):
        upload = self.uploads.get(request.path.split("/")[-1])
        if request.verb != "POST" or not upload or upload["content"] is not None:
            return Answer(404, b"Not found")
        content = request.body
        if request.media_type == "multipart/form-data":
            content = request.parts()[0][3]
        if len(content) != upload["size"]:
            self.violation("length of an upload", f"{len(content)} bytes, {upload['size']} announced")
            return Answer(400, b"length mismatch")
        upload["content"] = content
        return Answer(200, f"OK - {len(content)}".encode(), {"Content-Type": "text/plain"})

    def _files_completeUploadExternal(self, args):
        done = []
        for one in args["files"]:
            upload = self.uploads.pop(one.get("id"), None)
            if not upload or upload["content"] is None:
                raise Refused("file_not_found")
            done.append(self._file(one["id"], upload["name"], upload["content"], one.get("title")))
        if args.get("channel_id"):
            channel = self._channel(args["channel_id"])
            self._post(channel, {"text": args.get("initial_comment", ""), "files": done, "upload": True},
                       args.get("thread_ts"))
        return {"files": done}

    def _file(self, number, name, content, title=None, media_type="application/octet-stream"):
        self.files[number] = content
        return {"id": number, "name": name, "title": title or name, "size": len(content), "mimetype": media_type,
                "url_private": f"{self.url}/files/{number}/{name}",
                "url_private_download": f"{self.url}/files/{number}/download/{name}"}

    def _download(self, request):
        """A file; without the token the service shows its sign-in page, with 200."""
        content = self.files.get(request.path.split("/")[2])
        if request.headers.get("authorization") != f"Bearer {self.bot_token}":
            self.violation("files need the token", request.path)
            return Answer(200, b"<!DOCTYPE html><title>Slack</title>Sign in", {"Content-Type": "text/html"})
        return Answer(404, b"") if content is None else Answer(200, content)

    # Rules that several methods share.

    def _channel(self, number, member=True):
        channel = self.channels.get(number)
        if channel is None:
            raise Refused("channel_not_found")
        if channel.get("is_archived"):
            raise Refused("is_archived")
        if member and not channel["is_member"]:
            raise Refused("not_in_channel")
        return channel

    def _own(self, args, error):
        channel = self._channel(args["channel"])
        message = self.messages.get((channel["id"], args["ts"]))
        if message is None:
            raise Refused("message_not_found")
        if message.get("bot_id") != self.bot:
            raise Refused(error)
        return message

    def _blocks(self, args):
        blocks = args.get("blocks")
        if blocks is None:
            return None
        if not isinstance(blocks, list):
            raise Refused("invalid_blocks_format")
        if len(blocks) > 50:
            raise Refused("invalid_blocks", "no more than 50 items allowed [json-pointer:/blocks]")
        for index, block in enumerate(blocks):
            if why := wrong_block(block):
                raise Refused("invalid_blocks", f"{why} [json-pointer:/blocks/{index}]")
        return [{"block_id": f"b{index}"} | block for index, block in enumerate(blocks)]

    def _post(self, channel, body, thread=None):
        """A message of the bot. The service tells the app about it, as about everybody's."""
        message = {"type": "message", "user": self.bot_user, "bot_id": self.bot, "app_id": self.app,
                   "team": self.team, "ts": self._ts()} | body | ({"thread_ts": thread} if thread else {})
        self.messages[channel["id"], message["ts"]] = message
        self.push_event(message | {"channel": channel["id"], "event_ts": message["ts"],
                                   "channel_type": "im" if channel.get("is_im") else "channel"})
        self.changed.notify_all()
        return message

    def _ts(self):
        return f"{int(time.time())}.{next(self._numbers):06d}"

    def _note_pace(self, method):
        if self._paces[method].is_over(method):
            self.violation(f"pace of {method}", f"more than {self._paces[method].count} a minute")


def wrong_block(block):
    """What is wrong with a block, or None."""
    if not isinstance(block, dict) or block.get("type") not in (
            "section", "actions", "context", "divider", "header", "image", "markdown", "rich_text", "input"):
        return "unsupported type"
    if len(block.get("block_id", "")) > 255:
        return "block_id of more than 255 characters"
    text = block.get("text")
    if block["type"] == "section":
        if not text and not block.get("fields"):
            return "missing text"
        if text and (text.get("type") not in ("mrkdwn", "plain_text") or not 1 <= len(text.get("text", "")) <= 3000):
            return "text of 1 to 3000 characters expected"
    if block["type"] == "header" and (text or {}).get("type") != "plain_text":
        return "plain_text expected"
    if block["type"] == "actions":
        elements = block.get("elements", [])
        if not 1 <= len(elements) <= 25:
            return "1 to 25 elements expected"
        if len({element.get("action_id") for element in elements}) < len(elements):
            return "an action_id is there twice"
        for element in elements:
            if element.get("type") == "button" and not (
                    element.get("text", {}).get("type") == "plain_text"
                    and 1 <= len(element["text"].get("text", "")) <= 75
                    and len(element.get("action_id", "")) <= 255 and len(element.get("value", "")) <= 2000):
                return "a button with plain text of 1 to 75 characters expected"
    return None
