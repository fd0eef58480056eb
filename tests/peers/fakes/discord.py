"""The people around one Discord bot, for scenarios. The service with its rules and sources is discord_server.py
and discord_gateway.py."""

import secrets
import time

from fakes.base import instead
from fakes.discord_gateway import (
    DIRECT_POLLS, DIRECT_REACTIONS, GUILD_POLLS, GUILD_REACTIONS,
)
from fakes.discord_server import DiscordServer, public
from fakes.http import answer_json


class Discord(DiscordServer):
    """One bot and the people around it. `url` + "/api" is the REST API (the client adds /v10)."""

    def user(self, name):
        number = self.snowflake()
        self.users[number] = {"id": number, "username": name.lower(), "global_name": name, "discriminator": "0",
                              "avatar": None}
        return self.users[number]

    def guild(self, name, channel="general"):
        """A server with one text channel. Returns the channel. Make it before the bot connects."""
        guild, number = self.snowflake(), self.snowflake()
        self.channels[number] = {"id": number, "type": 0, "guild_id": guild, "name": channel}
        self.guilds[guild] = {"id": guild, "name": name, "unavailable": False, "large": False, "member_count": 2,
                              "channels": [self.channels[number]], "threads": [], "members": [], "roles": []}
        return self.channels[number]

    def message(self, user, content, channel=None, reply_to=None, files=()):
        """A message; without a channel a direct one. `files` are (name, media type, bytes)."""
        with self.changed:
            channel = channel or self.direct(user)
            message = self.new_message(user, channel, content,
                                       [(index, *file) for index, file in enumerate(files)])
            if reply_to:
                message |= {"type": 19, "referenced_message": public(reply_to),
                            "message_reference": {"message_id": reply_to["id"], "channel_id": channel["id"]}}
            self.tell_message("MESSAGE_CREATE", message)
            return message

    def vote(self, message, user, answers):
        """Votes in a poll of the bot, by answer ids (from 1); what was chosen before and is not now is taken back."""
        with self.changed:
            poll = message["poll"]
            assert not poll["results"]["is_finalized"], "the poll is over"
            assert len(answers) <= 1 or poll["allow_multiselect"], "one answer only"
            before = poll["_votes"].get(user["id"], [])
            poll["_votes"][user["id"]] = list(answers)
            poll["results"]["answer_counts"] = [
                {"id": answer["answer_id"], "me_voted": False, "count": count} for answer in poll["answers"]
                if (count := sum(answer["answer_id"] in chosen for chosen in poll["_votes"].values()))]
            where, direct = self._where(message)
            for event, changed in (("REMOVE", set(before) - set(answers)), ("ADD", set(answers) - set(before))):
                for answer in sorted(changed):
                    self.dispatch(f"MESSAGE_POLL_VOTE_{event}", where | {"user_id": user["id"], "answer_id": answer},
                                  DIRECT_POLLS if direct else GUILD_POLLS)

    def react(self, message, user, emoji):
        where, direct = self._where(message)
        self.dispatch("MESSAGE_REACTION_ADD", where | {
            "user_id": user["id"], "emoji": {"id": None, "name": emoji}, "burst": False, "type": 0,
            "message_author_id": message["author"]["id"],
        }, DIRECT_REACTIONS if direct else GUILD_REACTIONS)

    def press(self, message, user, custom_id):
        """Presses a button. Returns the interaction; its "answer" is what the bot said within 3 s."""
        with self.changed:
            number, token = self.snowflake(), secrets.token_hex(20)
            interaction = self.interactions[number, token] = {"at": time.monotonic(), "answer": None}
            where, direct = self._where(message)
            self.dispatch("INTERACTION_CREATE", {
                "id": number, "application_id": self.me["id"], "type": 3, "token": token, "version": 1,
                "channel_id": where["channel_id"], "message": public(message),
                "data": {"component_type": 2, "custom_id": custom_id},
            } | ({"user": user} if direct else {"guild_id": where["guild_id"], "member": {"user": user, "roles": []}}))
            return interaction

    def _where(self, message):
        channel = self.channels[message["channel_id"]]
        where = {"channel_id": channel["id"], "message_id": message["id"]}
        return where | ({"guild_id": channel["guild_id"]} if "guild_id" in channel else {}), channel["type"] == 1

    def close_to_bot(self, channel):
        """From now on sending there is 403."""
        self.closed_to.add(channel["id"])

    def sent(self, channel=None):
        """The bot's messages as they stand now, oldest first."""
        with self.changed:
            return [message for message in self.messages.values() if message["author"]["id"] == self.me["id"]
                    and (channel is None or message["channel_id"] == channel["id"])]

    def too_many(self, seconds, everything=False, scope="user"):
        """429 now, and to the same bucket (or to everything) until `seconds` are over."""
        return instead(self._too_many(seconds, everything, scope))

    @staticmethod
    def server_error(status=502):
        return instead(answer_json({"message": f"{status}: error", "code": 0}, status))
