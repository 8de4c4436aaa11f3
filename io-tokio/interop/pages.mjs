// Serves the browser pages of mediasoup v2 (`viewer.html`, `sender.html`) and v3 (`v3/viewer.html`, `v3/sender.html`), with
// their scripts bundled when first asked for.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const cache = new Map();

// An http request listener.
export async function servePage({ url }, response) {
  const [, version, name, type] = /^\/(v3\/)?(viewer|sender)\.(html|js)(?:\?|$)/.exec(url) ?? [];
  if (!name) return void response.writeHead(404).end();
  // The pages themselves are the same for both.
  const file = type === 'js' ? `${version ?? ''}pages/${name}.js` : `pages/${name}.html`;
  if (!cache.has(file)) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    cache.set(file, type === 'js' ? bundle(path) : readFile(path));
  }
  try {
    const body = await cache.get(file);
    const mime = type === 'js' ? 'text/javascript' : 'text/html';
    response.writeHead(200, { 'content-type': `${mime}; charset=utf-8` }).end(body);
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
}

async function bundle(path) {
  // mediasoup-client 2 is written for bundlers that bring Node's `global` along.
  const define = { global: 'globalThis' };
  const options = { entryPoints: [path], bundle: true, define, write: false, logLevel: 'silent' };
  const { outputFiles } = await build(options);
  return outputFiles[0].contents;
}
