// The tests' door to the server: one function for each operation. `room` and `peer` are names, `id` is the id of a
// transport, producer or consumer of that peer. What a function returns (or resolves to) is the answer's `value`.

import { once } from 'node:events';

import { found } from './door.mjs';

export function operations(rooms, log) {
  const media = ({ room, peer }) => found(rooms.room(room).media.getPeerByName(peer), 'peer');
  const socket = ({ room, peer }) => found(rooms.room(room).protoo.getPeer(peer), 'socket');
  const transport = (target) => found(media(target).getTransportById(target.id), 'transport');
  const producer = (target) => found(media(target).getProducerById(target.id), 'producer');
  const anything = (target) => {
    const peer = media(target);
    const { id } = target;
    return found(peer.getTransportById(id) ?? peer.getProducerById(id) ?? peer.getConsumerById(id), 'id');
  };

  const signal = (name) => {
    for (const worker of rooms.workers) worker.kill(name);
  };

  return {
    list: () => ({ rooms: rooms.all.map(describeRoom), workers: rooms.workers.map(({ pid }) => pid) }),
    events: ({ since = 0, wait, only }) => log.since(since, { wait, only }),

    // Counters as the worker keeps them; and its whole state, of one thing and of the room.
    stats: (target) => anything(target).getStats(),
    dump: (target) => anything(target).dump(),
    dumpRoom: ({ room }) => rooms.room(room).media.dump(),

    createRoom: ({ room, codecs, activeSpeaker, maxBitrate }) => {
      const options = Object.entries({ codecs, activeSpeaker, maxBitrate }).filter(([, value]) => value !== undefined);
      return { rtpCapabilities: rooms.create(room, Object.fromEntries(options)).media.rtpCapabilities };
    },
    closeRoom: ({ room, appData }) => rooms.room(room).media.close(appData),
    closePeer: (target) => media(target).close(target.appData),
    closeTransport: (target) => transport(target).close(target.appData),
    closeProducer: (target) => producer(target).close(target.appData),
    pauseProducer: (target) => producer(target).pause(target.appData),
    resumeProducer: (target) => producer(target).resume(target.appData),

    // The REMB the server sends never exceeds this many bits per second.
    setMaxBitrate: async (target) => {
      await transport(target).setMaxBitrate(target.bitrate);
    },

    // A request (or notification) of the application's own, outside mediasoup.
    send: (target) => rooms.room(target.room).send(socket(target), target.method, target.data),
    notify: (target) => socket(target).notify(target.method, target.data),

    // Cuts the WebSockets of a peer, of a room, or of all; `polite` says goodbye (close code 4000) first.
    dropSockets: ({ room, peer, polite = false }) => {
      const dropped = rooms.sockets
        .filter(([socket, name]) => (!room || name === room) && (!peer || socket.id === peer))
        .map(([socket]) => socket);
      // protoo keeps the connection to itself.
      for (const socket of dropped) polite ? socket.close() : socket._transport._socket.destroy();
      return { dropped: dropped.map(({ id }) => id) };
    },

    // Nothing that is asked of a stopped worker is answered, until it goes on and answers all of it.
    stopWorker: () => signal('SIGSTOP'),
    continueWorker: () => signal('SIGCONT'),

    // The clients hear `closed`, as after any other end of the room. The next room gets a new worker.
    killWorker: async () => {
      const { server, workers } = rooms;
      const closed = once(server, 'close');
      for (const worker of workers) worker.kill('SIGKILL');
      await closed;
      return { killed: workers.map(({ pid }) => pid) };
    },
  };
}

function describeRoom({ name, media, protoo }) {
  return { room: name, sockets: protoo.peers.map(({ id }) => id), peers: media.peers.map(describePeer) };
}

function describePeer({ name, appData, spy, transports, producers, consumers }) {
  return {
    peer: name,
    appData,
    spy,
    transports: transports.map(({ id, direction, iceState, iceSelectedTuple, dtlsState, appData }) => (
      { id, direction, iceState, iceSelectedTuple, dtlsState, appData }
    )),
    producers: producers.map(({ id, kind, transport, rtpParameters, locallyPaused, remotelyPaused, appData }) => (
      { id, kind, transport: transport.id, rtpParameters, locallyPaused, remotelyPaused, appData }
    )),
    consumers: consumers.map(({ id, kind, peer, source, enabled, paused, preferredProfile, effectiveProfile }) => (
      { id, kind, of: peer.name, producer: source.id, enabled, paused, preferredProfile, effectiveProfile }
    )),
  };
}
