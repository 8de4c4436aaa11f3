// What viewer and sender have in common: an unmodified mediasoup-client and signalling of our own (see room.mjs), with a
// record of what is said.
//
// The page's query: url (of the server, default: where the page comes from), peerName; demo=1 has the words of mediasoup's demo
// said in place of ours, over protoo, to a server of a sender.

import { Device } from 'mediasoup-client';

export const query = new URLSearchParams(location.search);

// The way from the server to a viewer is not what is tested: on a busy machine its estimate would keep layers back.
const OPTIONS = { send: {}, recv: { initialAvailableOutgoingBitrate: 5000000, minOutgoingBitrate: 5000000 } };

const OURS = {
  join: () => {},
  request: (id, method, data) => ({ id, method, data }),
  response: (message) => message,
};

const DEMOS = {
  peer: 'peerId',
  protocol: 'protoo',
  names: { routerRtpCapabilities: 'getRouterRtpCapabilities', connect: 'connectWebRtcTransport' },
  join: (client) => client.ask('join', { displayName: 'A browser', device: { name: 'any' } }),
  request: (id, method, data = {}) => ({ request: true, id, method: DEMOS.names[method] ?? method, data }),
  response: ({ notification, id, ok, method, data, errorReason }) => (
    { ...(notification ? { method } : { id, ok, error: errorReason }), data }
  ),
};

const words = query.get('demo') === '1' ? DEMOS : OURS;

export class Client {
  state = 'connecting'; // then 'joined', then 'closed'; or 'failed'
  error = null;
  events = [];
  device = null;
  transport = null;
  #socket;
  #pending = new Map();
  #lastId = 0;

  // `direction` of the one transport, 'send' or 'recv'; then runs `work`. What fails is put where tests look for it.
  run(direction, work) {
    this.#join(direction).then(work).catch((error) => {
      this.state = 'failed';
      this.error = String(error);
      console.error(error);
    });
  }

  // What the server says of its own accord.
  told() {}

  ask(method, data) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify(words.request(id, method, data)));
    });
  }

  note(event, fields) {
    this.events.push({ t: Math.round(performance.now()), event, ...fields });
  }

  leave() {
    this.#socket.close();
  }

  async restartIce() {
    const { iceParameters } = await this.ask('restartIce', { transportId: this.transport.id });
    await this.transport.restartIce({ iceParameters });
  }

  async #join(direction) {
    const url = new URL(query.get('url') ?? `ws://${location.host}/`);
    url.searchParams.set(words.peer ?? 'peerName', query.get('peerName'));
    await this.#connect(url);
    const device = (this.device = await Device.factory());
    await device.load({ routerRtpCapabilities: await this.ask('routerRtpCapabilities') });
    const parameters = await this.ask('createWebRtcTransport', OPTIONS[direction]);
    await words.join(this);
    const transport = direction === 'send' ? device.createSendTransport(parameters) : device.createRecvTransport(parameters);
    const { id: transportId } = transport;
    transport.on('connect', ({ dtlsParameters }, accept, refuse) => {
      this.ask('connect', { transportId, dtlsParameters }).then(accept, refuse);
    });
    transport.on('produce', ({ kind, rtpParameters, appData }, accept, refuse) => {
      this.ask('produce', { transportId, kind, rtpParameters, appData }).then(accept, refuse);
    });
    transport.on('connectionstatechange', (state) => this.note('transport.connectionstatechange', { state }));
    this.transport = transport;
    this.state = 'joined';
  }

  #connect(url) {
    return new Promise((resolve, reject) => {
      const socket = (this.#socket = new WebSocket(url, words.protocol));
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error(`cannot connect to ${url}`));
      socket.onmessage = ({ data }) => this.#receive(words.response(JSON.parse(data)));
      socket.onclose = ({ code }) => {
        for (const { reject } of this.#pending.values()) reject(new Error('socket closed'));
        this.#pending.clear();
        this.note('socket.close', { code });
        this.state = 'closed';
        this.transport?.close();
      };
    });
  }

  #receive({ id, ok, method, data, error }) {
    if (method) {
      this.note('received', { method, data });
      this.told(method, data);
      return;
    }
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (ok) pending?.resolve(data);
    else pending?.reject(new Error(error));
  }
}

// The entries of one type in a report of statistics.
export function entries(report, type) {
  return [...report.values()].filter((entry) => entry.type === type);
}
