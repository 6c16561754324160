// What a worker does for pictures: it decodes and renders them. It answers messages by messages, so
// that it can as well run where there are no workers.

import { Decoder } from './decoder.js';
import { SirenError } from './errors.js';
import { rangeOf, renderRgba, renderSamples, rgbaOf, tiles } from './render.js';

const TURN = 12; // milliseconds between two looks at the messages
const PATIENCE = 500; // for layers whose bytes are there: one drawing is quicker than two

export class Service {
  // `post` sends a message, with the list of what it hands over.
  constructor(post) {
    this.post = post;
    this.pictures = new Map();
    this.priors = new Map();
    this.requests = new Set();
  }

  receive(message) {
    const { kind, id } = message;
    if (kind === 'open') this.open(message);
    else if (kind === 'bytes') this.pictures.get(id)?.add(message.bytes);
    else if (kind === 'end') this.pictures.get(id)?.end();
    else if (kind === 'prior') this.priors.get(message.prior)?.settle(message);
    else if (kind === 'request') this.answer(message);
    else if (kind === 'cancel') this.requests.delete(message.request);
    else if (kind === 'close') this.close(id);
  }

  async open({ id, limits, partial }) {
    const fetchPrior = (prior) => this.fetchPrior(prior);
    const decoder = new Decoder({ limits, partial, fetchPrior, pause: makePause() });
    const arriving = new Arriving();
    this.pictures.set(id, arriving);
    let told = performance.now();
    try {
      for (let ended = false; !ended; ) {
        ended = await arriving.more();
        let layers = [];
        for await (const layer of decoder.take(arriving.bytes, ended)) {
          if (arriving.closed) return;
          layers.push(layer);
          if (performance.now() - told < PATIENCE) continue;
          this.tell(id, arriving, decoder.field, layers);
          told = performance.now();
          layers = [];
        }
        if (arriving.closed) return;
        // A picture without grids has no layers to tell of it.
        const first = decoder.field && !arriving.field;
        if (first || layers.length) this.tell(id, arriving, decoder.field, layers);
      }
      const { whole, metadata } = decoder.field;
      arriving.bytes = null;
      this.post({ kind: 'opened', id, whole, metadata });
    } catch (error) {
      this.pictures.delete(id);
      this.post({ kind: 'failed', id, ...plain(error) });
    }
  }

  // Post layers, and before the first one the Field itself.
  tell(id, arriving, field, layers) {
    let base = null;
    if (!arriving.field) {
      const { width, height, channels, depth, network, layers: siren, alpha } = field;
      base = { width, height, channels, depth, network, layers: siren, alpha };
      arriving.field = field;
    }
    // Copies are handed over: to copy them where they are received would hold up the page.
    const copies = layers.map(({ levels, grids }) => ({
      levels,
      grids: grids.map(([number, grid]) => [number, grid.slice()]),
    }));
    const buffers = copies.flatMap(({ grids }) => grids.map(([, grid]) => grid.buffer));
    this.post({ kind: 'layers', id, base, layers: copies, metadata: field.metadata }, buffers);
  }

  fetchPrior(prior) {
    if (!this.priors.has(prior)) {
      const wanted = {};
      wanted.bytes = new Promise((resolve, reject) => {
        wanted.settle = ({ bytes, error }) => {
          if (bytes) return resolve(bytes);
          this.priors.delete(prior);
          return reject(Object.assign(new Error(error.message), { name: error.name }));
        };
      });
      this.priors.set(prior, wanted);
      this.post({ kind: 'prior', prior });
    }
    return this.priors.get(prior).bytes;
  }

  async answer({ id, request, what, view, range }) {
    this.requests.add(request);
    const turn = makePause();
    const pause = async () => {
      await turn();
      if (!this.requests.has(request)) throw new Cancelled();
      if (!this.pictures.has(id)) throw new SirenError('the picture was closed');
    };
    try {
      await pause();
      const { field } = this.pictures.get(id);
      const result = await this.result(field, what, { view, range, request, pause });
      this.post({ kind: 'result', request, result }, buffersOf(result));
    } catch (error) {
      if (!(error instanceof Cancelled)) this.post({ kind: 'result', request, ...plain(error) });
    }
    this.requests.delete(request);
  }

  async result(field, what, { view, range, request, pause }) {
    if (what === 'range') return rangeOf(field, view.show);
    if (what === 'samples') return renderSamples(field, view, pause);
    if (what === 'rgba') return renderRgba(field, view, range, pause);
    for (const tile of tiles(field, view)) {
      const data = rgbaOf(field, tile, view.show, range);
      const { left, top, width, height } = tile;
      this.post({ kind: 'tile', request, tile: { left, top, width, height, data } }, [data.buffer]);
      await pause();
    }
    return null;
  }

  close(id) {
    const arriving = this.pictures.get(id);
    if (arriving) arriving.close();
    this.pictures.delete(id);
  }
}

class Cancelled extends Error {}

// An error as a message holds it.
function plain(error) {
  return { error: { name: error.name, message: error.message } };
}

function buffersOf(result) {
  return result?.data ? [result.data.buffer] : [];
}

// Return a function that, now and then, lets messages and other work have their turn.
function makePause() {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < TURN) return;
    await new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    });
    last = performance.now();
  };
}

// The bytes of a file while they come.
class Arriving {
  constructor() {
    this.buffer = new Uint8Array(1 << 16);
    this.bytes = this.buffer.subarray(0, 0);
    this.field = null;
    this.ended = false;
    this.closed = false;
    this.fresh = 0;
    this.wake = null;
  }

  add(bytes) {
    const length = this.bytes.length + bytes.length;
    if (length > this.buffer.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.buffer.length));
      larger.set(this.bytes);
      this.buffer = larger;
    }
    this.buffer.set(bytes, this.bytes.length);
    this.bytes = this.buffer.subarray(0, length);
    this.fresh += bytes.length;
    this.wake?.();
  }

  end() {
    this.ended = true;
    this.wake?.();
  }

  close() {
    this.closed = true;
    this.end();
  }

  // Wait for more bytes, or for their end; return whether it is the end.
  async more() {
    while (!this.fresh && !this.ended) {
      await new Promise((resolve) => {
        this.wake = resolve;
      });
    }
    this.fresh = 0;
    return this.ended;
  }
}
