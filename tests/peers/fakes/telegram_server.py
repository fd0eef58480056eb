"""A Telegram Bot API server for one bot, strict.

Sources, all at core.telegram.org: "Bot API" (10.2) for methods, limits and updates; "Bots FAQ" for the pace
(1 message a second in a chat, 20 a minute in a group, 30 a second in all; files up to 50 MB up, 20 MB down).
The wording of errors, the two-pollers rule (the older poll gets the 409) and the 3 s of short polls and conflicts from
Telegram's public server, repository tdlib/telegram-bot-api. Not from a document, and so only noted, never refused:
drafts faster than one in 300 ms, edits faster than one a second. Judged by grammY (judges/grammy.mjs).
"""

import contextlib
import itertools
import math
import re
import time

from fakes.base import Fake, Gone, Pace
from fakes.http import Answer, answer_json
from fakes.telegram_methods import BY_SMALL_NAME, WrongParameter, read_parameters
from fakes.telegram_text import CantParse, parse_html, units

MEGABYTE = 1024 * 1024
TEXT_UNITS_MAX, CAPTION_UNITS_MAX = 4096, 1024
UPLOAD_BYTES_MAX = {"photo": 10 * MEGABYTE}  # others: 50 MB
FETCH_BYTES_MAX = {"photo": 5 * MEGABYTE}  # by URL; others: 20 MB
DOWNLOAD_BYTES_MAX = 20 * MEGABYTE
MUST_BE_ASKED_FOR = {"chat_member", "message_reaction", "message_reaction_count"}
ACTIONS = {"typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice",
           "upload_document", "choose_sticker", "find_location", "record_video_note", "upload_video_note"}
PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF")
GENERAL_TOPIC = 1
SENDS = re.compile(r"send(?!ChatAction|MessageDraft)|editMessageText|stopPoll")


class Refused(Exception):
    """An answer with ok:false."""

    def __init__(self, code, description, **parameters):
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


def refuse(description):
    raise Refused(400, f"Bad Request: {description}")


