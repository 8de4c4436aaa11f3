// What viewer and sender have in common: an unmodified mediasoup-client in a v2 room, and a record of what it says.
//
// The page's query: url (of the server, default: where the page comes from), roomId, peerName.

import { Room } from 'mediasoup-client';

import { Protoo } from './protoo.js';

export const query = new URLSearchParams(location.search);

export class Client {
  state = 'connecting'; // then 'joined', then 'closed'; or 'failed'
  error = null;
  events = [];
  room = null;
  protoo = null;

  // Joins, then runs `work`; what fails is put where tests look for it.
  run(work) {
    this.#join().then(work).catch((error) => {
      this.state = 'failed';
      this.error = String(error);
      console.error(error);
    });
  }

  note(event, fields) {
    this.events.push({ t: Math.round(performance.now()), event, ...fields });
  }

  // Records these events of one of mediasoup-client's objects.
  watch(what, emitter, names) {
    for (const name of names) {
      emitter.on(name, (...args) => this.note(`${what}.${name}`, { id: emitter.id, kind: emitter.kind, args }));
    }
  }

  leave(appData) {
    this.room.leave(appData);
  }

  async #join() {
    const url = new URL(query.get('url') ?? `ws://${location.host}/`);
    const peerName = query.get('peerName');
    url.searchParams.set('peerName', peerName);
    url.searchParams.set('roomId', query.get('roomId'));
    const protoo = (this.protoo = await Protoo.connect(url));
    const room = (this.room = new Room());

    room.on('request', (request, accept, refuse) => {
      protoo.request('mediasoup-request', request).then(accept, refuse);
    });
    room.on('notify', (notification) => {
      const sent = protoo.request('mediasoup-notification', notification);
      sent.catch((error) => this.note('error', { error: String(error) }));
    });
    const receive = (method, data) => {
      this.note('received', { method, data });
      if (method === 'mediasoup-notification') room.receiveNotification(data);
    };
    protoo.onrequest = receive;
    protoo.onnotification = receive;
    protoo.onclose = (why) => {
      this.note('socket.close', why);
      // As an application would: without its server there is no room.
      room.remoteClose();
    };
    room.on('close', (originator, appData) => {
      this.state = 'closed';
      this.note('room.close', { originator, appData });
    });

    await room.join(peerName, { displayName: peerName });
    this.state = 'joined';
  }
}

// The peer connection behind a transport, which mediasoup-client keeps to itself.
export function peerConnection(transport) {
  return transport.handler._pc;
}

// The statistics of one type about one track.
export async function trackStats(transport, track, type) {
  const report = await peerConnection(transport).getStats(track);
  return [...report.values()].filter((entry) => entry.type === type);
}
