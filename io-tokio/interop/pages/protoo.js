// The client side of protoo, as little of it as the v2 demo's protocol needs.

export class Protoo {
  #socket;
  #pending = new Map();
  #lastId = 0;

  // What the server sends of its own accord. A request is answered with success whatever the handler does.
  onrequest = () => {};
  onnotification = () => {};
  onclose = () => {};

  static connect(url) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, 'protoo');
      socket.onopen = () => resolve(new Protoo(socket));
      socket.onerror = () => reject(new Error(`cannot connect to ${url}`));
    });
  }

  constructor(socket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      for (const { reject } of this.#pending.values()) reject(new Error('socket closed'));
      this.#pending.clear();
      this.onclose({ code, reason });
    };
  }

  request(method, data) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#send({ request: true, id, method, data });
    });
  }

  close() {
    this.#socket.close();
  }

  #send(message) {
    // What is said while the socket closes (a room being left) has nobody to hear it.
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #receive({ request, response, notification, id, ok, method, data, errorReason }) {
    if (request) {
      this.#send({ response: true, id, ok: true, data: {} });
      this.onrequest(method, data);
    } else if (notification) {
      this.onnotification(method, data);
    } else if (response) {
      const pending = this.#pending.get(id);
      this.#pending.delete(id);
      if (ok) pending?.resolve(data);
      else pending?.reject(new Error(errorReason));
    }
  }
}
