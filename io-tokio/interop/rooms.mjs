// Rooms of a real mediasoup v2 server, reached over protoo the way v2's demo application had it: mediasoup's requests
// as the data of `mediasoup-request`, its notifications, both ways, as the data of `mediasoup-notification` requests.

import mediasoup from 'mediasoup';
import protoo from 'protoo-server';

// By the name mediasoup knows them by. A room also takes codec objects as mediasoup's own `server.Room()` does.
const CODECS = {
  opus: { kind: 'audio', name: 'opus', clockRate: 48000, channels: 2, parameters: { useinbandfec: 1 } },
  PCMU: { kind: 'audio', name: 'PCMU', clockRate: 8000 },
  PCMA: { kind: 'audio', name: 'PCMA', clockRate: 8000 },
  VP8: { kind: 'video', name: 'VP8', clockRate: 90000 },
  VP9: { kind: 'video', name: 'VP9', clockRate: 90000 },
  H264: {
    kind: 'video',
    name: 'H264',
    clockRate: 90000,
    parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f', 'level-asymmetry-allowed': 1 },
  },
  H265: { kind: 'video', name: 'H265', clockRate: 90000 },
};

export class Rooms {
  #rooms = new Map();
  #sockets = new Map();
  #options;
  #log;
  #server;

  // `mediasoup`: the options of mediasoup.Server(); `room`: what rooms are made with unless create() says otherwise.
  constructor(options, log) {
    this.#options = options;
    this.#log = log;
  }

  // The mediasoup server. A server whose worker died is closed for good; the next room gets a new one.
  get server() {
    if (!this.#server || this.#server.closed) {
      this.#server = mediasoup.Server({ numWorkers: 1, ...this.#options.mediasoup });
      this.#server.on('close', () => this.#log.push('server.close'));
    }
    return this.#server;
  }

  // mediasoup offers no way to its child processes.
  get workers() {
    return this.#server ? [...this.#server._workers].map((worker) => worker._child) : [];
  }

