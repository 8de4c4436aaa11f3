// What mediasoup-client makes of a router's capabilities, and of ours: for our own matching to be compared with.
//
//     node v3/ortc.mjs SEED COUNT <LOCAL
//
// LOCAL is JSON: the capabilities of the sending side. Prints COUNT lines of JSON, with the same routers for the same SEED:
//
//     {"router":..., "preferLocal":..., "result":...}
//
// `router` are capabilities made at random, which mediasoup may have or somebody's server may say; `preferLocal` is how
// `Device.load()` is called. `result` is {"error":...} if that refuses, or what the device says and does then:
//
//     {"canProduce":{"audio":...,"video":...}, "sendRtpCapabilities":..., "produced":[{"kind":...,"codec":..., ...}]}
//
// where `produced` has for each kind, and once more for each codec that could be asked for, the "rtpParameters" that go to
// the server, or the "error". The device is unmodified, the browser below it mediasoup-client's own stand-in for tests.

import { text } from 'node:stream/consumers';

import { FakeMediaStreamTrack } from 'fake-mediastreamtrack';
import { Device } from 'mediasoup-client';
import * as fakeParameters from 'mediasoup-client/fakeParameters';
import { FakeHandler } from 'mediasoup-client/handlers/FakeHandler';

const [seed, count] = process.argv.slice(2).map(Number);

// Mulberry32.
let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

const below = (bound) => Math.floor(random() * bound);
const chance = (probability) => random() < probability;
const pick = (list) => list[below(list.length)];

function shuffled(list) {
  const all = [...list];
  for (let i = all.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [all[i], all[j]] = [all[j], all[i]];
  }
  return all;
}

// A value that is mostly there.
const maybe = (value, probability = 0.8) => (chance(probability) ? value : undefined);

const FEEDBACK = [
  { type: 'nack' },
  { type: 'nack', parameter: 'pli' },
  { type: 'ccm', parameter: 'fir' },
  { type: 'goog-remb' },
  { type: 'transport-cc' },
  { type: 'nack', parameter: 'rpsi' },
  { type: 'rrtr' },
];

const EXTENSIONS = [
  'urn:ietf:params:rtp-hdrext:sdes:mid',
  'urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id',
  'urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id',
  'http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time',
  'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01',
  'urn:ietf:params:rtp-hdrext:ssrc-audio-level',
  'urn:3gpp:video-orientation',
  'urn:ietf:params:rtp-hdrext:toffset',
  'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time',
  'http://www.webrtc.org/experiments/rtp-hdrext/playout-delay',
  'urn:mediasoup:params:rtp-hdrext:packet-id',
];

const PROFILES = [
  '42e01f', '42e034', '42c01e', '42001f', '42000a', '4d001f', '4d0032', '4d401f', '4d801f', '58e01f', '58801f', '64001f',
  '640c1f', '640034', '6400ff', 'f4001f', '42f00b', '42100b', '42e00b', '4d100b', '64100b', '42E01F', '42e0', 'nonsen',
  '000000', '', 7,
];

function h264() {
  return {
    'packetization-mode': maybe(pick([0, 1, 1, 1, 2, '1'])),
    'profile-level-id': maybe(pick(PROFILES), 0.9),
    'level-asymmetry-allowed': maybe(pick([0, 1, 1, '1'])),
  };
}

const CODECS = [
  () => audio('opus', 48000, pick([2, 2, 2, 1, undefined]), { useinbandfec: maybe(1, 0.3) }),
  () => audio('opus', 48000, 2, { minptime: maybe(10) }),
  () => audio('multiopus', 48000, 6, { channel_mapping: '0,4,1,2,3,5', num_streams: 4, coupled_streams: pick([2, 3]) }),
  () => audio('PCMU', 8000, pick([1, undefined]), {}),
  () => audio('PCMA', 8000, pick([1, undefined]), {}),
  () => audio('G722', 8000, 1, {}),
  () => audio('ISAC', pick([16000, 32000]), 1, {}),
  () => audio('CN', pick([8000, 32000]), 1, {}),
  () => audio('telephone-event', pick([8000, 48000]), 1, {}),
  () => audio('red', 48000, 2, { '': '100/100' }),
  () => video('VP8', {}),
  () => video('VP8', { 'max-fr': maybe(30) }),
  () => video('VP9', { 'profile-id': maybe(pick([0, 0, 1, 2, '0'])) }),
  () => video('VP9', { 'profile-id': maybe(pick([0, 2])) }),
  () => video('H264', h264()),
  () => video('H264', h264()),
  () => video('H264', h264()),
  () => video('H265', {}),
  () => video('AV1', { profile: maybe(0) }),
  () => video('ulpfec', {}),
  () => video('red', {}),
];

const audio = (name, clockRate, channels, parameters) => codec('audio', name, clockRate, channels, parameters);
const video = (name, parameters) => codec('video', name, chance(0.97) ? 90000 : 48000, maybe(1, 0.05), parameters);

function codec(kind, name, clockRate, channels, parameters) {
  const spelling = pick([(s) => s, (s) => s, (s) => s, (s) => s.toLowerCase(), (s) => s.toUpperCase()]);
  const feedback = shuffled(FEEDBACK).slice(0, below(FEEDBACK.length + 1));
  return {
    kind: maybe(kind),
    mimeType: spelling(`${kind}/${name}`),
    preferredPayloadType: undefined,
    clockRate,
    channels,
    parameters: maybe(parameters, 0.95),
    rtcpFeedback: maybe(feedback.map((one) => ({ ...one, parameter: one.parameter ?? maybe('', 0.5) })), 0.95),
  };
}

