// What happened at the server, numbered, for tests to read and to wait for.

// mediasoup and protoo print their debugging output (DEBUG=...) with console.info, that is to stdout, which belongs to
// the ready line. They bind it when they are loaded, so this module must be imported before them.
console.info = console.error;

export class EventLog {
  #entries = [];
  #start = Date.now();
  #waiting = new Set();

  push(event, fields) {
    this.#entries.push({ n: this.#entries.length + 1, t: Date.now() - this.#start, event, ...fields });
    for (const wake of [...this.#waiting]) wake();
  }

  // The entries after number `n` whose event is in `only` (all but the messages by default); if there are none yet,
  // waits up to `wait` ms for the first. `next` is the `n` to ask with the next time.
  async since(n, { wait = 0, only } = {}) {
    const wanted = ({ event }) => (only ? only.includes(event) : event !== 'message');
    const deadline = Date.now() + wait;
    for (;;) {
      const events = this.#entries.slice(n).filter(wanted);
      if (events.length || Date.now() >= deadline) return { events, next: this.#entries.length };
      await this.#another(deadline - Date.now());
    }
  }

  #another(timeout) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, timeout);
      this.#waiting.add(wake);
    });
  }
}
