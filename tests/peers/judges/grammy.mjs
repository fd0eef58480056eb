#!/usr/bin/env node
// Judges the fake of Telegram: grammY, the most used client of the Bot API for Node, does what the words of the
// people ask for and tells what it saw, one line of JSON each.
//
//   node grammy.mjs API_ROOT TOKEN

import { autoRetry } from "@grammyjs/auto-retry";
import { Bot, GrammyError, InlineKeyboard, InputFile } from "grammy";

const DEADLINE_MS = 55_000;
const [apiRoot, token] = process.argv.slice(2);
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

const tell = (step, facts = {}) => process.stdout.write(`${JSON.stringify({ step, ...facts })}\n`);
const tellRefusal = (step) => (error) => {
  if (!(error instanceof GrammyError)) throw error;
  tell(step, { code: error.error_code, description: error.description, parameters: error.parameters });
};
setTimeout(() => process.exit(1), DEADLINE_MS).unref();

const bot = new Bot(token, { client: { apiRoot } });
const patient = new Bot(token, { client: { apiRoot } }); // waits out a 429
patient.api.config.use(autoRetry({ maxRetryAttempts: 2, rethrowHttpErrors: true }));

const deeds = {
  async hello(ctx) {
    await ctx.replyWithChatAction("typing");
    const sent = await ctx.reply("<b>Hello</b> &amp; <code>welcome</code>", {
      parse_mode: "HTML", reply_parameters: { message_id: ctx.msg.message_id },
    });
    tell("hello", { text: sent.text, entities: sent.entities, repliesTo: sent.reply_to_message?.text });
    const edited = await ctx.api.editMessageText(sent.chat.id, sent.message_id, "Hello again");
    tell("edited", { text: edited.text, edited: Boolean(edited.edit_date) });
    await ctx.api.editMessageText(sent.chat.id, sent.message_id, "Hello again").catch(tellRefusal("unchanged"));
    await ctx.react("👍");
  },
  async html(ctx) {
    await ctx.reply("<b>open", { parse_mode: "HTML" }).catch(tellRefusal("unclosed"));
    await ctx.reply("<blink>no</blink>", { parse_mode: "HTML" }).catch(tellRefusal("unknown tag"));
    await ctx.reply("x".repeat(4097)).catch(tellRefusal("too long"));
    await ctx.api.sendMessage(4711, "anybody?").catch(tellRefusal("no chat"));
  },
  async poll(ctx) {
    const sent = await ctx.replyWithPoll("Tea or coffee?", ["Tea", "Coffee"], { is_anonymous: false });
    tell("poll", { options: sent.poll.options.map((option) => option.text) });
    stopLater = async () => {
      const poll = await ctx.api.stopPoll(sent.chat.id, sent.message_id);
      tell("stopped", { closed: poll.is_closed, votes: poll.options.map((option) => option.voter_count) });
    };
  },
  async photo(ctx) {
    const sent = await ctx.replyWithPhoto(new InputFile(PNG, "garden.png"), { caption: "the garden" });
    tell("photo", { sizes: sent.photo.length, caption: sent.caption });
    const byUrl = await ctx.replyWithDocument("https://pictures.example/notes.txt");
    tell("document", { name: byUrl.document.file_name });
    await ctx.replyWithPhoto(new InputFile(Buffer.from("words"), "x.png")).catch(tellRefusal("no picture"));
  },
  async album(ctx) {
    const sent = await ctx.replyWithMediaGroup(["one", "two"].map((name) => ({ type: "photo", caption: name,
      media: new InputFile(PNG, `${name}.png`) })));
    tell("album", { captions: sent.map((message) => message.caption) });
  },
  async button(ctx) {
    await ctx.reply("Allow?", { reply_markup: new InlineKeyboard().text("Yes", "yes").text("No", "no") });
  },
  async draft(ctx) {
    tell("draft", { taken: await ctx.api.sendMessageDraft(ctx.chat.id, 7, "Thin", { can_stop: true }) });
  },
  async busy(ctx) {
    const started = Date.now();
    await patient.api.sendMessage(ctx.chat.id, "at last");
    tell("waited", { ms: Date.now() - started });
  },
  async blocked(ctx) {
    await ctx.reply("are you there?").catch(tellRefusal("blocked"));
  },
  async moved(ctx) {
    await ctx.reply("here?").catch(tellRefusal("moved"));
  },
};
let stopLater = async () => {};

bot.on("message:text", async (ctx) => {
  const word = ctx.msg.text.split(" ").at(-1);
  tell("message", { text: ctx.msg.text, entities: ctx.msg.entities, from: ctx.from.first_name });
  if (deeds[word]) await deeds[word](ctx);
});
bot.on("message:photo", async (ctx) => {
  const file = await ctx.getFile();
  const answer = await fetch(`${apiRoot}/file/bot${token}/${file.file_path}`);
  tell("downloaded", { bytes: (await answer.arrayBuffer()).byteLength, announced: file.file_size });
});
bot.on("poll_answer", async (ctx) => {
  tell("vote", { options: ctx.pollAnswer.option_ids, from: ctx.pollAnswer.user.first_name });
  await stopLater();
});
bot.on("callback_query:data", async (ctx) => {
  tell("pressed", { data: ctx.callbackQuery.data, answered: await ctx.answerCallbackQuery("noted") });
});
bot.on("my_chat_member", (ctx) => tell("membership", { status: ctx.myChatMember.new_chat_member.status }));
bot.on("message_reaction", (ctx) => tell("reaction", { emoji: ctx.messageReaction.new_reaction[0].emoji }));
bot.on("stopped_message_generation", (ctx) => tell("stop", { draft: ctx.update.stopped_message_generation.draft_id }));
bot.catch(({ error }) => tell("broke", { message: String(error?.stack ?? error) }));

// A wrong token first, then for as long as the scenario lasts; a conflict ends the polling, then it starts again.
await new Bot("1:wrong", { client: { apiRoot } }).api.getMe().catch(tellRefusal("wrong token"));
await bot.api.setMyCommands([{ command: "jobs", description: "List jobs" }]);
for (;;) {
  await bot.start({
    allowed_updates: ["message", "poll_answer", "poll", "callback_query", "message_reaction", "my_chat_member",
      "stopped_message_generation"],
    timeout: 20,
    onStart: (me) => tell("started", { username: me.username }),
  }).catch(tellRefusal("conflict"));
}