// Payload types from 100 on, as mediasoup numbers them; or any, each once. But not 0, which mediasoup-client takes for none
// where it is that of an RTX.
function router() {
  const numbered = [...Array(28).keys()].map((n) => 127 - n);
  const any = shuffled([...Array(128).keys()].filter((type) => type && (type < 64 || type > 95 || chance(0.1))));
  const types = chance(0.5) ? numbered : any;
  const codecs = [];
  for (const make of shuffled(CODECS).slice(0, 1 + below(8))) {
    const media = make();
    media.preferredPayloadType = types.pop();
    codecs.push(media);
    if (!chance(/^video/i.test(media.mimeType) ? 0.8 : 0.1)) continue;
    const kind = media.mimeType.split('/')[0];
    const apt = chance(0.95) ? media.preferredPayloadType : below(128);
    const rtx = {
      kind: maybe(kind.toLowerCase()),
      mimeType: pick([`${kind}/rtx`, `${kind}/rtx`, `${kind}/RTX`]),
      preferredPayloadType: types.pop(),
      clockRate: media.clockRate,
      parameters: { apt },
      rtcpFeedback: maybe([]),
    };
    if (chance(0.9)) codecs.push(rtx);
    else codecs.splice(below(codecs.length), 0, rtx);
  }
  const headerExtensions = shuffled(EXTENSIONS).slice(0, below(EXTENSIONS.length + 1)).flatMap((uri, i) => (
    shuffled(['audio', 'video']).slice(0, 1 + below(2)).map((kind) => ({
      kind,
      uri,
      preferredId: i + 1,
      preferredEncrypt: maybe(chance(0.1)),
      direction: maybe(pick(['sendrecv', 'sendrecv', 'recvonly', 'sendonly', 'inactive'])),
    }))
  ));
  const ordered = chance(0.5) ? headerExtensions : shuffled(headerExtensions);
  return { codecs: maybe(codecs, 0.98), headerExtensions: maybe(ordered, 0.98) };
}

// Something that mediasoup-client refuses.
function spoiled(capabilities) {
  const codec = capabilities.codecs?.length ? pick(capabilities.codecs) : {};
  const extension = capabilities.headerExtensions?.length ? pick(capabilities.headerExtensions) : {};
  pick([
    () => delete codec.mimeType,
    () => (codec.mimeType = pick(['opus', 'text/plain', 'audio/', 5])),
    () => delete codec.preferredPayloadType,
    () => delete codec.clockRate,
    () => (codec.parameters = { a: pick([true, {}, []]) }),
    () => (codec.parameters = { apt: '100' }),
    () => (codec.rtcpFeedback = [{}]),
    () => delete extension.kind,
    () => (extension.kind = 'data'),
    () => delete extension.uri,
    () => delete extension.preferredId,
    () => (extension.direction = 5),
    () => (capabilities.codecs = 'none'),
    () => (capabilities.headerExtensions = 'none'),
  ])();
  return capabilities;
}

async function matched(local, routerRtpCapabilities, preferLocalCodecsOrder) {
  const native = { ...fakeParameters, generateNativeRtpCapabilities: () => structuredClone(local) };
  const device = new Device({ handlerFactory: FakeHandler.createFactory(native) });
  try {
    await device.load({ routerRtpCapabilities, preferLocalCodecsOrder });
  } catch (error) {
    return { error: String(error) };
  }
  const { sendRtpCapabilities } = device;
  const canProduce = { audio: device.canProduce('audio'), video: device.canProduce('video') };
  const wanted = ['audio', 'video'].filter((kind) => canProduce[kind]).map((kind) => ({ kind }));
  for (const codec of sendRtpCapabilities.codecs) {
    if (!/\/rtx$/i.test(codec.mimeType)) wanted.push({ kind: codec.kind, codec: structuredClone(codec) });
  }
  const produced = [];
  for (const { kind, codec } of wanted) produced.push({ kind, codec, ...(await produce(device, kind, codec)) });
  return { canProduce, sendRtpCapabilities, produced };
}

async function produce(device, kind, codec) {
  const transport = device.createSendTransport(fakeParameters.generateTransportRemoteParameters());
  let sent;
  transport.on('connect', (_, accept) => accept());
  transport.on('produce', ({ rtpParameters }, accept) => {
    sent = rtpParameters;
    accept({ id: 'any' });
  });
  try {
    await transport.produce({ track: new FakeMediaStreamTrack({ kind }), codec });
    return { rtpParameters: sent };
  } catch (error) {
    return { error: String(error) };
  } finally {
    transport.close();
  }
}

const local = JSON.parse(await text(process.stdin));
for (let i = 0; i < count; i++) {
  // As it comes over the wire: what is undefined is not there.
  const capabilities = JSON.parse(JSON.stringify(chance(0.1) ? spoiled(router()) : router()));
  const preferLocal = chance(0.3);
  console.log(JSON.stringify({ router: capabilities, preferLocal, result: await matched(local, capabilities, preferLocal) }));
}
