// A connection whose client speaks as one of mediasoup's demo application, over protoo: for the room it is one that speaks
// as room.mjs says. There are two dialects of the demo, older and newer.

import { EventEmitter } from 'node:events';

const NAMES = {
  getRouterRtpCapabilities: 'routerRtpCapabilities',
  connectWebRtcTransport: 'connect',
  getProducerStats: 'stats',
};

const QUESTIONS = {
  createWebRtcTransport: ({ forceTcp }) => ({ enableUdp: !forceTcp }),
  getProducerStats: ({ producerId }) => ({ id: producerId }),
};

const ANSWERS = {
  older: {
    restartIce: ({ iceParameters }) => iceParameters,
  },
  newer: {
    getRouterRtpCapabilities: (routerRtpCapabilities) => ({ routerRtpCapabilities }),
    createWebRtcTransport: ({ id, ...rest }) => ({ transportId: id, ...rest }),
    produce: ({ id }) => ({ producerId: id }),
    getProducerStats: (stats) => ({ stats }),
  },
};

export class DemoSocket extends EventEmitter {
  #socket;
  #dialect;
  #joined = false;
  #asked = new Map(); // methods, by the number of their request

  constructor(socket, dialect) {
    super();
    this.#socket = socket;
    this.#dialect = dialect;
    socket.on('error', (error) => this.emit('error', error));
    socket.on('close', () => this.emit('close'));
    socket.on('message', (text) => this.#said(JSON.parse(text)));
    this.#tell(dialect === 'newer' ? 'mediasoupVersion' : 'mediasoup-version', { version: '3' });
  }

  // What the room says to its client.
  send(text) {
    const { id, ok, data, error } = JSON.parse(text);
    // What it tells of its own accord the demo does not, or not to senders.
    if (id === undefined || !this.#asked.has(id)) return;
    const translate = ANSWERS[this.#dialect][this.#asked.get(id)] ?? ((same) => same);
    this.#asked.delete(id);
    if (ok) this.#answer(id, translate(data));
    else this.#refuse(id, error);
  }

  close() {
    this.#socket.close();
  }

  terminate() {
    this.#socket.terminate();
  }

  #said({ request, notification, id, method, data }) {
    if (!request && !notification) return;
    if (method === 'join') {
      this.#joined = true;
      this.#answer(id, { peers: [] });
    } else if (method === 'produce' && !this.#joined) {
      this.#refuse(id, 'Peer not yet joined');
    } else {
      if (request) this.#asked.set(id, method);
      const question = { id, method: NAMES[method] ?? method, data: QUESTIONS[method]?.(data) ?? data };
      this.emit('message', JSON.stringify(question));
    }
  }

  #tell(method, data) {
    this.#write({ notification: true, method, data });
  }

  #answer(id, data) {
    this.#write({ response: true, id, ok: true, data });
  }

  #refuse(id, errorReason) {
    this.#write({ response: true, id, ok: false, errorCode: 500, errorReason });
  }

  #write(message) {
    this.#socket.send(JSON.stringify(message));
  }
}

// The newer demo takes nobody without an Origin of its own host.
export function isWelcome({ origin, req }, dialect) {
  const host = (url) => URL.canParse(url) && new URL(url).hostname;
  return dialect !== 'newer' || host(origin) === host(`http://${req.headers.host}`);
}
