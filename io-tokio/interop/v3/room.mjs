// The one room of a real mediasoup v3 server, with signalling of our own: what an application has to add to mediasoup.
//
// JSON over WebSocket. A client asks {"id":1,"method":...,"data":...} and is answered {"id":1,"ok":true,"data":...} or
// {"id":1,"ok":false,"error":...}. The server tells {"method":...,"data":...}:
//
//     newProducer      {producerId, kind, peer}  also for those that are there when somebody comes
//     producerClosed   {producerId}              to all; to its sender only if another closed it
//     producerPaused   {producerId}              likewise, and producerResumed
//     consumerLayers   {consumerId, layers}      which layer is forwarded now; null: none
//     closed           {}                        the worker died; then the socket closes

import mediasoup from 'mediasoup';

import { found } from '../door.mjs';

// By the name the command line has for them.
const CODECS = {
  opus: { kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2 },
  PCMU: { kind: 'audio', mimeType: 'audio/PCMU', clockRate: 8000 },
  PCMA: { kind: 'audio', mimeType: 'audio/PCMA', clockRate: 8000 },
  VP8: { kind: 'video', mimeType: 'video/VP8', clockRate: 90000 },
  VP9: { kind: 'video', mimeType: 'video/VP9', clockRate: 90000, parameters: { 'profile-id': 0 } },
  H264: h264('42e01f'),
  'H264-main': h264('4d001f'),
  'H264-high': h264('64001f'),
  AV1: { kind: 'video', mimeType: 'video/AV1', clockRate: 90000 },
};

function h264(profileLevelId) {
  const parameters = { 'packetization-mode': 1, 'profile-level-id': profileLevelId, 'level-asymmetry-allowed': 1 };
  return { kind: 'video', mimeType: 'video/H264', clockRate: 90000, parameters };
}

export class Room {
  #options;
  #log;
  peers = new Map(); // by name
  worker;
  router;

  // `worker`: the options of mediasoup.createWorker(); `codecs`: names, or as mediasoup has them; `ips`;
  // `announcedAddress`.
  constructor(options, log) {
    this.#options = options;
    this.#log = log;
  }

