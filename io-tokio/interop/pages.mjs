// Serves the browser pages (pages/*.html), with their scripts bundled when first asked for.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const folder = new URL('./pages/', import.meta.url);
const cache = new Map();

// An http request listener.
export async function servePage({ url }, response) {
  const [, name, type] = /^\/(viewer|sender)\.(html|js)(?:\?|$)/.exec(url) ?? [];
  if (!name) return void response.writeHead(404).end();
  const file = `${name}.${type}`;
  if (!cache.has(file)) cache.set(file, type === 'js' ? bundle(file) : readFile(new URL(file, folder)));
  try {
    const body = await cache.get(file);
    const mime = type === 'js' ? 'text/javascript' : 'text/html';
    response.writeHead(200, { 'content-type': `${mime}; charset=utf-8` }).end(body);
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
}

async function bundle(file) {
  const entryPoints = [fileURLToPath(new URL(file, folder))];
  // mediasoup-client is written for bundlers that bring Node's `global` along.
  const define = { global: 'globalThis' };
  const { outputFiles } = await build({ entryPoints, bundle: true, define, write: false, logLevel: 'silent' });
  return outputFiles[0].contents;
}
