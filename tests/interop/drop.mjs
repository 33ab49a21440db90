// Chooses a file on the page that finds files, or drops some on it, in a real browser, and prints where
// that led, what the page says, and every request that it made. The browser is spoken to over a pipe
// (Chrome DevTools Protocol); a drop is the browser's own drag-and-drop event with real files.
// usage: node drop.mjs choose|drop|drop-two PAGE FILE CHROMIUM ARGUMENT…
import { spawn } from "node:child_process";

const [how, page, file, chromium, ...more] = process.argv.slice(2);
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
const value = async (expression) => (await ask("Runtime.evaluate", { expression })).result.value;
const choose = async (files) => {
  const { root } = await ask("DOM.getDocument");
  const { nodeId } = await ask("DOM.querySelector", { nodeId: root.nodeId, selector: "#file" });
  await ask("DOM.setFileInputFiles", { nodeId, files });
};
const drop = async (files) => {
  const { x, y } = JSON.parse(
    await value('JSON.stringify(document.getElementById("drop").getBoundingClientRect())'),
  );
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await ask("Input.dispatchDragEvent", { type, x: x + 5, y: y + 5, data });
  }
};
const said = async () => {
  while (!(await value('document.getElementById("said").textContent'))) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
done = load();
if (how === "drop-two") {
  await drop([file, file]);
  done = said(); // it leads nowhere
} else await { choose, drop }[how]([file]);
await done;
const url = await value("location.href");
const text = await value("document.body.innerText");
console.log(JSON.stringify({ url, text, requests }));
browser.kill();
process.exit(0);
