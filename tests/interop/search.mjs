// The page's own script over files, outside a browser: prints where each leads.
// usage: node search.mjs search.js FILE…
import { readFileSync } from "node:fs";
import { webcrypto } from "node:crypto";
import { runInThisContext } from "node:vm";

const [script, ...files] = process.argv.slice(2);
const lead = runInThisContext(readFileSync(script, "utf8") + "\nlead;");
for (const file of files) {
  console.log(JSON.stringify(await lead(new Blob([readFileSync(file)]), webcrypto.subtle)));
}
// a file that is too large is refused before it is read, and one that cannot be read has no digest
const fail = async () => {
  throw new Error("read");
};
console.log(JSON.stringify(await lead({ size: 2 ** 30 + 1, arrayBuffer: fail }, webcrypto.subtle)));
console.log(JSON.stringify(await lead({ size: 1, arrayBuffer: fail }, webcrypto.subtle)));
