// Sends the browser's (fake) microphone and camera. Tests speak to `window.sender`.
//
// The page's query, beside client.js's and capture.js's: codec (of the video, a name as in `video/VP8`), simulcast=1, audio=0,
// video=0.

import { capture } from '../../pages/capture.js';
import { Client, entries, query } from './client.js';

// From low to high, as mediasoup takes them.
const LAYERS = [
  { scaleResolutionDownBy: 4, maxBitrate: 150000, scalabilityMode: 'L1T3' },
  { scaleResolutionDownBy: 2, maxBitrate: 500000, scalabilityMode: 'L1T3' },
  { scaleResolutionDownBy: 1, maxBitrate: 1500000, scalabilityMode: 'L1T3' },
];

class Sender extends Client {
  producers = {}; // by kind

  constructor() {
    super();
    this.run('send', async () => {
      if (query.get('audio') !== '0') await this.produce('audio');
      if (query.get('video') !== '0') await this.produce('video');
      this.note('sending');
    });
  }

  async produce(kind) {
    const wanted = kind === 'video' && query.get('codec')?.toLowerCase();
    const codec = this.device.sendRtpCapabilities.codecs.find(({ mimeType }) => mimeType.toLowerCase() === `video/${wanted}`);
    if (wanted && !codec) throw new Error(`no ${wanted} in ${JSON.stringify(this.device.sendRtpCapabilities.codecs)}`);
    const encodings = kind === 'video' && query.get('simulcast') === '1' ? LAYERS : undefined;
    const producer = await this.transport.produce({ track: await capture(kind, query), codec, encodings });
    this.producers[kind] = producer;
    return producer.id;
  }

  told(method, { producerId }) {
    const producer = Object.values(this.producers).find(({ id }) => id === producerId);
    if (method === 'producerPaused') producer?.pause();
    else if (method === 'producerResumed') producer?.resume();
    else if (method === 'producerClosed') producer?.close();
  }

  // What tests may want to know of one's producers: {audio: {...}, video: {...}}.
  list() {
    const all = Object.entries(this.producers).map(([kind, { id, closed, paused, rtpParameters }]) => (
      [kind, { id, closed, paused, rtpParameters }]
    ));
    return Object.fromEntries(all);
  }

  // The browser's `outbound-rtp` entries, one for each stream.
  async stats(kind) {
    return entries(await this.producers[kind].getStats(), 'outbound-rtp');
  }

  // Pauses, resumes or closes, as an application does: here and at the server.
  async pause(kind) {
    this.producers[kind].pause();
    await this.ask('pauseProducer', { producerId: this.producers[kind].id });
  }

  async resume(kind) {
    await this.ask('resumeProducer', { producerId: this.producers[kind].id });
    this.producers[kind].resume();
  }

  async close(kind) {
    this.producers[kind].close();
    await this.ask('closeProducer', { producerId: this.producers[kind].id });
  }
}

window.sender = new Sender();
