// A real mediasoup v2 server behind protoo, with a door for tests.
//
//     node server.mjs [options, see below]
//
// Prints one line when ready: {"ready":true,"ws":...,"control":...,"page":...,"sender":...} and, with --tls,
// "wss" and the PEM certificate to trust as "ca"; or {"ready":false,"error":...}. Clients connect to
// `<ws>/?peerName=P&roomId=R`. Tests POST {"op":...} to `control` (see control.mjs), which answers
// {"ok":true,"value":...} or {"ok":false,"error":...}. Ends when stdin does, so that it never outlives its test.

import { EventLog } from './log.mjs';

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { isIPv6 } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

import protoo from 'protoo-server';

import { operations } from './control.mjs';
import { servePage } from './pages.mjs';
import { Rooms } from './rooms.mjs';

const { values: options } = parseArgs({
  options: {
    // Where WebSockets, control door and pages are served; port 0: any.
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    // Serve WebSockets over TLS as well, on a port of their own.
    tls: { type: 'boolean', default: false },
    // DTLS: mediasoup's own certificate (RSA-1024 signed with SHA-1), or one made now (P-256).
    cert: { type: 'string', default: 'stock' },
    // Media; give it twice for IPv4 and IPv6.
    'listen-ip': { type: 'string', multiple: true, default: ['127.0.0.1'] },
    'min-port': { type: 'string', default: '10000' },
    'max-port': { type: 'string', default: '59999' },
    // What rooms made on demand are like; the `createRoom` operation makes others.
    codecs: { type: 'string', default: 'opus,VP8' },
    'active-speaker': { type: 'boolean', default: false },
    'max-bitrate': { type: 'string' },
    // The worker's log, to stderr, with DEBUG=mediasoup*.
    'log-level': { type: 'string', default: 'error' },
  },
});

const scratch = mkdtempSync(join(tmpdir(), 'mediasoup-interop-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();

const logTags = ['info', 'ice', 'dtls', 'rtp', 'srtp', 'rtcp', 'rbe', 'rtx'];
const log = new EventLog();
// A dead worker leaves mediasoup with rejections that it does not handle.
process.on('unhandledRejection', (error) => log.push('server.error', { error: String(error) }));

start().then(
  (addresses) => console.log(JSON.stringify({ ready: true, ...addresses })),
  (error) => {
    console.log(JSON.stringify({ ready: false, error: String(error) }));
    process.exit(1);
  },
);

async function start() {
  const rooms = new Rooms(
    {
      mediasoup: { ...mediaAddresses(), ...dtlsCertificate(), logLevel: options['log-level'], logTags },
      room: {
        codecs: options.codecs.split(','),
        activeSpeaker: options['active-speaker'],
        maxBitrate: Number(options['max-bitrate'] ?? 0),
      },
    },
    log,
  );
  // Fails if the worker could not start, for example on an address that is not there.
  await rooms.server.dump();

  const door = http.createServer(answer(operations(rooms, log)));
  const port = await listen(door, Number(options.port), rooms);
  const base = `http://${authority(port)}`;
  const addresses = { ws: `ws://${authority(port)}`, control: `${base}/control` };
  if (options.tls) {
    const { cert, key } = certificate('tls');
    const ca = readFileSync(cert, 'utf8');
    const tlsPort = await listen(https.createServer({ cert: ca, key: readFileSync(key) }, servePage), 0, rooms);
    Object.assign(addresses, { wss: `wss://${authority(tlsPort)}`, ca });
  }
  return { ...addresses, page: `${base}/viewer.html`, sender: `${base}/sender.html` };
}

async function listen(server, port, rooms) {
  // The limits are the demo's; the library's own refuse messages above 64 KiB.
  const limits = { maxReceivedFrameSize: 960000, maxReceivedMessageSize: 960000, fragmentationThreshold: 960000 };
  new protoo.WebSocketServer(server, limits).on('connectionrequest', ({ request }, accept, reject) => {
    const query = new URL(request.url, 'ws://any').searchParams;
    const [room, peer] = [query.get('roomId'), query.get('peerName')];
    if (!room || !peer) return reject(400, 'roomId and peerName are required');
    try {
      rooms.connect(room, peer, accept);
    } catch (error) {
      reject(500, String(error));
    }
  });
  await new Promise((resolve, reject) => server.on('error', reject).listen(port, options.host, resolve));
  return server.address().port;
}

function answer(operations) {
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

function mediaAddresses() {
  const ips = options['listen-ip'];
  return {
    rtcIPv4: ips.find((ip) => !isIPv6(ip)) ?? false,
    rtcIPv6: ips.find(isIPv6) ?? false,
    rtcMinPort: Number(options['min-port']),
    rtcMaxPort: Number(options['max-port']),
  };
}

function dtlsCertificate() {
  if (options.cert === 'stock') return {};
  if (options.cert !== 'ecdsa') throw new Error(`--cert is stock or ecdsa, not ${options.cert}`);
  const { cert, key } = certificate('dtls');
  return { dtlsCertificateFile: cert, dtlsPrivateKeyFile: key };
}

// Self-signed, and not a CA: TLS libraries that are strict about it take no CA for a server.
function certificate(name) {
  const [cert, key, config] = ['cert.pem', 'key.pem', 'cnf'].map((suffix) => join(scratch, `${name}.${suffix}`));
  const extensions = 'basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1';
  writeFileSync(config, `[req]\ndistinguished_name=name\nx509_extensions=ext\n[name]\n[ext]\n${extensions}\n`);
  const request = ['req', '-x509', '-config', config, '-subj', '/CN=interop', '-days', '30', '-sha256'];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key];
  execFileSync('openssl', [...request, ...newKey, '-out', cert], { stdio: 'pipe' });
  return { cert, key };
}

function authority(port) {
  return isIPv6(options.host) ? `[${options.host}]:${port}` : `${options.host}:${port}`;
}
