// open: a source of bytes -> Picture, further layers as they come.

import { connectionFor, errorOf } from './connection.js';
import { SirenError } from './errors.js';
import { priorNamed } from './format.js';
import { Picture } from './picture.js';
import { PRIORS } from './priors.js';
import { chunksOf, fetchPrior } from './sources.js';

export async function open(source, options = {}) {
  const { signal } = options;
  signal?.throwIfAborted();
  const opening = new Opening(options);
  const stop = () => opening.fail(signal.reason);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    opening.send(source, signal).catch((error) => opening.fail(error));
    return await opening.result;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

// A picture while it comes: it receives the worker's messages.
class Opening {
  constructor({ onlayer, priors, limits, partial = false }) {
    this.onlayer = onlayer;
    this.picture = null;
    this.begun = false;
    this.over = false;
    this.fetchPrior = (id) => fetchPrior(id, priors);
    this.result = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.connection = connectionFor();
    this.id = this.connection.join(this);
    this.post({ kind: 'open', limits, partial });
  }

  post(message, transfer) {
    this.connection.post({ ...message, id: this.id }, transfer);
  }

  async send(source, signal) {
    for await (const bytes of chunksOf(source, signal)) {
      if (this.over) return;
      this.prefetch(bytes);
      this.post({ kind: 'bytes', bytes }, [bytes.buffer]);
    }
    this.post({ kind: 'end' });
  }

  // Fetch the prior that a file's first bytes name: the worker asks for it when it has begun.
  prefetch(bytes) {
    if (this.begun) return;
    this.begun = true;
    const id = priorNamed(bytes);
    if (id in PRIORS) this.fetchPrior(id).catch(() => {});
  }

  receive({ kind, base, layers, metadata, whole, error }) {
    if (this.over) return;
    if (kind === 'failed') {
      this.fail(errorOf(error));
      return;
    }
    if (base) this.picture = new Picture(this.connection, this.id, base);
    this.picture.take(layers, metadata, whole);
    if (kind === 'layers') this.callback();
    else this.finish();
  }

  callback() {
    try {
      this.onlayer?.(this.picture);
    } catch (error) {
      this.fail(error);
    }
  }

  finish() {
    this.over = true;
    this.resolve(this.picture);
  }

  fail(error) {
    if (this.over) return;
    this.over = true;
    if (this.picture) this.picture.close();
    else this.connection.leave(this.id);
    this.reject(error ?? new SirenError('aborted'));
  }
}
