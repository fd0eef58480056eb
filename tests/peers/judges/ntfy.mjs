#!/usr/bin/env node
// Judges the fake of ntfy: the npm package ntfy publishes, Node's fetch reads the stream, and both tell what they saw,
// one line of JSON each.
//
//   node ntfy.mjs URL TOKEN

import { NtfyClient } from "ntfy";

const DEADLINE_MS = 55_000;
const [server, authorization] = process.argv.slice(2);

const tell = (step, facts = {}) => process.stdout.write(`${JSON.stringify({ step, ...facts })}\n`);
setTimeout(() => process.exit(1), DEADLINE_MS).unref();
process.on("unhandledRejection", (error) => tell("broke", { message: String(error?.stack ?? error) }));

const client = new NtfyClient({ server, authorization, topic: "garden" });

async function read(since) {
  const address = `${server}/garden/json${since ? `?since=${since}` : ""}`;
  const answer = await fetch(address, { headers: { Authorization: `Bearer ${authorization}` } });
  let rest = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const { event, id, message } = JSON.parse(line);
      tell(event, { message, type: answer.headers.get("content-type") });
      if (event === "message") since = id;
      if (message === "publish") {
        const sent = await client.publish({ message: "Hello", title: "Garden", priority: 4, tags: ["seedling"] });
        tell("published", { topic: sent.topic, title: sent.title, priority: sent.priority, tags: sent.tags });
      }
      if (message === "busy") {
        await client.publish({ message: "now?" }).catch((error) => tell("refused", { message: error.message }));
        await new Promise((resolve) => setTimeout(resolve, 1100));
        tell("later", { topic: (await client.publish({ message: "now." })).topic });
      }
    }
  }
  return since;
}

await new NtfyClient({ server, authorization: "tk_wrong", topic: "garden" }).publish({ message: "hi" })
  .catch((error) => tell("wrong token", { message: error.message }));
for (let since; ;) {
  let last = since;
  try {
    last = await read(since);
  } catch {
    last = "all"; // the link was cut: what was missed comes with the next subscription
  }
  since = last;
  await new Promise((resolve) => setTimeout(resolve, 100));
}
