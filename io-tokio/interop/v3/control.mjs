// The tests' door to the server: one function for each operation. `peer` is a name, `id` is the id of a transport, producer
// or consumer of that peer. What a function returns (or resolves to) is the answer's `value`.

import { found } from '../door.mjs';

export function operations(room, log) {
  const peerOf = ({ peer }) => found(room.peers.get(peer), 'peer');
  const transport = (target) => found(peerOf(target).transports.get(target.id), 'transport');
  const anything = (target) => peerOf(target).anything(target.id);
  const producer = (target) => [{ producerId: target.id }, true];

  return {
    list: () => ({ peers: [...room.peers.values()].map(describe), worker: room.worker.pid }),
    events: ({ since = 0, wait, only }) => log.since(since, { wait, only }),

    // Counters as the worker keeps them; and its whole state, of one thing and of the router.
    stats: (target) => anything(target).getStats(),
    dump: (target) => anything(target).dump(),
    dumpRouter: () => room.router.dump(),

    // As an application does it of its own accord: the clients are told.
    pauseProducer: (target) => peerOf(target).pauseProducer(...producer(target)),
    resumeProducer: (target) => peerOf(target).resumeProducer(...producer(target)),
    closeProducer: (target) => peerOf(target).closeProducer(...producer(target)),
    closeTransport: (target) => peerOf(target).closeTransport({ transportId: target.id }),

    // The bandwidth the server tells the sender never exceeds this many bits per second; 0: no limit.
    setMaxIncomingBitrate: (target) => transport(target).setMaxIncomingBitrate(target.bitrate),

    // Tells a client something that the server itself never says.
    tell: (target) => peerOf(target).tell(target.method, target.data),

    // Cuts the WebSocket of a peer; `polite` says `closed` first.
    dropSocket: (target) => (target.polite ? peerOf(target).end() : peerOf(target).cut()),

    // Nothing that is asked of a stopped worker is answered, until it goes on and answers all of it.
    stopWorker: () => void process.kill(room.worker.pid, 'SIGSTOP'),
    continueWorker: () => void process.kill(room.worker.pid, 'SIGCONT'),

    // The clients hear `closed`. Resolves when there is another.
    killWorker: async () => {
      const { pid } = room.worker;
      const { next } = await log.since(Number.MAX_SAFE_INTEGER, {});
      process.kill(pid, 'SIGKILL');
      const { events } = await log.since(next, { wait: 10000, only: ['worker.ready'] });
      found(events.length, 'new worker within 10 s');
      return { killed: pid, worker: room.worker.pid };
    },
  };
}

function describe({ name, transports, producers, consumers }) {
  return {
    peer: name,
    transports: [...transports.values()].map(({ id, iceState, iceSelectedTuple, dtlsState }) => (
      { id, iceState, iceSelectedTuple, dtlsState }
    )),
    producers: [...producers.values()].map(({ id, kind, type, rtpParameters, paused, score, appData }) => (
      { id, kind, type, rtpParameters, paused, score, appData }
    )),
    consumers: [...consumers.values()].map(({ id, kind, type, producerId, paused, producerPaused, currentLayers }) => (
      { id, kind, type, producer: producerId, paused, producerPaused, currentLayers }
    )),
  };
}
