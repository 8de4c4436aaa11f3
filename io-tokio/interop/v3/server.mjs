// A real mediasoup v3 server: one worker with one router, behind signalling of our own, with a door for tests.
//
//     node v3/server.mjs [options, see below]
//
// Prints one line when ready: {"ready":true,"ws":...,"control":...,"page":...,"sender":...} or
// {"ready":false,"error":...}. Clients connect to `<ws>/?peerName=P` and speak as room.mjs says, or to `<ws>/?peerId=P` with
// the subprotocol `protoo`, and speak as mediasoup's demo does. Tests POST {"op":...} to
// `control` (see control.mjs), which answers {"ok":true,"value":...} or {"ok":false,"error":...}. Ends when stdin does, so
// that it never outlives its test.

import { EventLog } from '../log.mjs';

import http from 'node:http';
import { parseArgs } from 'node:util';

import { WebSocketServer } from 'ws';

import { answer, authority, certificate, listen, run } from '../door.mjs';
import { operations } from './control.mjs';
import { DemoSocket, isWelcome } from './demo.mjs';
import { Room } from './room.mjs';

const { values: options } = parseArgs({
  options: {
    // Where WebSockets, control door and pages are served; port 0: any.
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    // DTLS: mediasoup's own certificate (P-256, made when the worker starts), or one from files (P-256 as well).
    cert: { type: 'string', default: 'stock' },
    // Media; in the order of preference.
    'listen-ip': { type: 'string', multiple: true, default: ['127.0.0.1'] },
    // What candidates have in place of the address, for example a host name.
    'announced-address': { type: 'string' },
    'min-port': { type: 'string', default: '10000' },
    'max-port': { type: 'string', default: '59999' },
    // What the router takes, in this order; see room.mjs.
    codecs: { type: 'string', default: 'opus,PCMU,PCMA,VP8,VP9,H264,H264-main' },
    // Which demo is spoken: older or newer.
    demo: { type: 'string', default: 'older' },
    // The worker's log, to stderr, with DEBUG=mediasoup*.
    'log-level': { type: 'string', default: 'error' },
  },
});

const logTags = ['info', 'ice', 'dtls', 'rtp', 'srtp', 'rtcp', 'bwe', 'rtx', 'score', 'simulcast'];
const log = new EventLog();

run(async () => {
  const room = new Room(
    {
      worker: {
        ...dtlsCertificate(),
        rtcMinPort: Number(options['min-port']),
        rtcMaxPort: Number(options['max-port']),
        logLevel: options['log-level'],
        logTags,
      },
      codecs: options.codecs.split(','),
      ips: options['listen-ip'],
      announcedAddress: options['announced-address'],
    },
    log,
  );
  await room.open();

  const door = http.createServer(answer(operations(room, log)));
  const verifyClient = (info) => info.req.headers['sec-websocket-protocol'] !== 'protoo' || isWelcome(info, options.demo);
  new WebSocketServer({ server: door, verifyClient }).on('connection', (socket, request) => {
    const query = new URL(request.url, 'ws://any').searchParams;
    if (socket.protocol === 'protoo') room.connect(query.get('peerId'), new DemoSocket(socket, options.demo));
    else room.connect(query.get('peerName'), socket);
  });
  const here = authority(options.host, await listen(door, options.host, Number(options.port)));
  const base = `http://${here}`;
  return { ws: `ws://${here}`, control: `${base}/control`, page: `${base}/v3/viewer.html`, sender: `${base}/v3/sender.html` };
});

function dtlsCertificate() {
  if (options.cert === 'stock') return {};
  if (options.cert !== 'files') throw new Error(`--cert is stock or files, not ${options.cert}`);
  const { cert, key } = certificate('dtls');
  return { dtlsCertificateFile: cert, dtlsPrivateKeyFile: key };
}
