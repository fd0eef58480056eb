#!/usr/bin/env node
// Judges the fake of WhatsApp's Cloud API: whatsapp-api-js does what the words of the people ask for and tells what it
// saw, one line of JSON each. The library has no setting for the address, so its fetch is turned to the fake.
//
//   node whatsapp.mjs API_URL TOKEN PHONE_ID APP_SECRET VERIFY_TOKEN

import { createServer } from "node:http";
import { WhatsAppAPI } from "whatsapp-api-js";
import { ActionList, Body, Image, Interactive, ListSection, Reaction, Row, Text } from "whatsapp-api-js/messages";

const DEADLINE_MS = 55_000;
const [api, token, phone, appSecret, webhookVerifyToken] = process.argv.slice(2);

const tell = (step, facts = {}) => process.stdout.write(`${JSON.stringify({ step, ...facts })}\n`);
setTimeout(() => process.exit(1), DEADLINE_MS).unref();
process.on("unhandledRejection", (error) => tell("broke", { message: String(error?.stack ?? error) }));

const turned = (url, init) => fetch(String(url).replace("https://graph.facebook.com", api), init);
const api_ = new WhatsAppAPI({ token, appSecret, webhookVerifyToken, v: "v23.0", ponyfill: { fetch: turned } });
const stranger = new WhatsAppAPI({ token: "wrong", secure: false, v: "v23.0", ponyfill: { fetch: turned } });
const refusal = ({ error }) => ({ code: error?.code, message: error?.message, details: error?.error_data?.details });

const deeds = {
  async hello({ message, received, recipient, reply }) {
    tell("read", await received("text"));
    const sent = await reply(new Text("Hello"), true);
    tell("hello", { to: sent.contacts?.[0].wa_id, id: sent.messages?.[0].id });
    await api_.sendMessage(phone, recipient, new Reaction(message.id, "👍"));
    const long = Object.assign(new Text("x"), { body: "x".repeat(4097) });
    tell("too long", refusal(await reply(long)));
  },
  async poll({ reply }) {
    const rows = ["Tea", "Coffee"].map((title) => new Row(title.toLowerCase(), title));
    const sent = await reply(new Interactive(new ActionList("Choose", new ListSection("Drinks", ...rows)),
      new Body("Tea or coffee?")));
    tell("poll", { id: sent.messages?.[0].id });
    const long = Object.assign(new Row("tea", "Tea"), { title: "x".repeat(25) });
    tell("long row", refusal(await reply(new Interactive(new ActionList("Choose", new ListSection("Drinks", long)),
      new Body("Tea or coffee?")))));
  },
  async photo({ reply }) {
    const form = new FormData();
    form.set("file", new Blob(["not really a picture"], { type: "image/png" }), "garden.png");
    const { id } = await api_.uploadMedia(phone, form);
    const sent = await reply(new Image(id, true, "the garden"));
    tell("photo", { sent: Boolean(sent.messages) });
    tell("deleted", await api_.deleteMedia(id));
  },
  async busy({ reply }) {
    const first = await reply(new Text("at last"));
    tell("busy", refusal(first));
    await new Promise((resolve) => setTimeout(resolve, 1100));
    tell("later", { sent: Boolean((await reply(new Text("at last"))).messages) });
  },
  async far() {
    const sent = await api_.sendMessage(phone, { phone: "490000" }, new Text("anybody?"));
    tell("accepted", { id: sent.messages?.[0].id });
  },
};

api_.on.message = async (args) => {
  const { message, name } = args;
  tell("message", { type: message.type, text: message.text?.body, name, id: message.id });
  if (message.type === "image") {
    const { url, file_size: announced } = await api_.retrieveMedia(message.image.id);
    const bytes = (await (await api_.fetchMedia(url)).arrayBuffer()).byteLength;
    tell("downloaded", { bytes, announced });
  }
  if (message.type === "interactive") tell("vote", { id: message.interactive.list_reply.id, to: message.context.id });
  const word = message.text?.body.split(" ").at(-1);
  deeds[word]?.(args); // goes on after the answer
};
api_.on.status = ({ status, id, error }) => tell(status, { id, code: error?.code });

const server = createServer((request, response) => {
  const address = new URL(request.url, "http://localhost");
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", async () => {
    const body = Buffer.concat(pieces).toString();
    try {
      if (request.method === "GET") response.end(api_.get(Object.fromEntries(address.searchParams)));
      else {
        await api_.post(JSON.parse(body), body, request.headers["x-hub-signature-256"]);
        response.end();
      }
    } catch (error) {
      tell("refused", { name: error.constructor.name });
      response.writeHead(error.httpStatus ?? 500).end();
    }
  });
});
server.listen(0, "127.0.0.1", async () => {
  tell("wrong token", refusal(await stranger.sendMessage(phone, { phone: "491111" }, new Text("hi"))));
  tell("listening", { url: `http://127.0.0.1:${server.address().port}/webhook` });
});
