#!/usr/bin/env node
// Judges the fake of Slack: the vendor's own clients for the Web API and Socket Mode do what the words of the
// people ask for and tell what they saw, one line of JSON each.
//
//   node slack.mjs API_URL APP_TOKEN BOT_TOKEN

import { LogLevel, SocketModeClient } from "@slack/socket-mode";
import { WebClient } from "@slack/web-api";

const DEADLINE_MS = 55_000;
const [slackApiUrl, appToken, botToken] = process.argv.slice(2);

const tell = (step, facts = {}) => process.stdout.write(`${JSON.stringify({ step, ...facts })}\n`);
const tellRefusal = (step) => (error) => tell(step, { error: error.data?.error ?? String(error),
  messages: error.data?.response_metadata?.messages });
setTimeout(() => process.exit(1), DEADLINE_MS).unref();
process.on("unhandledRejection", (error) => tell("broke", { message: String(error?.stack ?? error) }));

const logger = { debug() {}, info() {}, warn() {}, error() {}, setLevel() {}, setName() {},
  getLevel: () => LogLevel.ERROR };
const web = new WebClient(botToken, { slackApiUrl, logger });
const socket = new SocketModeClient({
  appToken, logger, clientPingTimeout: 400,
  clientOptions: { slackApiUrl, retryConfig: { retries: 20, minTimeout: 100, maxTimeout: 300 } },
});
const buttons = (labels) => [
  { type: "section", text: { type: "mrkdwn", text: "*Tea or coffee?*" } },
  { type: "actions", elements: labels.map((label) => ({ type: "button", action_id: label.toLowerCase(),
    value: label.toLowerCase(), text: { type: "plain_text", text: label } })) },
];

const deeds = {
  async hello({ channel, ts }) {
    const sent = await web.chat.postMessage({ channel, text: "Hello &amp; welcome", thread_ts: ts });
    tell("hello", { text: sent.message.text, inThread: sent.message.thread_ts === ts });
    const edited = await web.chat.update({ channel, ts: sent.ts, text: "Hello again" });
    tell("edited", { text: edited.text });
    await web.chat.update({ channel, ts: sent.ts, text: "x".repeat(4001) }).catch(tellRefusal("too long"));
    await web.chat.postMessage({ channel: "C404", text: "anybody?" }).catch(tellRefusal("no channel"));
    await web.reactions.add({ channel, timestamp: ts, name: "thumbsup" });
    await web.reactions.add({ channel, timestamp: ts, name: "thumbsup" }).catch(tellRefusal("twice"));
    const empty = [{ type: "section", text: { type: "mrkdwn", text: "" } }];
    await web.chat.postMessage({ channel, text: "b", blocks: empty }).catch(tellRefusal("empty section"));
  },
  async stream({ channel, ts, user }) {
    const stream = web.chatStream({ channel, thread_ts: ts, recipient_user_id: user, recipient_team_id: "T100",
      buffer_size: 1 });
    await stream.append({ markdown_text: "one " });
    await stream.append({ markdown_text: "two " });
    const { message } = await stream.stop({ markdown_text: "three" });
    tell("streamed", { text: message.text });
    await web.chat.appendStream({ channel, ts: message.ts, markdown_text: "four" })
      .catch(tellRefusal("stream is over"));
  },
  async poll({ channel }) {
    await web.chat.postMessage({ channel, text: "Tea or coffee?", blocks: buttons(["Tea", "Coffee"]) });
  },
  async file({ channel }) {
    const { files } = await web.filesUploadV2({ channel_id: channel, filename: "garden.png",
      file: Buffer.from("not really a picture"), initial_comment: "the garden" });
    tell("uploaded", { name: files[0].files[0].name, size: files[0].files[0].size });
  },
  async busy({ channel }) {
    const started = Date.now();
    await web.chat.postMessage({ channel, text: "at last" });
    tell("waited", { ms: Date.now() - started });
  },
  async who({ user }) {
    const { user: found } = await web.users.info({ user });
    const { channel } = await web.conversations.open({ users: user });
    const { channel: info } = await web.conversations.info({ channel: channel.id });
    tell("who", { name: found.real_name, direct: info.is_im });
  },
};
let silent = false; // does not acknowledge, once

socket.on("message", async ({ ack, event, body, retry_num }) => {
  if (event.text === "wait" && !silent) {
    silent = true;
    return;
  }
  await ack();
  if (event.bot_id || event.subtype === "message_changed") {
    tell("echo", { subtype: event.subtype, text: event.text });
    return;
  }
  tell("message", { text: event.text, type: event.type, attempt: retry_num, id: body.event_id });
  for (const file of event.files ?? []) {
    const answer = await fetch(file.url_private_download, { headers: { Authorization: `Bearer ${botToken}` } });
    tell("downloaded", { bytes: (await answer.arrayBuffer()).byteLength, announced: file.size });
  }
  const word = event.text.split(" ").at(-1);
  if (deeds[word]) await deeds[word](event);
});
socket.on("app_mention", async ({ ack, event }) => {
  await ack();
  tell("mention", { text: event.text });
});
socket.on("reaction_added", async ({ ack, event }) => {
  await ack();
  tell("reaction", { name: event.reaction });
});
socket.on("interactive", async ({ ack, body }) => {
  await ack();
  tell("vote", { value: body.actions[0].value, from: body.user.name });
  await web.chat.update({ channel: body.channel.id, ts: body.message.ts, text: "Tea or coffee? 1",
    blocks: body.message.blocks });
});
socket.on("slash_commands", async ({ ack, body }) => {
  await ack();
  tell("slash", { command: body.command, text: body.text });
});
socket.on("connected", () => tell("connected"));

await new WebClient("xoxb-wrong", { slackApiUrl, logger }).auth.test().catch(tellRefusal("wrong token"));
const { user_id: me } = await web.auth.test();
tell("me", { me });
await socket.start();
