#!/usr/bin/env node
// Judges the fake of Discord: discord.js's own packages for the gateway and for REST do what the words of the people
// ask for and tell what they saw, one line of JSON each.
//
//   node discord.mjs API_URL TOKEN

import { DiscordAPIError, HTTPError, REST } from "@discordjs/rest";
import { WebSocketManager, WebSocketShardEvents } from "@discordjs/ws";

const DEADLINE_MS = 55_000;
const [api, token] = process.argv.slice(2);
const INTENTS = 1 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 15 | 1 << 24 | 1 << 25;

const tell = (step, facts = {}) => process.stdout.write(`${JSON.stringify({ step, ...facts })}\n`);
const tellRefusal = (step) => (error) => {
  if (!(error instanceof DiscordAPIError || error instanceof HTTPError)) throw error;
  tell(step, { status: error.status, code: error.code, message: error.message });
};
setTimeout(() => process.exit(1), DEADLINE_MS).unref();
process.on("unhandledRejection", (error) => tell("broke", { message: String(error?.stack ?? error) }));

const rest = new REST({ version: "10", api }).setToken(token);
const manager = new WebSocketManager({ token, intents: INTENTS, rest });
const post = (channel, body, files) => rest.post(`/channels/${channel}/messages`, { body, files });
rest.on("rateLimited", ({ timeToReset }) => tell("limited", { ms: timeToReset }));

const deeds = {
  async hello({ channel_id: channel, id }) {
    await rest.post(`/channels/${channel}/typing`);
    const sent = await post(channel, { content: "**Hello**", message_reference: { message_id: id },
      allowed_mentions: { parse: [] } });
    tell("hello", { text: sent.content, repliesTo: sent.referenced_message.content });
    const edited = await rest.patch(`/channels/${channel}/messages/${sent.id}`, { body: { content: "Hello again" } });
    tell("edited", { text: edited.content, edited: Boolean(edited.edited_timestamp) });
    await post(channel, { content: "x".repeat(2001) }).catch(tellRefusal("too long"));
    await post("404", { content: "anybody?" }).catch(tellRefusal("no channel"));
    await rest.put(`/channels/${channel}/messages/${id}/reactions/${encodeURIComponent("👍")}/@me`);
  },
  async twice({ channel_id: channel }) {
    const body = { content: "once", nonce: "n-1", enforce_nonce: true };
    tell("nonce", { same: (await post(channel, body)).id === (await post(channel, body)).id });
  },
  async poll({ channel_id: channel }) {
    const answers = ["Tea", "Coffee"].map((text) => ({ poll_media: { text } }));
    await post(channel, { poll: { question: { text: "Tea or coffee?" }, answers, duration: 1 } });
    await post(channel, { poll: { question: { text: "x" }, answers, duration: 769 } })
      .catch(tellRefusal("too long a poll"));
  },
  async file({ channel_id: channel }) {
    const sent = await post(channel, { content: "the garden" },
      [{ name: "garden.png", data: Buffer.from("not really a picture"), contentType: "image/png" }]);
    tell("uploaded", { name: sent.attachments[0].filename, size: sent.attachments[0].size });
  },
  async button({ channel_id: channel }) {
    await post(channel, { content: "Allow?", components: [{ type: 1, components: [{ type: 2, style: 1, label: "Yes",
      custom_id: "yes" }] }] });
  },
  async busy({ channel_id: channel }) {
    const started = Date.now();
    await post(channel, { content: "at last" });
    tell("waited", { ms: Date.now() - started });
  },
  async closed({ channel_id: channel }) {
    await post(channel, { content: "are you there?" }).catch(tellRefusal("closed"));
  },
};

const events = {
  async MESSAGE_CREATE(message) {
    if (message.author.bot) return;
    tell("message", { text: message.content, guild: Boolean(message.guild_id), mentions: message.mentions.length });
    for (const file of message.attachments) {
      const answer = await fetch(file.url);
      tell("downloaded", { bytes: (await answer.arrayBuffer()).byteLength, announced: file.size });
    }
    const word = message.content.split(" ").at(-1);
    if (deeds[word]) await deeds[word](message);
  },
  async MESSAGE_POLL_VOTE_ADD(vote) {
    const { users } = await rest.get(`/channels/${vote.channel_id}/polls/${vote.message_id}/answers/${vote.answer_id}`);
    tell("vote", { answer: vote.answer_id, from: users.map((user) => user.username) });
    const ended = await rest.post(`/channels/${vote.channel_id}/polls/${vote.message_id}/expire`);
    tell("ended", { counts: ended.poll.results.answer_counts.map(({ id, count }) => [id, count]) });
  },
  MESSAGE_REACTION_ADD: (reaction) => tell("reaction", { emoji: reaction.emoji.name }),
  async INTERACTION_CREATE({ id, token: answerToken, data }) {
    await rest.post(`/interactions/${id}/${answerToken}/callback`, { body: { type: 6 }, auth: false });
    tell("pressed", { id: data.custom_id });
  },
};
manager.on(WebSocketShardEvents.Dispatch, ({ t, d }) => events[t]?.(d));
manager.on(WebSocketShardEvents.Ready, ({ user }) => tell("ready", { name: user?.username }));
manager.on(WebSocketShardEvents.Resumed, () => tell("resumed"));
manager.on(WebSocketShardEvents.Closed, (code) => tell("closed by", { code }));
manager.on(WebSocketShardEvents.Error, (error) => tell("error", { message: String(error) }));

await new REST({ version: "10", api }).setToken("wrong").get("/users/@me").catch(tellRefusal("wrong token"));
await manager.connect();
