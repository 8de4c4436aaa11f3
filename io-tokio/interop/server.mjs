// A real mediasoup v2 server behind protoo, with a door for tests.
//
//     node server.mjs [options, see below]
//
// Prints one line when ready: {"ready":true,"ws":...,"control":...,"page":...,"sender":...} and, with --tls,
// "wss" and the PEM certificate to trust as "ca"; or {"ready":false,"error":...}. Clients connect to
// `<ws>/?peerName=P&roomId=R`. Tests POST {"op":...} to `control` (see control.mjs), which answers
// {"ok":true,"value":...} or {"ok":false,"error":...}. Ends when stdin does, so that it never outlives its test.

import { EventLog } from './log.mjs';

import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { isIPv6 } from 'node:net';
import { parseArgs } from 'node:util';

import protoo from 'protoo-server';

import { operations } from './control.mjs';
import { answer, authority, certificate, listen, run } from './door.mjs';
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

const logTags = ['info', 'ice', 'dtls', 'rtp', 'srtp', 'rtcp', 'rbe', 'rtx'];
const log = new EventLog();
// A dead worker leaves mediasoup with rejections that it does not handle.
process.on('unhandledRejection', (error) => log.push('server.error', { error: String(error) }));

run(start);

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
  serve(door, rooms);
  const here = authority(options.host, await listen(door, options.host, Number(options.port)));
  const base = `http://${here}`;
  const addresses = { ws: `ws://${here}`, control: `${base}/control` };
  if (options.tls) {
    const { cert, key } = certificate('tls');
    const ca = readFileSync(cert, 'utf8');
    const door = https.createServer({ cert: ca, key: readFileSync(key) }, servePage);
    serve(door, rooms);
    Object.assign(addresses, { wss: `wss://${authority(options.host, await listen(door, options.host, 0))}`, ca });
  }
  return { ...addresses, page: `${base}/viewer.html`, sender: `${base}/sender.html` };
}

function serve(server, rooms) {
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
