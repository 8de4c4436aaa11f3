// Sends the browser's (fake) microphone and camera into a room. Tests speak to `window.sender`.
//
// The page's query, beside client.js's: simulcast=1, video=0, and capture.js's. Below 960x540 Chromium makes
// only two of a simulcast's three streams.

import { capture } from './capture.js';
import { Client, peerConnection, query, trackStats } from './client.js';

// What each stream of a simulcast is scaled down by, from low to high.
const SCALES = [4, 2, 1];

class Sender extends Client {
  transport = null;
  producers = {}; // by kind

  constructor() {
    super();
    this.run(async () => {
      this.transport = this.room.createTransport('send');
      this.watch('transport', this.transport, ['connectionstatechange', 'stats', 'close']);
      // Always audio, and audio first: what Chromium offers for video alone has other header extension ids than
      // mediasoup-client answers with, and it refuses them.
      await this.produce('audio');
      if (query.get('video') !== '0') await this.produce('video', { simulcast: query.get('simulcast') === '1' });
      this.note('sending');
    });
  }

  async produce(kind, options) {
    const producer = this.room.createProducer(await capture(kind, query), options, { source: kind });
    this.producers[kind] = producer;
    const names = ['pause', 'resume', 'stats', 'handled', 'unhandled', 'trackended', 'close'];
    this.watch('producer', producer, names);
    await producer.send(this.transport);
    if (producer.simulcast) await this.#scale(producer);
    return producer.id;
  }

  // What tests may want to know of one's producers: {audio: {...}, video: {...}}.
  list() {
    const entries = Object.entries(this.producers).map(([kind, producer]) => {
      const { id, closed, locallyPaused, remotelyPaused, rtpParameters } = producer;
      return [kind, { id, closed, locallyPaused, remotelyPaused, rtpParameters }];
    });
    return Object.fromEntries(entries);
  }

  // The browser's `outbound-rtp` entries, one for each stream.
  stats(kind) {
    return trackStats(this.transport, this.producers[kind].track, 'outbound-rtp');
  }

  // What the browser thinks it may send, in bits per second; with mediasoup v2 that is what REMB said.
  async availableBitrate() {
    const report = await peerConnection(this.transport).getStats();
    return [...report.values()].find(({ type, nominated }) => type === 'candidate-pair' && nominated)
      .availableOutgoingBitrate;
  }

  async replaceTrack(kind) {
    await this.producers[kind].replaceTrack(await capture(kind, query));
  }

  // mediasoup-client offers three streams and limits none of them: Chromium of today would send all at full size.
  async #scale({ track, simulcast }) {
    const sender = peerConnection(this.transport).getSenders().find((one) => one.track === track);
    const parameters = sender.getParameters();
    const bitrates = [simulcast.low, simulcast.medium, simulcast.high];
    parameters.encodings.forEach((encoding, i) => {
      Object.assign(encoding, { scaleResolutionDownBy: SCALES[i], maxBitrate: bitrates[i] });
    });
    await sender.setParameters(parameters);
  }
}

window.sender = new Sender();
