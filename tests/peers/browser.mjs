// A page in headless Chromium, driven by lines of JSON on standard input: ["click", "text=Send"]. Each gets one line
// back: {"ok": result} or {"error": why}. What goes wrong inside the page is collected and told by ["faults"].
import readline from "node:readline";
import { chromium } from "playwright-core";

const [executablePath, profile, patience] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  viewport: { width: 1400, height: 1000 },
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
  ],
});
// A page may want fonts and pictures from elsewhere: it gets none.
const isHere = (url) => !/^(https?|wss?):/.test(url) || /^\w+:\/\/(localhost|127\.0\.0\.1)[:/]/.test(url);
await context.route((url) => !isHere(String(url)), (route) => route.abort());
context.setDefaultTimeout(Number(patience));
const page = context.pages()[0] ?? (await context.newPage());
const faults = [];
page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
page.on("console", (message) => {
  if (message.type() === "error" && isHere(message.location().url)) faults.push(`console: ${message.text()}`);
});
page.on("dialog", (dialog) => dialog.accept());

const steps = {
  open: (url) => page.goto(url, { waitUntil: "load" }).then(() => null),
  click: (where) => page.locator(where).first().click(),
  fill: (where, text) => page.locator(where).first().fill(text),
  choose: (where, value) => page.locator(where).first().selectOption(value).then(() => null),
  press: (where, key) => page.locator(where).first().press(key),
  text: (where) => page.locator(where).first().innerText(),
  value: (where) => page.locator(where).first().inputValue(),
  count: (where) => page.locator(where).count(),
  shows: (words) => page.getByText(words).first().waitFor(),
  waits: (where) => page.locator(where).first().waitFor(),
  picture: (path) => page.screenshot({ path, fullPage: true }).then(() => null),
  faults: () => faults.splice(0),
};
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, ...rest] = JSON.parse(line);
  let answer;
  try {
    answer = { ok: (await steps[name](...rest)) ?? null };
  } catch (error) {
    answer = { error: String(error.message) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await context.close();
