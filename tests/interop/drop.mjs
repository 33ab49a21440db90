// Chooses a file on the page that finds files, in a real browser, and prints where that led and every
// request that the page made. The browser is spoken to over a pipe (Chrome DevTools Protocol).
// usage: node drop.mjs PAGE FILE CHROMIUM ARGUMENT…
import { spawn } from "node:child_process";

const [page, file, chromium, ...more] = process.argv.slice(2);
const browser = spawn(chromium, [...more, "--remote-debugging-pipe", "about:blank"], {
  stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
});
setTimeout(() => {
  browser.kill();
  process.exit(3);
}, 40_000).unref();
const waiting = new Map();
const requests = [];
let loaded = () => {};
let rest = "";
browser.stdio[4].on("data", (bytes) => {
  const messages = (rest + bytes).split("\0");
  rest = messages.pop();
  for (const message of messages.map((text) => JSON.parse(text))) {
    if (message.id) waiting.get(message.id)(message);
    else if (message.method === "Network.requestWillBeSent") {
      const { method, url, hasPostData } = message.params.request;
      requests.push({ method, url, body: Boolean(hasPostData) });
    } else if (message.method === "Page.loadEventFired") loaded();
  }
});
let last = 0;
let sessionId;
const ask = (method, params = {}) =>
  new Promise((resolve, reject) => {
    const id = ++last;
    waiting.set(id, ({ result, error }) => (error ? reject(new Error(error.message)) : resolve(result)));
    browser.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
  });
const load = () => new Promise((resolve) => (loaded = resolve));

const { targetInfos } = await ask("Target.getTargets");
const { targetId } = targetInfos.find(({ type }) => type === "page");
({ sessionId } = await ask("Target.attachToTarget", { targetId, flatten: true }));
await ask("Page.enable");
await ask("Network.enable");
let done = load();
await ask("Page.navigate", { url: page });
await done;
const { root } = await ask("DOM.getDocument");
const { nodeId } = await ask("DOM.querySelector", { nodeId: root.nodeId, selector: "#file" });
done = load();
await ask("DOM.setFileInputFiles", { nodeId, files: [file] });
await done;
const value = async (expression) => (await ask("Runtime.evaluate", { expression })).result.value;
const url = await value("location.href");
const text = await value("document.body.innerText");
console.log(JSON.stringify({ url, text, requests }));
browser.kill();
process.exit(0);
