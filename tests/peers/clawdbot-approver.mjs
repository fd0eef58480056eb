#!/usr/bin/env node
// Answers every request for approval, with the gateway client of the field's own `clawdbot`.
//
//   node clawdbot-approver.mjs PATH_OF_DIST URL TOKEN DECISION
//
// Prints what it does, a line of JSON for each step: {"step": "ready"}, {"step": "requested", "request": ...},
// {"step": "resolved"}, {"step": "failed", "message": ...}. Runs until it is ended.

import { pathToFileURL } from "node:url";

const [dist, url, token, decision] = process.argv.slice(2);
const { GatewayClient } = await import(pathToFileURL(`${dist}/gateway/client.js`));

const client = new GatewayClient({
  url,
  token,
  clientName: "gateway-client",
  clientDisplayName: "Approver",
  mode: "ui",
  scopes: ["operator.approvals"],
  onHelloOk: () => tell("ready"),
  onConnectError: (error) => tell("failed", { message: error.message }),
  onEvent: (event) => event.event === "exec.approval.requested" && decide(event.payload),
});
client.start();
setInterval(() => {}, 60_000);

async function decide({ id, request }) {
  tell("requested", { request });
  try {
    await client.request("exec.approval.resolve", { id, decision });
    tell("resolved");
  } catch (error) {
    tell("failed", { message: error.message });
  }
}

function tell(step, facts) {
  process.stdout.write(`${JSON.stringify({ step, ...facts })}\n`);
}
