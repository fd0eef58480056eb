"""The people around one WhatsApp business number, for scenarios. The service with its rules and sources is
whatsapp_server.py."""

import dataclasses
import threading
import time

from fakes.base import instead
from fakes.whatsapp_server import Refused, WhatsAppServer, envelope


class WhatsApp(WhatsAppServer):
    """One number and the people around it. `url` stands for graph.facebook.com; `token`, `phone` (the number's id),
    `secret` (of the app) and `verify_token` are what is configured at the other side."""

    def person(self, number, name, username=None):
        """Somebody; the number is digits only. With a username the number is not shown, only the user id. The window
        of 24 h opens with the first message."""
        user_id = f"DE.{1000000000 + next(self._numbers)}"
        contact = {"profile": {"name": name} | ({"username": username} if username else {}), "user_id": user_id}
        contact |= {} if username else {"wa_id": number}
        self.people[number] = self.people[user_id] = contact
        return contact

    def message(self, person, text=None, reply_to=None, again=False, **media):
        """A message to the number. `image=`, `document=`, `audio=` are (media type, bytes), `caption=` goes with them.
        With `again` the webhook comes twice, as it may."""
        content = {"type": "text", "text": {"body": text}}
        for kind in ("image", "document", "audio", "video", "sticker"):
            if kind in media:
                number = self.keep(kind, *media[kind])
                content = {"type": kind, kind: {"id": number, "mime_type": media[kind][0], "sha256": "0"}}
                content[kind] |= {"caption": media["caption"]} if "caption" in media else {}
        return self._incoming(person, content, reply_to, times=1 + again)

    def choose(self, person, message, row_id):
        """Chooses a row of a list, or presses a button, of the business."""
        interactive = message["interactive"]
        if interactive["type"] == "list":
            row = next(row for section in interactive["action"]["sections"] for row in section["rows"]
                       if row["id"] == row_id)
            reply = {"type": "list_reply", "list_reply": {name: row[name] for name in ("id", "title", "description")
                                                          if name in row}}
        else:
            button = next(one["reply"] for one in interactive["action"]["buttons"] if one["reply"]["id"] == row_id)
            reply = {"type": "button_reply", "button_reply": dict(button)}
        return self._incoming(person, {"type": "interactive", "interactive": reply}, message)

    def react(self, person, message, emoji):
        return self._incoming(person, {"type": "reaction", "reaction": {"message_id": message["id"], "emoji": emoji}})

    def messages_together(self, person, texts):
        """Several messages in one post, as the service may send them."""
        return self._post(person, [self._made(person, {"type": "text", "text": {"body": text}}, None)
                                   for text in texts], 1)[-1]

    def see(self, message):
        """Somebody reads a message of the business."""
        self.status(message, "read")

    def close_window(self, person):
        """As if the last message were 24 h old."""
        self.wrote_at.pop(person["user_id"], None)

    def forged(self, person, text):
        """A post with a wrong signature. Returns the HTTP status of the answer."""
        message = self._made(person, {"type": "text", "text": {"body": text}}, None)
        return self.deliver({"contacts": [person], "messages": [message]}, signature="0" * 64)

    def _incoming(self, person, content, reply_to=None, times=1):
        return self._post(person, [self._made(person, content, reply_to)], times)[0]

    def _made(self, person, content, reply_to):
        number = f"wamid.IN{next(self._numbers):06d}"
        message = {"from_user_id": person["user_id"], "id": number, "timestamp": str(int(time.time()))} | content
        message |= {"from": person["wa_id"]} if "wa_id" in person else {}
        if reply_to:
            message["context"] = {"from": self.number, "id": reply_to["id"]}
        with self.changed:
            self.messages[number] = message
            self.wrote_at[person["user_id"]] = time.monotonic()
        return message

    def _post(self, person, messages, times):
        for _ in range(times):
            threading.Thread(target=self.deliver, args=({"contacts": [person], "messages": messages},),
                             daemon=True).start()
        return messages

    def sent(self, person=None):
        """The business's messages, oldest first. They are never edited."""
        with self.changed:
            return [message for message in self.messages.values() if "to" in message
                    and (person is None or message["user_id"] == person["user_id"])]

    @staticmethod
    def too_many(seconds):
        """130429 now, and to every message until `seconds` are over."""
        return dataclasses.replace(instead(envelope(Refused(130429))), seconds=seconds)

    @staticmethod
    def error(code, details=""):
        """Any error of whatsapp_server.ERRORS."""
        return instead(envelope(Refused(code, details)))
