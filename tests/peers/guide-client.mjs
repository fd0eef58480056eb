#!/usr/bin/env node
// A client for the gateway, written from the guide alone (docs: the guide dialect). It uses nothing but a
// WebSocket and shows how little a client needs.
//
//   node guide-client.mjs URL TOKEN say SESSION MESSAGE     one message, its answer, then the history
//   node guide-client.mjs URL TOKEN abort SESSION MESSAGE   the same, aborted at the first words of the answer
//   node guide-client.mjs URL TOKEN history SESSION         the history only
//
// URL is like ws://127.0.0.1:18789/v1/connect. Every frame that arrives is printed as one line of JSON, at
// once. Exit code 0 when everything was answered, 1 with a reason on stderr when not. It never waits longer
// than DEADLINE_MS.

import { randomUUID } from "node:crypto";

const DEADLINE_MS = 60_000;
const WebSocket = globalThis.WebSocket ?? (await import("ws")).WebSocket;

const [url, token, task, sessionKey, message] = process.argv.slice(2);
if (!["say", "abort", "history"].includes(task) || !sessionKey) {
  fail("usage: guide-client.mjs URL TOKEN say|abort|history SESSION [MESSAGE]");
}

const HISTORY = { method: "chat.history", params: { sessionKey, limit: 50 } };
let nextId = 1;
let runId = null; // of our own message, once it is acknowledged
let ended = false; // our run has had its last event
let aborting = false;
const early = []; // chat events that came before the acknowledgement

setTimeout(() => fail(`no end after ${DEADLINE_MS} ms`), DEADLINE_MS).unref();
const socket = new WebSocket(url);
socket.addEventListener("error", (event) => fail(`socket: ${event.message ?? "error"}`));
socket.addEventListener("close", (event) => fail(`closed by the gateway: ${event.code} ${event.reason}`));
socket.addEventListener("message", (event) => take(JSON.parse(event.data)));
socket.addEventListener("open", () => {
  socket.send(JSON.stringify({
    minProtocol: 1,
    maxProtocol: 3,
    client: { id: "guide-client", displayName: "Guide client", version: "1.0.0", platform: process.platform,
      mode: "operator", instanceId: randomUUID() },
    caps: [],
    commands: [],
    auth: { token },
  }));
  // The guide's own sample doesn't wait for the hello: neither do we.
  if (task === "history") {
    request("history", HISTORY);
    return;
  }
  request("list", { method: "sessions.list", params: { limit: 50 } });
  request("send", { method: "chat.send", params: { sessionKey, message, idempotencyKey: randomUUID() } });
});

const waiting = new Map(); // request id → what it was for

function request(purpose, { method, params }) {
  const id = `req-${nextId++}`;
  waiting.set(id, purpose);
  socket.send(JSON.stringify({ type: "req", id, method, params }));
}

function take(frame) {
  process.stdout.write(`${JSON.stringify(frame)}\n`);
  if (frame.type === "res") answered(frame);
  if (frame.type === "event" && frame.event === "chat.event") chat(frame.payload);
}

function answered(frame) {
  const purpose = waiting.get(frame.id);
  waiting.delete(frame.id);
  if (!frame.ok) fail(`${purpose} was refused: ${frame.error.code}: ${frame.error.message}`);
  if (purpose === "send") {
    runId = frame.payload.runId;
    early.splice(0).forEach(chat);
  }
  if (purpose === "history") finish();
}

function chat(payload) {
  if (runId === null) {
    early.push(payload);
    return;
  }
  if (payload.runId !== runId || ended) return;
  if (payload.state === "delta") {
    if (task === "abort" && !aborting) {
      aborting = true;
      request("abort", { method: "chat.abort", params: { sessionKey, runId } });
    }
    return;
  }
  ended = true;
  request("history", HISTORY);
}

function finish() {
  if (waiting.size > 0) fail(`unanswered: ${[...waiting.values()].join(", ")}`);
  process.exit(0);
}

function fail(reason) {
  process.stderr.write(`guide-client: ${reason}\n`);
  process.exit(1);
}
