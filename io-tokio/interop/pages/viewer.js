// Receives and plays all there is in a room. Tests speak to `window.viewer`.
//
// The page's query, beside client.js's: profile (preferred from the start), receive=0 (join only).
//
// `which` picks a consumer: {id}, or any of {kind, peer} (the newest that fits); by default a video.

import { Client, query, trackStats } from './client.js';
import { listen, play, snapshot, watchFrames } from './watching.js';

class Viewer extends Client {
  transport = null;
  #shown = new Map();

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

  // See watching.js.
  snapshot(points, which) {
    return snapshot(this.#pick(which).element, points);
  }

  watchFrames(points, frames, timeout = 10000, which) {
    return watchFrames(this.#pick(which).element, points, frames, timeout);
  }

  listen(seconds, which = { kind: 'audio' }) {
    return listen(this.#pick(which).consumer.track, seconds);
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
      await play(element, await consumer.receive(this.transport));
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
}

window.viewer = new Viewer();
