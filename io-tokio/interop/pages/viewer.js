// Receives and plays all there is in a room. Tests speak to `window.viewer`.
//
// The page's query, beside client.js's: profile (preferred from the start), receive=0 (join only).
//
// `which` picks a consumer: {id}, or any of {kind, peer} (the newest that fits); by default a video.

import { Client, query, trackStats } from './client.js';

class Viewer extends Client {
  transport = null;
  #shown = new Map();
  #canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });

  constructor() {
    super();
    this.run(() => {
      if (query.get('receive') === '0') return;
      this.transport = this.room.createTransport('recv');
      this.watch('transport', this.transport, ['connectionstatechange', 'close']);
      this.room.on('newpeer', (peer) => this.#peer(peer));
      this.room.peers.forEach((peer) => this.#peer(peer));
    });
  }

  // Everything about each consumer: mediasoup's side of it, and all of the browser's `inbound-rtp` entry
  // (framesDecoded, frameWidth, freezeCount, concealedSamples, packetsLost, ...).
  stats() {
    return Promise.all([...this.#shown.values()].map(async ({ consumer }) => {
      const { id, kind, peer, track, paused, preferredProfile, effectiveProfile, supported } = consumer;
      const [inbound] = track ? await trackStats(this.transport, track, 'inbound-rtp') : [];
      return { ...inbound, id, kind, peer: peer.name, paused, preferredProfile, effectiveProfile, supported };
    }));
  }

  setPreferredProfile(profile, which) {
    this.#pick(which).consumer.setPreferredProfile(profile);
  }

  effectiveProfile(which) {
    return this.#pick(which).consumer.effectiveProfile;
  }

  pause(which) {
    this.#pick(which).consumer.pause();
  }

  resume(which) {
    this.#pick(which).consumer.resume();
  }

  // The luma (0 to 255) of the picture now on show at `points`, each [x, y] with 0 to 1 across and down.
  snapshot(points, which) {
    return this.#sample(this.#pick(which).element, points);
  }

  // The same for each of the next `frames` pictures as they come on show; fewer, if `timeout` ms pass first.
  watchFrames(points, frames, timeout = 10000, which) {
    const { element } = this.#pick(which);
    const samples = [];
    return new Promise((resolve) => {
      const finish = () => resolve(samples);
      const timer = setTimeout(finish, timeout);
      const next = (_, { presentationTime, rtpTimestamp, presentedFrames }) => {
        const sample = this.#sample(element, points);
        samples.push({ shown: presentationTime, rtpTimestamp, presentedFrames, ...sample });
        if (samples.length < frames) return element.requestVideoFrameCallback(next);
        clearTimeout(timer);
        finish();
      };
      element.requestVideoFrameCallback(next);
    });
  }

  // The next `seconds` of sound, piece by piece: [length in seconds, root mean square of the samples].
  async listen(seconds, which = { kind: 'audio' }) {
    const { track } = this.#pick(which).consumer;
    // Wide enough that nothing is dropped while the page is busy.
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 10000 }).readable.getReader();
    const pieces = [];
    for (let heard = 0; heard < seconds; ) {
      const { value: piece, done } = await reader.read();
      if (done) break;
      const samples = new Float32Array(piece.numberOfFrames);
      piece.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
      const length = piece.numberOfFrames / piece.sampleRate;
      pieces.push([length, Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length)]);
      heard += length;
      piece.close();
    }
    await reader.cancel();
    return pieces;
  }

  #peer(peer) {
    peer.on('newconsumer', (consumer) => this.#consumer(consumer));
    peer.consumers.forEach((consumer) => this.#consumer(consumer));
  }

  async #consumer(consumer) {
    const { id, kind, supported } = consumer;
    this.note('consumer.new', { id, kind, supported });
    this.watch('consumer', consumer, ['pause', 'resume', 'effectiveprofilechange', 'unhandled', 'close']);
    const element = document.createElement(kind);
    this.#shown.set(id, { consumer, element });
    consumer.on('close', () => {
      this.#shown.delete(id);
      element.remove();
    });
    if (!supported) return;
    if (query.has('profile')) consumer.setPreferredProfile(query.get('profile'));
    try {
      element.srcObject = new MediaStream([await consumer.receive(this.transport)]);
      element.controls = kind === 'audio';
      document.body.append(element);
      await element.play();
    } catch (error) {
      // A consumer that closes meanwhile lands here too.
      this.note('error', { id, error: String(error) });
    }
  }

  #pick({ id, kind = 'video', peer } = {}) {
    const found = [...this.#shown.values()].findLast(({ consumer }) =>
      id ? consumer.id === id : consumer.kind === kind && (!peer || consumer.peer.name === peer));
    if (!found) throw new Error('no such consumer');
    return found;
  }

  #sample(element, points) {
    const { videoWidth: width, videoHeight: height } = element;
    if (!width) return { width, height, luma: [] };
    const { canvas } = this.#canvas;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.#canvas.drawImage(element, 0, 0);
    const { data } = this.#canvas.getImageData(0, 0, width, height);
    const at = (fraction, size) => Math.min(size - 1, Math.max(0, Math.floor(fraction * size)));
    const luma = points.map(([x, y]) => {
      const i = 4 * (at(y, height) * width + at(x, width));
      return Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
    });
    return { width, height, luma };
  }
}

window.viewer = new Viewer();
