// The range coder of docs/FORMAT.md section 4.2, for the few symbols that are no latents.

import { SirenError } from './errors.js';

const MASK = (1n << 64n) - 1n;

export class RangeDecoder {
  // `bytes` are words of 32 bits.
  constructor(bytes) {
    if (bytes.length % 4) {
      throw new SirenError(`range coder: expected words of 4 bytes, found ${bytes.length} bytes`);
    }
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.words = bytes.length / 4;
    this.read = 0;
    this.lower = 0n;
    this.range = MASK;
    this.point = (this.word() << 32n) | this.word();
  }

  word() {
    const at = this.read++;
    return at < this.words ? BigInt(this.view.getUint32(4 * at, true)) : 0n;
  }

  // The next symbol by cumulative frequencies, of which the last one is 2^24.
  symbol(cumulative) {
    const scale = this.range >> 24n;
    const quantile = Number(((this.point - this.lower) & MASK) / scale);
    if (quantile >= 2 ** 24) throw new SirenError('range coder: expected other words');
    let low = 0;
    let high = cumulative.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (quantile >= cumulative[middle]) low = middle;
      else high = middle;
    }
    this.lower = (this.lower + scale * BigInt(cumulative[low])) & MASK;
    this.range = scale * BigInt(cumulative[low + 1] - cumulative[low]);
    if (this.range >> 32n === 0n) {
      this.lower = (this.lower << 32n) & MASK;
      this.range <<= 32n;
      this.point = ((this.point << 32n) & MASK) | this.word();
    }
    return low;
  }

  // See to it that the words are exactly those that the encoder writes.
  finish() {
    const unused = this.lower === 0n && this.range === MASK;
    const end = this.read - 2;
    const expected = unused ? [] : lastWords(this.lower, this.range);
    const left = this.words - (unused ? 0 : end);
    const right = expected.every((word, k) => this.view.byteLength >= 4 * (end + k + 1)
      && this.view.getUint32(4 * (end + k), true) === word);
    if (left !== expected.length || !right) {
      throw new SirenError('range coder: expected the words that its encoder writes, found others');
    }
  }
}

// How the encoder ends a message, given its last state.
export function lastWords(lower, range) {
  const last = ((lower + (1n << 32n) - 1n) & MASK) >> 32n;
  const more = ((lower + range) & MASK) >> 32n === last;
  return more ? [Number(last), 0] : [Number(last)];
}
