// The alpha section -> samples without loss: docs/FORMAT.md, section 10.

import { Cursor } from './cursor.js';
import { SirenError } from './errors.js';
import { decompress } from './zstd.js';

const SAMPLES = 1;
const DIFFERENCES = 2;
const BITS = 3;

// Return a Uint8Array or Uint16Array of width x height samples.
export function unpackAlpha(payload, width, height, depth) {
  const cursor = new Cursor(payload);
  const form = cursor.byte();
  const frame = cursor.take(cursor.left);
  if (form === BITS) return unpackBits(frame, width, height, depth);
  if (form !== SAMPLES && form !== DIFFERENCES) {
    throw new SirenError(`alpha: expected the form 1, 2 or 3, found ${form}`);
  }
  const size = width * height;
  let plane = decompress(frame, (size * depth) / 8);
  if (depth === 16) {
    const bytes = plane;
    plane = Uint16Array.from({ length: size }, (_, k) => bytes[k] | (bytes[size + k] << 8));
  }
  if (form === DIFFERENCES) {
    // Sums wrap around, as the differences did.
    for (let k = width; k < size; k++) plane[k] += plane[k - width];
  }
  return plane;
}

function unpackBits(frame, width, height, depth) {
  const row = Math.ceil(width / 8);
  const bytes = decompress(frame, row * height);
  const plane = new (depth === 8 ? Uint8Array : Uint16Array)(width * height);
  const unused = (1 << (8 * row - width)) - 1;
  for (let i = 0; i < height; i++) {
    if (bytes[i * row + row - 1] & unused) {
      throw new SirenError('alpha: expected bits of 0 behind a row, found others');
    }
    for (let j = 0; j < width; j++) {
      if ((bytes[i * row + (j >> 3)] << (j & 7)) & 0x80) plane[i * width + j] = 2 ** depth - 1;
    }
  }
  return plane;
}
