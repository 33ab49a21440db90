// Asks @sigstore/verify about a bundle: bundle.mjs FOLDER BUNDLE PUBLIC-KEY, where FOLDER has the
// node_modules. The key is trusted under its own hint; no log, no certificate and no timestamp is asked for.
//
// Exit code 0: accepted. 10: refused, with its reason. Anything else: this script does not work.

import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [folder, bundlePath, keyPath] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { bundleFromJSON, ValidationError } = require('@sigstore/bundle');
const { toSignedEntity, toTrustMaterial, VerificationError, Verifier } = require('@sigstore/verify');

const rawBytes = createPublicKey(readFileSync(keyPath)).export({ type: 'spki', format: 'der' });
const hint = createHash('sha256').update(rawBytes).digest('base64');
const root = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const trust = toTrustMaterial(root, { [hint]: { rawBytes } });
const verifier = new Verifier(trust, { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 0 });
try {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(bundlePath, 'utf8')));
  verifier.verify(toSignedEntity(bundle));
} catch (refusal) {
  const known = [ValidationError, VerificationError, SyntaxError];
  if (!known.some((kind) => refusal instanceof kind)) throw refusal;
  console.log(`${refusal.name}: ${refusal.message}`);
  process.exit(10);
}
