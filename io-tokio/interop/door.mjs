// What the bench's servers have in common: they are ready, have a door for tests, and end with their test.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';

import { servePage } from './pages.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'mediasoup-interop-'));

// Prints one line when `start` has resolved with the addresses to print, or has failed. Ends when stdin does.
export function run(start) {
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
  process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
  start().then(
    (addresses) => console.log(JSON.stringify({ ready: true, ...addresses })),
    (error) => {
      console.log(JSON.stringify({ ready: false, error: String(error) }));
      process.exit(1);
    },
  );
}

// An http request listener: POST {"op":...} to `/control` does one of the operations, all else is pages.
export function answer(operations) {
  return async (request, response) => {
    if (request.method !== 'POST' || request.url !== '/control') return servePage(request, response);
    const reply = (status, body) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    try {
      const { op, ...target } = await json(request);
      if (!Object.hasOwn(operations, op)) throw new Error(`no such op: ${op}`);
      const value = (await operations[op](target)) ?? null;
      reply(200, { ok: true, value });
    } catch (error) {
      reply(400, { ok: false, error: error.message });
    }
  };
}

// The port on which it listens then.
export async function listen(server, host, port) {
  await new Promise((resolve, reject) => server.on('error', reject).listen(port, host, resolve));
  return server.address().port;
}

export function authority(host, port) {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

// Self-signed, and not a CA: TLS libraries that are strict about it take no CA for a server. The files' names.
export function certificate(name) {
  const [cert, key, config] = ['cert.pem', 'key.pem', 'cnf'].map((suffix) => join(scratch, `${name}.${suffix}`));
  const extensions = 'basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1';
  writeFileSync(config, `[req]\ndistinguished_name=name\nx509_extensions=ext\n[name]\n[ext]\n${extensions}\n`);
  const request = ['req', '-x509', '-config', config, '-subj', '/CN=interop', '-days', '30', '-sha256'];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key];
  execFileSync('openssl', [...request, ...newKey, '-out', cert], { stdio: 'pipe' });
  return { cert, key };
}

// A value that must be there.
export function found(value, what) {
  if (!value) throw new Error(`no such ${what}`);
  return value;
}
