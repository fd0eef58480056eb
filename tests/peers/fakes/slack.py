"""The people around one Slack app, for scenarios. The service with its rules and sources is slack_server.py."""

import time

from fakes.base import instead
from fakes.http import answer_json
from fakes.slack_server import SlackServer


class Slack(SlackServer):
    """A workspace with one app. `url` + "/api/" is the Web API; `bot_token` and `app_token` are the app's."""

    def user(self, number, name):
        """A person; `number` begins with U."""
        self.users[number] = {"id": number, "team_id": self.team, "name": name.lower(), "real_name": name,
                              "deleted": False, "is_bot": False, "tz": "UTC",
                              "profile": {"real_name": name, "display_name": name}}
        return self.users[number]

    def channel(self, number, name, member=True):
        """A public channel; `number` begins with C."""
        self.channels[number] = {"id": number, "name": name, "is_channel": True, "is_private": False, "is_im": False,
                                 "is_member": member, "is_archived": False}
        return self.channels[number]

    def message(self, user, text, channel=None, thread=None, files=()):
        """A message; without a channel to the bot alone. `files` are (name, media type, bytes). A mention in a
        channel comes as two events, "message" and "app_mention", with the same ts."""
        with self.changed:
            channel = channel or self.dm(user)
            event = {"type": "message", "user": user["id"], "text": text, "team": self.team, "ts": self._ts()}
            event |= {"thread_ts": thread} if thread else {}
            if files:
                event |= {"subtype": "file_share", "files": [
                    self._file(f"F{next(self._numbers):06d}", name, content, media_type=media_type)
                    for name, media_type, content in files]}
            self.messages[channel["id"], event["ts"]] = event
            told = event | {"channel": channel["id"], "event_ts": event["ts"]}
            self.push_event(told | {"channel_type": "im" if channel.get("is_im") else "channel"})
            if f"<@{self.bot_user}>" in text and not channel.get("is_im"):
                self.push_event(told | {"type": "app_mention"})
            return event

    def press(self, user, message, action_id, channel):
        """Presses a button of a message. Returns the envelope's id."""
        block, button = next((block, element) for block in message.get("blocks", [])
                             for element in block.get("elements", []) if element.get("action_id") == action_id)
        return self.push("interactive", {
            "type": "block_actions", "user": {"id": user["id"], "name": user["name"], "team_id": self.team},
            "team": {"id": self.team, "domain": "home"}, "api_app_id": self.app, "token": "verification",
            "trigger_id": "1.2.3", "channel": {"id": channel["id"], "name": channel.get("name", "directmessage")},
            "container": {"type": "message", "message_ts": message["ts"], "channel_id": channel["id"]},
            "message": {name: value for name, value in message.items() if not name.startswith("_")},
            "response_url": f"{self.url}/respond",
            "actions": [{"type": "button", "action_id": action_id, "block_id": block["block_id"],
                         "value": button.get("value", ""), "text": button["text"], "action_ts": self._ts()}],
        })

    def slash(self, user, command, text, channel=None):
        """A slash command. Returns the envelope's id."""
        channel = channel or self.dm(user)
        return self.push("slash_commands", {
            "token": "verification", "team_id": self.team, "api_app_id": self.app, "command": command, "text": text,
            "channel_id": channel["id"], "user_id": user["id"], "user_name": user["name"], "trigger_id": "1.2.3",
            "response_url": f"{self.url}/respond",
        })

    def react(self, user, message, name, channel):
        return self.push_event({"type": "reaction_added", "user": user["id"], "reaction": name,
                                "item_user": message["user"], "event_ts": self._ts(),
                                "item": {"type": "message", "channel": channel["id"], "ts": message["ts"]}})

    def ask_to_leave(self, reason="refresh_requested", grace_seconds=5.0):
        """Sends "disconnect" on every connection. New envelopes go to others; after `grace_seconds` it is cut.
        Reasons: warning, refresh_requested, link_disabled, too_many_websockets."""
        with self.changed:
            leaving = self.open_sockets()
            for socket in leaving:
                socket.leaving = True
                socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-fake"}})
        deadline = time.monotonic() + grace_seconds
        with self.changed:
            while time.monotonic() < deadline and any(socket.close_code is None for socket in leaving):
                self.changed.wait(0.1)
        for socket in leaving:
            if socket.close_code is None:
                socket.link.reset()

    def end_stream(self, message):
        """Lets a stream run out, as the service does when nothing was appended for some time."""
        message.pop("_streaming", None)

    def sent(self, channel=None):
        """The bot's messages as they stand now, oldest first."""
        with self.changed:
            return [message for (where, _), message in self.messages.items() if message.get("bot_id") == self.bot
                    and (channel is None or where == channel["id"])]

    def too_many(self, seconds):
        """429 now, and to the same method until `seconds` are over."""
        return instead(self._too_many(seconds))

    @staticmethod
    def error(name):
        """An answer with ok:false."""
        return instead(answer_json({"ok": False, "error": name}))

    @staticmethod
    def server_error(code=503):
        return instead(answer_json({"ok": False, "error": "service_unavailable"}, code))
