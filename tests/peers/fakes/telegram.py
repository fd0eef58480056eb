"""The people around one Telegram bot, for scenarios. The service with its rules and sources is telegram_server.py."""

import time

from fakes.base import instead
from fakes.telegram_server import Refused, TelegramServer, envelope, public
from fakes.telegram_text import found_entities


class Telegram(TelegramServer):
    """One bot, and what people do to it. `url` is the API root, `token` the bot's."""


    def user(self, number, first_name, username=None):
        """A person, with a private chat of the same number."""
        user = {"id": number, "is_bot": False, "first_name": first_name} | ({"username": username} if username else {})
        self.users[number] = user
        self.chats[number] = {"id": number, "type": "private", "first_name": first_name} \
            | ({"username": username} if username else {})
        return user

    def group(self, number, title, topics=()):
        """A supergroup; `topics` are the thread numbers of a forum."""
        self.chats[number] = {"id": number, "type": "supergroup", "title": title} \
            | ({"is_forum": True} if topics else {})
        self.topics[number] = set(topics)
        return self.chats[number]

    def message(self, user, text=None, chat=None, topic=None, reply_to=None, **media):
        """A message to the bot. `photo=`, `document=`, `voice=` are (name, bytes); `caption=` goes with them."""
        with self.changed:
            message = self._new_message(user, chat or self.chats[user["id"]], topic)
            if text is not None:
                message |= {"text": text} | ({"entities": found} if (found := found_entities(text)) else {})
            for kind in ("photo", "document", "voice", "video", "audio"):
                if kind in media:
                    message |= {kind: self._described(kind, *media[kind])}
            if "caption" in media:
                message["caption"] = media["caption"]
            if reply_to:
                message["reply_to_message"] = {name: part for name, part in reply_to.items()
                                               if name != "reply_to_message"}
            if not self.privacy or message["chat"]["type"] == "private" or self._is_for_bot(message):
                self.push("message", message)
            return message

    def _is_for_bot(self, message):
        """What a bot in privacy mode sees of a group ("Bot Features", "Privacy mode")."""
        text, replied = message.get("text", message.get("caption", "")), message.get("reply_to_message", {})
        return text.startswith("/") or "@" + self.me["username"] in text \
            or replied.get("from", {}).get("id") == self.me["id"]

    def edit(self, message, text):
        with self.changed:
            message |= {"text": text, "edit_date": int(time.time())}
            self.push("edited_message", message)

    def vote(self, message, user, options):
        """Votes in a poll of the bot; an empty list takes the vote back."""
        with self.changed:
            self._end_old_polls()
            poll, votes = message["poll"], message["_votes"]
            assert not poll["is_closed"], "the poll is closed"
            assert len(options) <= 1 or poll["allows_multiple_answers"], "one answer only"
            assert user["id"] not in votes or poll["allows_revoting"], "one vote only"
            votes[user["id"]] = list(options)
            for index, option in enumerate(poll["options"]):
                option["voter_count"] = sum(index in chosen for chosen in votes.values())
            poll["total_voter_count"] = sum(bool(chosen) for chosen in votes.values())
            if not poll["is_anonymous"]:
                self.push("poll_answer", {
                    "poll_id": poll["id"], "user": user, "option_ids": list(options),
                    "option_persistent_ids": [poll["options"][index]["persistent_id"] for index in options],
                })
            self.push("poll", poll)

    def press(self, user, message, data):
        """Presses a button of an inline keyboard. Returns the query's id."""
        number = str(next(self._ids["query"]))
        self.queries.add(number)
        self.push("callback_query", {"id": number, "from": user, "message": public(message), "data": data,
                                     "chat_instance": "1"})
        return number

    def react(self, user, message, emoji):
        self.push("message_reaction", {
            "chat": message["chat"], "message_id": message["message_id"], "user": user, "date": int(time.time()),
            "old_reaction": [], "new_reaction": [{"type": "emoji", "emoji": emoji}],
        })

    def stop_generation(self, user, draft_id):
        """The stop button under a draft."""
        self.push("stopped_message_generation", {"chat": self.chats[user["id"]], "draft_id": draft_id})

    def block(self, user):
        """Somebody blocks the bot; given a group, the bot is removed from it."""
        self._membership(user["id"], "kicked")
        self.blocked.add(user["id"])

    def unblock(self, user):
        self.blocked.discard(user["id"])
        self.refused.discard(user["id"])
        self._membership(user["id"], "member")

    def _membership(self, number, status):
        before = {"member": "kicked", "kicked": "member"}[status]
        self.push("my_chat_member", {
            "chat": self.chats[number], "from": self.users.get(number, self.me), "date": int(time.time()),
            "old_chat_member": {"status": before, "user": self.me},
            "new_chat_member": {"status": status, "user": self.me} | ({"until_date": 0} if status == "kicked" else {}),
        })

    def migrate(self, old, new):
        """A group becomes the supergroup `new`; both tell so."""
        with self.changed:
            self.migrated[old] = new
            self.chats[new] = self.chats[old] | {"id": new, "type": "supergroup"}
            for chat, name, other in ((old, "migrate_to_chat_id", new), (new, "migrate_from_chat_id", old)):
                self.push("message", self._new_message(self.me, self.chats[chat], None) | {name: other})

    def host(self, url, content):
        """What the service finds when a bot sends this URL as a file. It fetches nothing itself."""
        self.hosted[url] = content

    def sent(self, chat=None):
        """The bot's messages as they stand now, oldest first."""
        with self.changed:
            return [message for message in self.messages.values() if message["from"]["id"] == self.me["id"]
                    and (chat is None or message["chat"]["id"] == chat["id"])]

    def too_many(self, seconds):
        """429 now, and to every other send until `seconds` are over."""
        return instead(envelope(Refused(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)))

    @staticmethod
    def server_error(code=502, description="Bad Gateway"):
        return instead(envelope(Refused(code, description)))