  get all() {
    return [...this.#rooms.values()];
  }

  room(name) {
    const room = this.#rooms.get(name);
    if (!room) throw new Error(`no such room: ${name}`);
    return room;
  }

  create(name, options = {}) {
    if (this.#rooms.has(name)) throw new Error(`room exists: ${name}`);
    const { codecs, activeSpeaker, maxBitrate } = { ...this.#options.room, ...options };
    const media = this.server.Room(codecs.map(codec));
    const room = new Room(name, media, maxBitrate, this.#log);
    if (activeSpeaker) room.announceActiveSpeaker();
    this.#rooms.set(name, room);
    media.on('close', () => this.#rooms.delete(name));
    return room;
  }

  // Lets a WebSocket in; the room comes into being with its first one.
  connect(name, peerName, accept) {
    const peer = (this.#rooms.get(name) ?? this.create(name)).connect(peerName, accept);
    this.#sockets.set(peer, name);
    peer.on('close', () => this.#sockets.delete(peer));
  }

  // [protoo peer, room name] of all that are connected, also to rooms that are closed by now.
  get sockets() {
    return [...this.#sockets];
  }
}

class Room {
  #maxBitrate;
  #log;

  constructor(name, media, maxBitrate, log) {
    this.name = name;
    this.media = media;
    this.protoo = new protoo.Room();
    this.#maxBitrate = maxBitrate;
    this.#log = log;
    media.on('close', (appData) => log.push('room.close', { room: name, appData }));
  }

  connect(peerName, accept) {
    // Whoever comes with a name that is connected already takes it over.
    this.protoo.getPeer(peerName)?.close();
    const peer = this.protoo.createPeer(peerName, accept());
    this.#note(peer, 'socket.open');

    peer.on('request', (request, accept, reject) => this.#request(peer, request, accept, reject));
    peer.on('notification', ({ method, data }) => {
      if (method === 'mediasoup-notification') this.#notification(peer, data);
      else this.#message(peer, 'client->server', 'app-notification', { msg: { method, data } });
    });
    peer.on('close', () => {
      this.#note(peer, 'socket.close');
      this.#mediaOf(peer)?.close();
    });
    return peer;
  }

  // Sends a protoo request, mediasoup's or the application's own, and resolves with the client's answer.
  send(peer, method, data) {
    if (method === 'mediasoup-notification') this.#message(peer, 'server->client', 'notification', { msg: data });
    else this.#message(peer, 'server->client', 'app-request', { msg: { method, data } });
    return peer.send(method, data);
  }

  announceActiveSpeaker() {
    this.media.createActiveSpeakerDetector().on('activespeakerchange', (speaker) => {
      for (const peer of this.protoo.peers) {
        this.send(peer, 'active-speaker', { peerName: speaker?.name ?? null }).catch(this.#unanswered(peer));
      }
    });
  }

  #request(peer, { id, method, data }, accept, reject) {
    if (method === 'mediasoup-notification') {
      accept();
      this.#notification(peer, data);
      return;
    }
    if (method !== 'mediasoup-request') {
      this.#message(peer, 'client->server', 'app-request', { id, msg: { method, data } });
      reject(400, `unknown request method "${method}"`);
      return;
    }
    this.#message(peer, 'client->server', 'request', { id, msg: data });
    this.#receiver(peer, data).receiveRequest(data).then(
      (response) => {
        this.#message(peer, 'server->client', 'response', { id, ok: true, msg: response });
        accept(response);
        if (data.method === 'join') this.#joined(peer);
      },
      (error) => {
        this.#message(peer, 'server->client', 'response', { id, ok: false, msg: String(error) });
        reject(500, String(error));
      },
    );
  }

  #notification(peer, notification) {
    this.#message(peer, 'client->server', 'notification', { msg: notification });
    // mediasoup swallows the errors of a notification; only a closed or unknown peer rejects.
    const media = this.#mediaOf(peer);
    const handled = media ? media.receiveNotification(notification) : Promise.reject(new Error('not joined'));
    handled.catch((error) => this.#note(peer, 'notification.refused', { error: String(error) }));
  }

  // Who answers a mediasoup request: the room, or the peer that joined it.
  #receiver(peer, { method, target, peerName }) {
    const refuse = (reason) => ({ receiveRequest: () => Promise.reject(new Error(reason)) });
    // What is no name at all is mediasoup's own to refuse.
    if (method === 'join' && typeof peerName === 'string' && peerName !== peer.id) return refuse('not the peerName of this connection');
    if (target === 'room') return this.media;
    return this.#mediaOf(peer) ?? refuse('not joined');
  }

  #mediaOf(peer) {
    return peer.data.media;
  }

  #joined(peer) {
    const media = this.media.getPeerByName(peer.id);
    peer.data = { media };
    this.#note(peer, 'peer.join');
    this.#watch(peer, 'peer', media, ['close']);
    media.on('close', () => (peer.data = {}));
    media.on('notify', (notification) => {
      this.send(peer, 'mediasoup-notification', notification).catch(this.#unanswered(peer));
    });
    media.on('newtransport', (transport) => {
      const { id, direction } = transport;
      this.#note(peer, 'transport.new', { id, direction });
      const names = ['close', 'iceselectedtuplechange', 'icestatechange', 'dtlsstatechange'];
      this.#watch(peer, 'transport', transport, names);
      if (this.#maxBitrate && direction === 'send') transport.setMaxBitrate(this.#maxBitrate);
    });
    media.on('newproducer', (producer) => {
      this.#note(peer, 'producer.new', { id: producer.id, kind: producer.kind, paused: producer.paused });
      this.#watch(peer, 'producer', producer, ['close', 'pause', 'resume']);
    });
    const consumer = (consumer) => {
      const { id, kind, source } = consumer;
      this.#note(peer, 'consumer.new', { id, kind, producer: source.id, of: consumer.peer.name });
      this.#watch(peer, 'consumer', consumer, ['close', 'handled', 'pause', 'resume', 'effectiveprofilechange']);
    };
    media.consumers.forEach(consumer);
    media.on('newconsumer', consumer);
  }

  #watch(peer, what, emitter, names) {
    for (const name of names) {
      emitter.on(name, (...args) => this.#note(peer, `${what}.${name}`, { id: emitter.id, args }));
    }
  }

  #unanswered(peer) {
    return (error) => this.#note(peer, 'request.unanswered', { error: String(error) });
  }

  #message(peer, dir, type, fields) {
    this.#note(peer, 'message', { dir, type, ...fields });
  }

  #note(peer, event, fields) {
    this.#log.push(event, { room: this.name, peer: peer.id, ...fields });
  }
}

function codec(nameOrObject) {
  if (typeof nameOrObject !== 'string') return nameOrObject;
  const found = Object.values(CODECS).find(({ name }) => name.toLowerCase() === nameOrObject.toLowerCase());
  if (!found) throw new Error(`unknown codec: ${nameOrObject}`);
  return found;
}