  // Starts a worker, and again when it has died.
  async open() {
    const worker = (this.worker = await mediasoup.createWorker(this.#options.worker));
    worker.on('died', () => {
      this.#log.push('worker.died', { pid: worker.pid });
      for (const peer of this.peers.values()) peer.end();
      this.router = undefined;
      this.open().catch((error) => this.#log.push('server.error', { error: String(error) }));
    });
    const mediaCodecs = this.#options.codecs.map((codec) => (
      typeof codec === 'string' ? found(CODECS[codec], `codec: ${codec}`) : codec
    ));
    this.router = await worker.createRouter({ mediaCodecs });
    this.#log.push('worker.ready', { pid: worker.pid });
  }

  // Whoever comes with a name that is connected already takes it over.
  connect(name, socket) {
    this.peers.get(name)?.end();
    const peer = new Peer(name, socket, this, this.#log);
    this.peers.set(name, peer);
    socket.on('close', () => {
      if (this.peers.get(name) === peer) this.peers.delete(name);
    });
    for (const other of this.peers.values()) {
      for (const producer of other.producers.values()) other.announce(producer, [peer]);
    }
  }

  // What transports listen on: all addresses, for each protocol that is wanted.
  listenInfos({ enableUdp = true, enableTcp = true, preferTcp = false, ips = this.#options.ips }) {
    const protocols = [enableUdp && 'udp', enableTcp && 'tcp'].filter(Boolean);
    if (preferTcp) protocols.reverse();
    const { announcedAddress } = this.#options;
    return protocols.flatMap((protocol) => ips.map((ip) => ({ protocol, ip, announcedAddress })));
  }
}

export class Peer {
  transports = new Map();
  producers = new Map();
  consumers = new Map();
  #socket;
  #room;
  #log;

  constructor(name, socket, room, log) {
    this.name = name;
    this.#socket = socket;
    this.#room = room;
    this.#log = log;
    this.#note('socket.open');
    socket.on('error', () => {});
    socket.on('message', (text) => void this.#answer(JSON.parse(text)));
    socket.on('close', () => {
      this.#note('socket.close');
      for (const transport of this.transports.values()) transport.close();
    });
  }

  // Tells the client of its own accord.
  tell(method, data) {
    this.#note('message', { dir: 'server->client', msg: { method, data } });
    this.#socket.send(JSON.stringify({ method, data }));
  }

  // Says that it is over, and closes the socket.
  end() {
    this.tell('closed', {});
    this.#socket.close();
  }

  // Cuts the socket without a word.
  cut() {
    this.#socket.terminate();
  }

  announce({ id, kind }, peers) {
    for (const peer of peers) if (peer !== this) peer.tell('newProducer', { producerId: id, kind, peer: this.name });
  }

  // Does what a client asks, or what a test does in the server's name: then the client is told, too.
  async pauseProducer({ producerId }, byServer = false) {
    await this.#producer(producerId).pause();
    this.#tellAll('producerPaused', { producerId }, byServer);
  }

  async resumeProducer({ producerId }, byServer = false) {
    await this.#producer(producerId).resume();
    this.#tellAll('producerResumed', { producerId }, byServer);
  }

  closeProducer({ producerId }, byServer = false) {
    this.#producer(producerId).close();
    this.#tellAll('producerClosed', { producerId }, byServer);
  }

  closeTransport({ transportId }) {
    this.#transport(transportId).close();
  }

  async #answer({ id, method, data }) {
    this.#note('message', { dir: 'client->server', id, msg: { method, data } });
    let answer;
    try {
      const operation = found(Object.hasOwn(this.#methods, method) && this.#methods[method], `method: ${method}`);
      answer = { id, ok: true, data: (await operation(data ?? {})) ?? {} };
    } catch (error) {
      answer = { id, ok: false, error: error.message };
    }
    this.#note('message', { dir: 'server->client', ...answer });
    this.#socket.send(JSON.stringify(answer));
  }

  #methods = {
    routerRtpCapabilities: () => this.#room.router.rtpCapabilities,
    createWebRtcTransport: (data) => this.#createTransport(data),
    connect: ({ transportId, dtlsParameters }) => this.#transport(transportId).connect({ dtlsParameters }),
    produce: (data) => this.#produce(data),
    restartIce: async ({ transportId }) => ({ iceParameters: await this.#transport(transportId).restartIce() }),
    pauseProducer: (data) => this.pauseProducer(data),
    resumeProducer: (data) => this.resumeProducer(data),
    closeProducer: (data) => this.closeProducer(data),
    closeTransport: (data) => this.closeTransport(data),
    stats: ({ id }) => this.anything(id).getStats(),
    consume: (data) => this.#consume(data),
    resumeConsumer: ({ consumerId }) => this.#consumer(consumerId).resume(),
    pauseConsumer: ({ consumerId }) => this.#consumer(consumerId).pause(),
    setPreferredLayers: ({ consumerId, ...layers }) => this.#consumer(consumerId).setPreferredLayers(layers),
  };

  // The bitrates, what listenInfos() takes and the options of mediasoup itself are the client's to say.
  async #createTransport({ maxIncomingBitrate, minOutgoingBitrate, enableUdp, enableTcp, preferTcp, ips, ...rest }) {
    const listenInfos = this.#room.listenInfos({ enableUdp, enableTcp, preferTcp, ips });
    const transport = await this.#room.router.createWebRtcTransport({ listenInfos, ...rest });
    if (maxIncomingBitrate) await transport.setMaxIncomingBitrate(maxIncomingBitrate);
    if (minOutgoingBitrate) await transport.setMinOutgoingBitrate(minOutgoingBitrate);
    this.#keep(this.transports, transport);
    const { id, iceParameters, iceCandidates, dtlsParameters } = transport;
    this.#note('transport.new', { id });
    this.#watch('transport', transport, ['icestatechange', 'iceselectedtuplechange', 'dtlsstatechange', 'routerclose']);
    return { id, iceParameters, iceCandidates, dtlsParameters };
  }

  async #produce({ transportId, kind, rtpParameters, appData, keyFrameRequestDelay }) {
    const transport = this.#transport(transportId);
    const producer = await transport.produce({ kind, rtpParameters, appData, keyFrameRequestDelay });
    this.#keep(this.producers, producer);
    const { id, type } = producer;
    this.#note('producer.new', { id, kind, type });
    this.#watch('producer', producer, ['score', 'videoorientationchange', 'transportclose']);
    producer.on('transportclose', () => this.#tellAll('producerClosed', { producerId: id }, false));
    this.announce(producer, this.#room.peers.values());
    return { id };
  }

  async #consume({ transportId, producerId, rtpCapabilities }) {
    // Paused until the client is ready, so that it gets the key frame that is asked for.
    const consumer = await this.#transport(transportId).consume({ producerId, rtpCapabilities, paused: true });
    this.#keep(this.consumers, consumer);
    const { id, kind, type, rtpParameters } = consumer;
    this.#note('consumer.new', { id, kind, type, producer: producerId });
    this.#watch('consumer', consumer, ['producerclose', 'producerpause', 'producerresume', 'layerschange']);
    consumer.on('layerschange', (layers) => this.tell('consumerLayers', { consumerId: id, layers: layers ?? null }));
    return { id, producerId, kind, type, rtpParameters, paused: consumer.producerPaused };
  }

  #tellAll(method, data, byServer) {
    for (const peer of this.#room.peers.values()) if (byServer || peer !== this) peer.tell(method, data);
  }

  #keep(map, thing) {
    map.set(thing.id, thing);
    thing.observer.on('close', () => {
      map.delete(thing.id);
      this.#note('closed', { id: thing.id });
    });
  }

  anything(id) {
    return found(this.transports.get(id) ?? this.producers.get(id) ?? this.consumers.get(id), 'id');
  }

  #transport(id) {
    return found(this.transports.get(id), 'transport');
  }

  #producer(id) {
    return found(this.producers.get(id), 'producer');
  }

  #consumer(id) {
    return found(this.consumers.get(id), 'consumer');
  }

  #watch(what, emitter, names) {
    for (const name of names) {
      emitter.on(name, (...args) => this.#note(`${what}.${name}`, { id: emitter.id, args }));
    }
  }

  #note(event, fields) {
    this.#log.push(event, { peer: this.name, ...fields });
  }
}