class TelegramServer(Fake):
    """The service's side: what a bot may ask for. People are in telegram.py."""

    def __init__(self, token="110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", username="barnacle_bot"):
        self.token = token
        self.me = {"id": int(token.split(":")[0]), "is_bot": True, "first_name": "Barnacle", "username": username}
        self.chats, self.users, self.messages, self.files, self.hosted = {}, {}, {}, {}, {}
        self.privacy = False  # with it groups show only commands, mentions and replies to the bot
        self.commands, self.drafts, self.reactions, self.actions = [], [], {}, []
        self.blocked, self.refused, self.migrated, self.topics = set(), set(), {}, {}
        self.webhook = ""
        self.updates, self.allowed, self.delivered, self.queries = [], None, {}, set()
        self._ids = {name: itertools.count(first) for name, first in
                     (("update", 860000001), ("message", 1), ("file", 1), ("poll", 5000000001), ("query", 900001))}
        self._poll_number, self._poll_link, self._last_poll, self._conflict_at = 0, None, (None, 0.0), 0.0
        self._paces = {"pace in a chat": Pace(1, 1), "pace in a group": Pace(20, 60), "pace in all": Pace(30, 1),
                       "pace of edits": Pace(1, 1), "pace of drafts": Pace(1, 0.3)}
        super().__init__()

    # Updates.

    def push(self, kind, value):
        """An update. Kinds that were not asked for are not kept ("allowed_updates")."""
        with self.changed:
            if kind in (self.allowed or []) or not (self.allowed or kind in MUST_BE_ASKED_FOR):
                self.updates.append({"update_id": next(self._ids["update"]), kind: public(value)})
                self.changed.notify_all()

    # The requests.

    def operation(self, request):
        if found := re.fullmatch(r"/bot[^/]+/(\w+)", request.path):
            return BY_SMALL_NAME.get(found[1].lower(), found[1])
        return "file" if request.path.startswith("/file/bot") else request.path

    def on_fault(self, call, fault):
        if fault.answer and fault.answer.status == 429:
            self.freeze("send" if SENDS.match(call.operation) else call.operation, self._seconds_of(fault))

    @staticmethod
    def _seconds_of(fault):
        return int(re.search(rb'"retry_after": (\d+)', fault.answer.body)[1])

    def perform(self, call, link):
        try:
            self._check_token(call.request.path)
            if call.operation == "file":
                return self._download(call.request)
            if call.operation not in BY_SMALL_NAME.values():
                raise Refused(404, "Not Found")
            try:
                call.params, files, unknown = read_parameters(call.operation, call.request)
            except (WrongParameter, ValueError) as error:
                self.violation("types of parameters", f"{call.operation}: {error}")
                refuse(str(error))
            if unknown:
                self.violation("unknown parameter", f"{call.operation}: {', '.join(unknown)}")
            if call.operation == "getUpdates":
                return answer_json({"ok": True, "result": self._get_updates(call.params, link)})
            with self.changed:
                self._check_freeze(call.operation)
                do = getattr(self, "_" + re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), call.operation))
                return answer_json({"ok": True, "result": public(do(call.params, files))})
        except Refused as refused:
            return envelope(refused)

    def _check_token(self, path):
        if path.split("/")[1 + path.startswith("/file/")] != f"bot{self.token}":
            if self.frozen_for("token"):
                self.violation("calling after 401", path.rsplit("/", 1)[-1])
            self.freeze("token", 3600)
            raise Refused(401, "Unauthorized") if path.startswith(("/bot", "/file/bot")) else Refused(404, "Not Found")

    def _check_freeze(self, method):
        key = "send" if SENDS.match(method) else method
        if left := self.frozen_for(key):
            self.violation("calling before retry_after", f"{method}, {left:.1f} s early")
            seconds = math.ceil(left)
            raise Refused(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)

    def _get_updates(self, params, link):
        """Holds for up to `timeout`. A newer poll that is held too ends an older one with 409."""
        offset, limit = params.get("offset", 0), min(max(params.get("limit", 100), 1), 100)
        with self.changed:
            self._check_freeze("getUpdates")
            if self.webhook:
                self._conflict("can't use getUpdates method while webhook is active; "
                               "use deleteWebhook to delete the webhook first")
            deadline = time.monotonic() + self._hold_seconds(offset, params.get("timeout", 0))
            before = self._poll_link
            if before and not (before.dead or before.closed or before.is_left()):
                self.violation("one poll at a time", "a second getUpdates while one was held")
            if "allowed_updates" in params:
                self.allowed = params["allowed_updates"]
            self._confirm(offset)
            mine = None
            while not self.updates and time.monotonic() < deadline:
                if mine is None:
                    self._poll_number, self._poll_link = self._poll_number + 1, link
                    mine = self._poll_number
                    self.changed.notify_all()
                if self.ended or link.is_left():
                    self._poll_link = None if mine == self._poll_number else self._poll_link
                    raise Gone
                self.changed.wait(min(max(deadline - time.monotonic(), 0.001), 0.1))
                if self._poll_number != mine:
                    self._conflict("terminated by other getUpdates request; "
                                   "make sure that only one bot instance is running")
                self._end_old_polls()
            if mine is not None:
                self._poll_link = None
            ready = self.updates[:limit]
            for update in ready:
                times = self.delivered[update["update_id"]] = self.delivered.get(update["update_id"], 0) + 1
                if times == 6:
                    self.violation("offset confirms", f"update {update['update_id']} was fetched {times} times")
            return ready

    def _hold_seconds(self, offset, timeout):
        """At most 50. A short poll that is repeated with the same offset within 3 s is made one of 3 s."""
        now, seconds = time.monotonic(), min(max(timeout, 0), 50)
        if seconds < 3 and self._last_poll[0] == offset and now < self._last_poll[1] + 3:
            seconds = 3
        self._last_poll = (offset, now)
        return seconds

    def _conflict(self, description):
        """409; the second in 3 s comes 3 s late."""
        now = time.monotonic()
        if now < self._conflict_at:
            while time.monotonic() < now + 3 and not self.ended:
                self.changed.wait(0.1)
        else:
            self._conflict_at = now + 3
        raise Refused(409, f"Conflict: {description}")

    def _confirm(self, offset):
        if offset < 0:
            self.updates = self.updates[offset:]
        elif offset > 0:
            self.updates = [update for update in self.updates if update["update_id"] >= offset]

    def _get_me(self, *_):
        return self.me | {"can_join_groups": True, "can_read_all_group_messages": not self.privacy,
                          "supports_inline_queries": False, "can_connect_to_business": False,
                          "has_main_web_app": False}

    def _delete_webhook(self, params, _):
        self.webhook = ""
        if params.get("drop_pending_updates"):
            self.updates = []
        return True

    def _get_webhook_info(self, *_):
        return {"url": self.webhook, "has_custom_certificate": False, "pending_update_count": len(self.updates)}

    def _set_my_commands(self, params, _):
        commands = params.get("commands", [])
        if len(commands) > 100:
            refuse("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command.get("command", "")):
                refuse("BOT_COMMAND_INVALID")
            if not 1 <= len(command.get("description", "")) <= 256:
                refuse("BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands = commands
        return True

    def _get_chat(self, params, _):
        return self._chat(params)

    def _send_message(self, params, _):
        chat = self._chat(params)
        text, entities = self._text(params, "text", TEXT_UNITS_MAX, "message is too long")
        if not text:
            refuse("message text is empty")
        return self._post(chat, params, {"text": text} | ({"entities": entities} if entities else {}))

    def _edit_message_text(self, params, _):
        message = self._own(params, "edit")
        text, entities = self._text(params, "text", TEXT_UNITS_MAX, "MESSAGE_TOO_LONG")
        if not text:
            refuse("message text is empty")
        if "text" not in message:
            refuse("there is no text in the message to edit")
        markup = self._markup(params)
        new = (text, entities, markup)
        if new == (message["text"], message.get("entities", []), message.get("reply_markup")):
            refuse("message is not modified: specified new message content and reply markup are exactly the same "
                   "as a current content and reply markup of the message")
        self._note_pace("pace of edits", message["chat"]["id"])
        for name, value in (("text", text), ("entities", entities), ("reply_markup", markup)):
            message.pop(name, None)
            message |= {name: value} if value else {}
        message["edit_date"] = int(time.time())
        return message

    def _delete_message(self, params, _):
        chat = self._chat(params)
        if self.messages.pop((chat["id"], params.get("message_id")), None) is None:
            refuse("message to delete not found")
        return True

    def _send_message_draft(self, params, _):
        chat = self._chat(params)
        if chat["type"] != "private":
            refuse("TEXTDRAFT_PEER_INVALID")
        if params.get("draft_id", 0) == 0:
            refuse("draft_id must be non-zero")
        text, _ = self._text({"text": ""} | params, "text", TEXT_UNITS_MAX, "MESSAGE_TOO_LONG")
        self._note_pace("pace of drafts", chat["id"])
        self.drafts.append({"chat": chat, "draft_id": params["draft_id"], "text": text, "at": time.monotonic(),
                            "can_stop": params.get("can_stop", False)})
        return True

    def _send_chat_action(self, params, _):
        chat = self._chat(params)
        if params.get("action") not in ACTIONS:
            refuse("wrong parameter action in request")
        self.actions.append((chat["id"], params["action"], time.monotonic()))
        return True

    def _send_photo(self, params, files):
        return self._send_file("photo", params, files)

    def _send_document(self, params, files):
        return self._send_file("document", params, files)

    def _send_voice(self, params, files):
        return self._send_file("voice", params, files)

    def _send_audio(self, params, files):
        return self._send_file("audio", params, files)

    def _send_video(self, params, files):
        return self._send_file("video", params, files)

    def _send_file(self, kind, params, files):
        chat = self._chat(params)
        return self._post(chat, params, self._file_body(kind, params.get(kind, ""), params, files))

    def _send_media_group(self, params, files):
        chat, media = self._chat(params), params.get("media", [])
        kinds = [item.get("type") if isinstance(item, dict) else None for item in media]
        if not 2 <= len(media) <= 10:
            refuse("media group must contain 2-10 items")
        if not set(kinds) <= {"photo", "video", "document", "audio"}:
            refuse("can't parse InputMedia")
        if len(set(kinds)) > 1 and {"document", "audio"} & set(kinds):
            refuse("documents and audio can't be mixed with other media types")
        bodies = [self._file_body(kind, item.get("media", ""), item, files) for kind, item in zip(kinds, media)]
        group = {"media_group_id": str(next(self._ids["query"]))}
        return [self._post(chat, params, body | group, first=index == 0) for index, body in enumerate(bodies)]

    def _file_body(self, kind, source, params, files):
        if source.startswith("attach://"):
            if source[9:] not in files:
                refuse(f"there is no {kind} in the request")
            name, _, content = files[source[9:]]
            limit = UPLOAD_BYTES_MAX.get(kind, 50 * MEGABYTE)
            if kind == "photo" and len(content) > limit:
                refuse(f"file of size {len(content)} bytes is too big for a photo; the maximum size is {limit} bytes")
            if len(content) > limit:
                raise Refused(413, "Request Entity Too Large")
        elif re.match(r"https?://", source):
            name, content = source.rsplit("/", 1)[-1], self.hosted.get(source)
            if content is None or len(content) > FETCH_BYTES_MAX.get(kind, 20 * MEGABYTE):
                refuse("failed to get HTTP URL content")
        elif source in self.files:
            name, content = self.files[source]
        else:
            refuse(f"there is no {kind} in the request" if not source else "wrong file identifier/HTTP URL specified")
        if not content:
            refuse("file must be non-empty")
        if kind == "photo" and not content.startswith(PICTURES):
            refuse("IMAGE_PROCESS_FAILED")
        caption, entities = self._text({"caption": ""} | params, "caption", CAPTION_UNITS_MAX,
                                       "message caption is too long")
        body = {kind: self._described(kind, name, content)}
        return body | ({"caption": caption} if caption else {}) | ({"caption_entities": entities} if entities else {})

    def _send_poll(self, params, _):
        chat = self._chat(params)
        options = [option.get("text") if isinstance(option, dict) else None for option in params.get("options", [])]
        if not 1 <= units(params.get("question", "")) <= 300:
            refuse("poll question must be non-empty" if not params.get("question")
                   else "poll question length must not exceed 300")
        if not options:
            refuse("poll must have at least 1 option")
        if len(options) > 12:
            refuse("poll can't have more than 12 options")
        for option in options:
            if not isinstance(option, str):
                refuse("can't parse options: each must be an InputPollOption")
            if not 1 <= units(option) <= 100:
                refuse("poll options length must not exceed 100" if option else "poll options must be non-empty")
        if "open_period" in params and "close_date" in params:
            refuse("only one of open_period and close_date can be specified")
        seconds = params.get("open_period") or (params["close_date"] - time.time() if "close_date" in params else None)
        if seconds is not None and not 4 <= seconds <= 2628000:
            refuse("poll open period is out of range 5-2628000 seconds")
        poll = {"id": str(next(self._ids["poll"])), "question": params["question"],
                "options": [{"persistent_id": f"option-{index}", "text": option, "voter_count": 0}
                            for index, option in enumerate(options)],
                "total_voter_count": 0, "is_closed": params.get("is_closed", False),
                "is_anonymous": params.get("is_anonymous", True), "type": params.get("type", "regular"),
                "allows_multiple_answers": params.get("allows_multiple_answers", False),
                "allows_revoting": params.get("allows_revoting", True), "members_only": False}
        if seconds is not None:
            poll |= {"open_period": round(seconds), "close_date": int(time.time() + seconds)}
        message = self._post(chat, params, {"poll": poll})
        message |= {"_votes": {}, "_ends": seconds and time.monotonic() + seconds}
        return message

    def _stop_poll(self, params, _):
        message = self._own(params, "stop")
        if "poll" not in message:
            refuse("message with poll to stop not found")
        if message["poll"]["is_closed"]:
            refuse("poll has already been closed")
        message["poll"]["is_closed"] = True
        self.push("poll", message["poll"])
        return message["poll"]

    def _end_old_polls(self):
        for message in self.messages.values():
            ends = message.get("_ends")
            if ends and time.monotonic() >= ends and not message["poll"]["is_closed"]:
                message["poll"]["is_closed"] = True
                self.push("poll", message["poll"])

    def _set_message_reaction(self, params, _):
        chat = self._chat(params)
        if (chat["id"], params.get("message_id")) not in self.messages:
            refuse("message to react not found")
        reaction = params.get("reaction", [])
        if len(reaction) > 1 or any(one.get("type") != "emoji" or not one.get("emoji") for one in reaction):
            refuse("REACTION_INVALID")
        self.reactions[chat["id"], params["message_id"]] = [one["emoji"] for one in reaction]
        return True

    def _answer_callback_query(self, params, _):
        if len(params.get("text", "")) > 200:
            refuse("MESSAGE_TOO_LONG")
        if params.get("callback_query_id") not in self.queries:
            refuse("query is too old and response timeout expired or query ID is invalid")
        return True

    def _get_file(self, params, _):
        if params.get("file_id") not in self.files:
            refuse("wrong file_id or the file is temporarily unavailable")
        name, content = self.files[params["file_id"]]
        if len(content) > DOWNLOAD_BYTES_MAX:
            refuse("file is too big")
        return {"file_id": params["file_id"], "file_unique_id": "u" + params["file_id"], "file_size": len(content),
                "file_path": f"files/{params['file_id']}/{name}"}

    def _download(self, request):
        file_id = (request.path.split("/") + ["", "", "", ""])[4]
        if file_id not in self.files or request.verb not in ("GET", "HEAD"):
            raise Refused(404, "Not Found")
        return Answer(200, self.files[file_id][1], {"Content-Type": "application/octet-stream"})

    # Rules that several methods share.

    def _chat(self, params):
        wanted = params.get("chat_id", "")
        if wanted == "":
            refuse("chat_id is empty")
        if isinstance(wanted, str) and wanted.startswith("@"):
            wanted = next((chat["id"] for chat in self.chats.values() if "@" + chat.get("username", "") == wanted), 0)
        with contextlib.suppress(ValueError):
            wanted = int(wanted)
        if wanted in self.migrated:
            raise Refused(400, "Bad Request: group chat was upgraded to a supergroup chat",
                          migrate_to_chat_id=self.migrated[wanted])
        if wanted not in self.chats:
            refuse("chat not found")
        if wanted in self.blocked:
            if wanted in self.refused:
                self.violation("calling after 403", f"chat {wanted}")
            self.refused.add(wanted)
            raise Refused(403, "Forbidden: bot was blocked by the user" if wanted > 0
                          else "Forbidden: bot was kicked from the supergroup chat")
        return self.chats[wanted]

    def _text(self, params, name, limit, too_long):
        """Text and entities after parsing, without blanks around it."""
        source, mode = params.get(name, ""), params.get("parse_mode", "")
        entities = params.get("entities" if name == "text" else "caption_entities", [])
        if mode.lower() == "html":
            try:
                source, entities = parse_html(source)
            except CantParse as error:
                refuse(f"can't parse entities: {error}")
        elif mode:
            refuse("unsupported parse_mode")
        text = source.rstrip()
        if units(text) > limit:
            refuse(too_long)
        for entity in entities:
            if not (isinstance(entity, dict) and entity.get("offset", -1) >= 0 and entity.get("length", 0) > 0):
                refuse("can't parse entities")
        return text, [entity for entity in entities if entity["offset"] < units(text)]

    def _own(self, params, what):
        chat = self._chat(params)
        message = self.messages.get((chat["id"], params.get("message_id")))
        if message is None:
            refuse(f"message to {what} not found" if what == "edit" else "message with poll to stop not found")
        if message["from"]["id"] != self.me["id"]:
            refuse("message can't be edited")
        return message

    def _markup(self, params):
        markup = params.get("reply_markup")
        if markup is None:
            return None
        kinds = [kind for kind in ("inline_keyboard", "keyboard", "remove_keyboard", "force_reply") if kind in markup]
        if len(kinds) != 1:
            refuse("object expected as reply markup")
        for row in markup.get("inline_keyboard", []):
            for button in row:
                if not button.get("text") or len(button) < 2:
                    refuse("can't parse inline keyboard button: text buttons are unallowed in the inline keyboard")
                if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= 64:
                    refuse("BUTTON_DATA_INVALID")
        return markup

    def _new_message(self, sender, chat, topic):
        message = {"message_id": next(self._ids["message"]), "from": sender, "chat": chat, "date": int(time.time())}
        if topic:
            message |= {"message_thread_id": topic, "is_topic_message": True}
        self.messages[chat["id"], message["message_id"]] = message
        return message

    def _post(self, chat, params, body, first=True):
        topic = params.get("message_thread_id")
        if topic is not None and (topic == GENERAL_TOPIC or topic not in self.topics.get(chat["id"], ())):
            refuse("message thread not found")
        markup, reply = self._markup(params), params.get("reply_parameters")
        original = reply and self.messages.get((chat["id"], reply.get("message_id")))
        if reply and not original and not reply.get("allow_sending_without_reply"):
            refuse("message to be replied not found")
        if first:  # a group of media is one sending
            self._note_pace("pace in a chat", chat["id"])
        self._note_pace("pace in all", "all")
        if chat["type"] != "private":
            self._note_pace("pace in a group", chat["id"])
        message = self._new_message(self.me, chat, topic)
        if original:
            message["reply_to_message"] = {name: part for name, part in original.items()
                                           if name != "reply_to_message"}
        message |= body | ({"reply_markup": markup} if markup and "inline_keyboard" in markup else {})
        self.messages[chat["id"], message["message_id"]] = message
        self.changed.notify_all()
        return message

    def _note_pace(self, rule, key):
        if self._paces[rule].is_over(key):
            self.violation(rule, f"chat {key}")

    def _described(self, kind, name, content):
        file_id = f"AgAC{next(self._ids['file']):06d}"
        self.files[file_id] = (name, content)
        facts = {"file_id": file_id, "file_unique_id": "u" + file_id, "file_size": len(content)}
        if kind == "photo":
            return [facts | {"width": 90, "height": 90}, facts | {"width": 320, "height": 320}]
        if kind == "document":
            return facts | {"file_name": name}
        return facts | {"duration": 1} | ({"width": 320, "height": 240} if kind == "video" else {})


def public(value):
    """Without the fake's own notes."""
    if isinstance(value, dict):
        return {name: public(part) for name, part in value.items() if not name.startswith("_")}
    return [public(part) for part in value] if isinstance(value, list) else value


def envelope(refused):
    body = {"ok": False, "error_code": refused.code, "description": refused.description}
    return answer_json(body | ({"parameters": refused.parameters} if refused.parameters else {}), refused.code)
