// The workers, and this side of the talk with them.

import { SirenError } from './errors.js';
import { Service } from './service.js';

/* global SIREN_SOURCE */

const MOST_WORKERS = 4;
const connections = [];

// The connection with the fewest pictures, perhaps a new one.
export function connectionFor() {
  const most = Math.min(MOST_WORKERS, globalThis.navigator?.hardwareConcurrency || 1);
  const idlest = connections.reduce((best, each) => (best && best.users.size <= each.users.size ? best : each), null);
  if (idlest && (idlest.users.size === 0 || connections.length >= most)) return idlest;
  connections.push(new Connection());
  return connections[connections.length - 1];
}

let lastNumber = 0;

class Connection {
  constructor() {
    this.users = new Map(); // pictures by id
    this.requests = new Map();
    this.waiting = []; // messages until the worker is there
    this.worker = startWorker();
    if (this.worker) this.listen();
    else this.serveHere();
  }

  listen() {
    this.worker.onmessage = ({ data }) => {
      if (data.kind !== 'ready') return this.receive(data);
      this.worker.onerror = null;
      const waiting = this.waiting;
      this.waiting = null;
      for (const [message, transfer] of waiting) this.worker.postMessage(message, transfer);
      return undefined;
    };
    // A page may forbid workers: the work is then done here.
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.worker = null;
      this.serveHere();
    };
  }

  serveHere() {
    this.service = new Service((message) => queueMicrotask(() => this.receive(message)));
    const waiting = this.waiting;
    this.waiting = null;
    for (const [message] of waiting) this.service.receive(message);
  }

  post(message, transfer = []) {
    if (this.waiting) this.waiting.push([message, transfer]);
    else if (this.worker) this.worker.postMessage(message, transfer);
    else queueMicrotask(() => this.service.receive(message));
  }

  // Give a picture a number, and let it have the messages of that number.
  join(user) {
    const id = ++lastNumber;
    this.users.set(id, user);
    return id;
  }

  leave(id) {
    this.users.delete(id);
    this.post({ kind: 'close', id });
  }

  // Ask for something of a picture; `ontile` is called for tiles that come before the answer.
  ask(id, what, details, { signal, ontile } = {}) {
    const request = ++lastNumber;
    return new Promise((resolve, reject) => {
      const cancel = () => {
        this.requests.delete(request);
        this.post({ kind: 'cancel', request });
        reject(signal.reason);
      };
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener('abort', cancel, { once: true });
      const done = () => signal?.removeEventListener('abort', cancel);
      this.requests.set(request, { resolve, reject, ontile, done });
      return this.post({ kind: 'request', id, request, what, ...details });
    });
  }

  receive(message) {
    const { kind, id, request } = message;
    if (kind === 'prior') return this.givePrior(message.prior);
    if (kind === 'tile') return this.requests.get(request)?.ontile(message.tile);
    if (kind !== 'result') return this.users.get(id)?.receive(message);
    const asked = this.requests.get(request);
    if (!asked) return undefined;
    this.requests.delete(request);
    asked.done();
    return message.error ? asked.reject(errorOf(message.error)) : asked.resolve(message.result);
  }

  // A prior is fetched as the first picture that can say where it is says.
  async givePrior(prior) {
    try {
      const user = [...this.users.values()].find((each) => each.fetchPrior);
      if (!user) throw new SirenError('closed');
      this.post({ kind: 'prior', prior, bytes: await user.fetchPrior(prior) });
    } catch ({ name, message }) {
      this.post({ kind: 'prior', prior, error: { name, message } });
    }
  }
}

export function errorOf({ name, message }) {
  if (name === 'SirenError') return new SirenError(message);
  return name === 'TypeError' ? new TypeError(message) : new Error(message);
}

let workerUrl = null;

function startWorker() {
  if (typeof Worker === 'undefined') return null;
  try {
    if (typeof SIREN_SOURCE === 'undefined') {
      return new Worker(new URL('./module-worker.js', import.meta.url), { type: 'module' });
    }
    workerUrl ??= URL.createObjectURL(new Blob([SIREN_SOURCE()], { type: 'text/javascript' }));
    return new Worker(workerUrl);
  } catch {
    return null;
  }
}
