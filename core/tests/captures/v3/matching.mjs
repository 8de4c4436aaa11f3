// Runs mediasoup-client's own matching over many router capabilities, with ours as the local ones:
//
//     npm install mediasoup-client@3.24.1 && node matching.mjs node_modules/mediasoup-client > matching.jsonl
//
// Each line has the router's capabilities, whose order is preferred, and what the client makes of it: its sending
// capabilities, and for each kind the codecs and header extensions of a producer with a codec that is chosen or not. (RTX can
// be chosen there, too; not here.) A second argument says how many lines.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const ortc = createRequire(import.meta.url)(resolve(process.argv[2], 'lib/ortc.js'));
const native = readFileSync(new URL('native.json', import.meta.url), 'utf8');

// Mulberry32: the same figures everywhere.
let state = 20261125;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const one = (list) => list[below(list.length)];
const chance = (share) => random() < share;
const some = (list, share) => list.filter(() => chance(share));
const clone = (value) => JSON.parse(JSON.stringify(value));

const FEEDBACK = [
  { type: 'nack' }, { type: 'nack', parameter: 'pli' }, { type: 'ccm', parameter: 'fir' }, { type: 'goog-remb' },
  { type: 'transport-cc', parameter: '' }, { type: 'nack', parameter: '' }, { type: 'ccm', parameter: 'tmmbr' },
];
// Not level 1b: the client takes every level but 1 for a lower one than it (h264-profile-level-id 2.3.3), which only 1 is.
const PROFILES = [
  '42e01f', '42e034', '42001f', '420033', '4d0032', '4d001f', '640c34', '640032', '64001f', 'f4001f',
  '58f01f', '42c015', '4d401f', '42E01F', '42e00e', '7a001f', '42e0', 'xyz',
];

function parameters(name) {
  const made = {};
  if (name === 'h264') {
    if (chance(0.9)) made['packetization-mode'] = one([1, 1, 1, 1, 0, '1']);
    if (chance(0.9)) made['profile-level-id'] = one(PROFILES);
    if (chance(0.7)) made['level-asymmetry-allowed'] = one([1, 1, 0, '1']);
    if (chance(0.2)) made['x-google-start-bitrate'] = 1000;
  } else if (name === 'vp9') {
    if (chance(0.8)) made['profile-id'] = one([0, 0, 2, 1, '0']);
  } else if (name === 'opus') {
    if (chance(0.3)) made.useinbandfec = one([0, 1]);
  }
  return made;
}

const CODECS = [
  ['audio/opus', 48000, 2], ['audio/opus', 48000, 1], ['audio/PCMU', 8000], ['audio/PCMA', 8000, 1], ['audio/G722', 8000],
  ['audio/CN', 8000], ['audio/telephone-event', 48000], ['video/VP8', 90000], ['video/VP8', 90000], ['video/VP9', 90000],
  ['video/VP9', 90000], ['video/H264', 90000], ['video/H264', 90000], ['video/H264', 90000], ['video/AV1', 90000],
  ['video/VP8', 45000],
];
const spell = (mimeType) => one([mimeType, mimeType, mimeType, mimeType.toLowerCase(), mimeType.toUpperCase()]);

function router() {
  const codecs = [];
  let payloadType = one([35, 96, 100]);
  for (const [mimeType, clockRate, channels] of some(CODECS, 0.5).sort(() => random() - 0.5)) {
    const codec = {
      mimeType: spell(mimeType), clockRate, preferredPayloadType: payloadType++,
      parameters: parameters(mimeType.split('/')[1].toLowerCase()), rtcpFeedback: clone(some(FEEDBACK, 0.6)),
    };
    codec.kind = mimeType.split('/')[0];
    if (channels) codec.channels = channels;
    codecs.push(codec);
    if (codec.kind === 'video' && chance(0.8)) {
      const apt = chance(0.9) ? codec.preferredPayloadType : below(128);
      codecs.push({
        kind: 'video', mimeType: spell('video/rtx'), clockRate, preferredPayloadType: payloadType++,
        parameters: { apt }, rtcpFeedback: [],
      });
    }
  }
  const uris = [...new Set(JSON.parse(native).headerExtensions.map((extension) => extension.uri)),
    'urn:ietf:params:rtp-hdrext:toffset', 'urn:mediasoup:params:rtp-hdrext:packet-id'];
  const headerExtensions = [];
  for (const uri of some(uris, 0.8)) {
    for (const kind of some(['audio', 'video'], 0.8)) {
      const extension = { kind, uri, preferredId: 1 + below(14) };
      if (chance(0.9)) extension.direction = one(['sendrecv', 'sendrecv', 'recvonly', 'sendonly', 'inactive']);
      if (chance(0.5)) extension.preferredEncrypt = chance(0.2);
      headerExtensions.push(extension);
    }
  }
  return { codecs, headerExtensions };
}

for (let count = 0; count < (process.argv[3] ?? 200); ++count) {
  const given = router();
  const preferLocal = chance(0.4);
  const local = JSON.parse(native);
  const remote = clone(given);
  ortc.validateAndNormalizeRtpCapabilities(local);
  ortc.validateAndNormalizeRtpCapabilities(remote);
  // As `Device.load()` does: it matches for receiving first, always in the router's order.
  ortc.getExtendedRtpCapabilities(clone(local), remote, false);
  // As Device.load() does: for receiving first, which settles the levels of H.264 in what the router said.
  ortc.getExtendedRtpCapabilities(clone(local), remote, false);
  const extended = ortc.getExtendedRtpCapabilities(local, remote, preferLocal);
  const send = ortc.getSendRtpCapabilities(extended);
  const produce = [];
  for (const kind of ['audio', 'video']) {
    const canProduce = ortc.canSend(kind, send);
    const choice = canProduce && chance(0.5) ? clone(one(send.codecs.concat(remote.codecs).filter((codec) => !/rtx$/i.test(codec.mimeType)))) : undefined;
    const made = { kind, canProduce, choice, codecs: null, headerExtensions: null };
    if (canProduce) {
      const sending = clone(ortc.getSendingRtpParameters(kind, extended));
      try {
        made.codecs = ortc.reduceCodecs(sending.codecs, choice);
        made.headerExtensions = sending.headerExtensions;
      } catch (error) {
        if (error.message !== 'no matching codec found') throw error;
      }
    }
    produce.push(made);
  }
  process.stdout.write(`${JSON.stringify({ router: given, preferLocal, send, produce })}\n`);
}
