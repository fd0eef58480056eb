#!/usr/bin/env node
// Runs many commands of the field's command line `clawdbot` in one process, because a start of it costs four
// seconds of a processor.
//
//   node clawdbot-shell.mjs PATH_OF_DIST
//
// Each line on standard input is a JSON list of arguments; each line on standard output is what that command
// did: {"code": exit code, "stdout": text, "stderr": text}. Everything but the end of the process is the
// original's own: parsing, connecting, printing. A command that ends the process only says so here.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [dist] = process.argv.slice(2);
const entry = `${dist}/entry.js`;

class Ended extends Error {}

const say = process.stdout.write.bind(process.stdout);
let printed = { stdout: "", stderr: "" };
for (const name of ["stdout", "stderr"]) {
  process[name].write = (text, ...rest) => {
    printed[name] += text;
    rest.find((part) => typeof part === "function")?.();
    return true;
  };
}

let ended;
process.exit = (code) => {
  ended ??= code ?? process.exitCode ?? 0;
  throw new Ended(`ended with ${code}`);
};

process.setMaxListeners(0); // each command adds its own
process.argv = [process.argv[0], entry];
const { runCli } = await import(pathToFileURL(`${dist}/cli/run-main.js`));

for await (const line of createInterface({ input: process.stdin })) {
  printed = { stdout: "", stderr: "" };
  ended = undefined;
  process.exitCode = undefined;
  process.argv = [process.argv[0], entry, ...JSON.parse(line)];
  try {
    await runCli(process.argv);
  } catch (error) {
    if (!(error instanceof Ended)) {
      printed.stderr += `${error.stack}\n`;
      ended ??= 1;
    }
  }
  say(`${JSON.stringify({ code: ended ?? process.exitCode ?? 0, ...printed })}\n`);
}
