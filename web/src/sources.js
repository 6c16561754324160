// Where bytes come from: files in chunks, and priors, which are fetched once.

import { SirenError } from './errors.js';

// Yield the bytes of a source as Uint8Arrays that may be given away.
export async function* chunksOf(source, signal) {
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    yield bytesOf(source).slice();
    return;
  }
  const stream = await streamOf(source, signal);
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      // A chunk may be a part of a buffer that others have too.
      yield value.byteLength === value.buffer.byteLength ? value : value.slice();
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function streamOf(source, signal) {
  if (source instanceof Blob) return source.stream();
  const given = source instanceof Response;
  if (!given && !(source instanceof URL) && typeof source !== 'string') {
    throw new SirenError('source: expected a URL, Response, Blob or bytes');
  }
  const response = given ? source : await fetch(source, { signal });
  if (!response.ok) {
    throw new SirenError(`${response.url}: expected a file, found status ${response.status}`);
  }
  return response.body ?? (await response.blob()).stream();
}

function bytesOf(source) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
}

const fetched = new Map();

// Return a promise of the bytes of a prior; `priors` is a folder, or the bytes by id.
export async function fetchPrior(id, priors = new URL('.', import.meta.url)) {
  if (typeof priors !== 'string' && !(priors instanceof URL)) {
    if (!priors[id]) throw new SirenError(`priors: expected prior ${id} among them`);
    return bytesOf(priors[id]);
  }
  const folder = String(priors).replace(/\/?$/, '/');
  const url = new URL(`prior-${id}.bin`, new URL(folder, globalThis.location?.href ?? import.meta.url));
  if (!fetched.has(url.href)) fetched.set(url.href, fetchAll(url));
  try {
    return await fetched.get(url.href);
  } catch (error) {
    fetched.delete(url.href);
    throw error;
  }
}

async function fetchAll(url) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new SirenError(`${url}: expected a prior, found status ${response.status}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}
