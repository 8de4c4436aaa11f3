// Receives and plays all there is in the room. Tests speak to `window.viewer`.
//
// The page's query is client.js's. `which` picks a consumer: {id}, or any of {kind, peer} (the newest that fits); by default
// a video.

import { listen, play, snapshot, watchFrames } from '../../pages/watching.js';
import { Client, entries } from './client.js';

class Viewer extends Client {
  #shown = new Map(); // by the producer's id
  #announced = [];

  constructor() {
    super();
    this.run('recv', () => {
      const announced = this.#announced;
      this.#announced = null;
      announced.forEach((producer) => this.#consume(producer));
    });
  }

  told(method, data) {
    const shown = this.#shown.get(data.producerId);
    const layers = method === 'consumerLayers' && this.#find((one) => one.consumer.id === data.consumerId);
    if (method === 'newProducer' && this.#announced) this.#announced.push(data);
    else if (method === 'newProducer') this.#consume(data);
    else if (layers) layers.layers = data.layers;
    else if (method === 'producerPaused') shown?.consumer.pause();
    else if (method === 'producerResumed') shown?.consumer.resume();
    else if (method === 'producerClosed') this.#remove(data.producerId);
  }

  // Everything about each consumer: mediasoup's side of it, and all of the browser's `inbound-rtp` entry
  // (framesDecoded, frameWidth, freezeCount, concealedSamples, totalAudioEnergy, packetsLost, ...).
  stats() {
    return Promise.all([...this.#shown.values()].map(async ({ consumer, peer, type, layers }) => {
      const { id, producerId, kind, paused } = consumer;
      const [inbound] = entries(await consumer.getStats(), 'inbound-rtp');
      return { ...inbound, id, producer: producerId, kind, peer, paused, type, layers };
    }));
  }

  // Layers count from 0, the smallest.
  setPreferredLayers(spatialLayer, temporalLayer, which) {
    const consumerId = this.#pick(which).consumer.id;
    return this.ask('setPreferredLayers', { consumerId, spatialLayer, temporalLayer });
  }

  pause(which) {
    return this.ask('pauseConsumer', { consumerId: this.#pick(which).consumer.id });
  }

  resume(which) {
    return this.ask('resumeConsumer', { consumerId: this.#pick(which).consumer.id });
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

  async #consume({ producerId, kind, peer }) {
    try {
      const { rtpCapabilities } = this.device;
      const answer = await this.ask('consume', { transportId: this.transport.id, producerId, rtpCapabilities });
      const consumer = await this.transport.consume(answer);
      const shown = { consumer, peer, type: answer.type, layers: null, element: document.createElement(kind) };
      this.#shown.set(producerId, shown);
      this.note('consumer.new', { id: consumer.id, kind, type: answer.type });
      consumer.on('transportclose', () => this.#remove(producerId));
      const playing = play(shown.element, consumer.track);
      // What is asked for before is answered now.
      await this.ask('resumeConsumer', { consumerId: consumer.id });
      await playing;
    } catch (error) {
      // What closes meanwhile lands here, too.
      this.note('error', { producerId, error: String(error) });
    }
  }

  #remove(producerId) {
    const shown = this.#shown.get(producerId);
    if (!shown) return;
    this.#shown.delete(producerId);
    shown.consumer.close();
    shown.element.remove();
    this.note('consumer.close', { id: shown.consumer.id });
  }

  #find(fits) {
    return [...this.#shown.values()].findLast(fits);
  }

  #pick({ id, kind = 'video', peer } = {}) {
    const found = this.#find((one) => (id ? one.consumer.id === id : one.consumer.kind === kind && (!peer || one.peer === peer)));
    if (!found) throw new Error('no such consumer');
    return found;
  }
}

window.viewer = new Viewer();
