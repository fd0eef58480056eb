#!/usr/bin/env node
// Lets the npm client `openclaw-node`, which other people wrote for the native dialect, talk to the gateway.
//
//   node openclaw-client.mjs PACKAGE URL TOKEN IDENTITY_FILE SESSION MESSAGE
//
// PACKAGE is the name under which the client is installed (package.json here has two versions of it).
// IDENTITY_FILE keeps its device key. It connects, lists the sessions, sends the message, prints the stream,
// connects a second time with the same key and reads the history. Each step is one line of JSON:
// {"step": ..., ...}. A refused connect is a step too. Exit code 1 when something took too long.

import { createRequire } from "node:module";

const DEADLINE_MS = 60_000;

const [packageName, url, token, deviceIdentityPath, sessionKey, message] = process.argv.slice(2);
// The client takes a WebSocket of the platform for granted, which Node has from version 22.
globalThis.WebSocket ??= (await import("ws")).WebSocket;
const { OpenClawClient } = createRequire(import.meta.url)(packageName);

setTimeout(() => {
  tell("late", { afterMs: DEADLINE_MS });
  process.exit(1);
}, DEADLINE_MS).unref();

const first = await connect("connected");
if (first) {
  tell("sessions", { payload: await first.sessions.list({ limit: 10 }) });
  for await (const chunk of first.chat(message, { sessionKey })) tell("chunk", { chunk });
  await first.disconnect();
  const second = await connect("reconnected");
  tell("history", { payload: await second.sessions.history(sessionKey, { limit: 20 }) });
  await second.disconnect();
}

async function connect(step) {
  const client = new OpenClawClient({ url, token, deviceIdentityPath, autoReconnect: false });
  client.on("error", (error) => tell("error", { message: error.message }));
  client.on("protocol:response", (frame) => {
    if (!frame.ok) tell("refused", { error: frame.error });
  });
  try {
    tell(step, { hello: await client.connect() });
    return client;
  } catch (error) {
    tell("failed", { message: error.message });
    return null;
  }
}

function tell(step, facts) {
  process.stdout.write(`${JSON.stringify({ step, ...facts })}\n`);
}
