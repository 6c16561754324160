// Bytes read one after another, and the integers of variable length among them.

import { SirenError } from './errors.js';

export class Cursor {
  constructor(bytes, position = 0) {
    this.bytes = bytes;
    this.position = position;
  }

  get left() {
    return this.bytes.length - this.position;
  }

  // The next bytes, not copied.
  take(count) {
    if (count > this.left) {
      throw new SirenError(`expected ${count} more bytes, found ${this.left}`);
    }
    this.position += count;
    return this.bytes.subarray(this.position - count, this.position);
  }

  byte() {
    return this.take(1)[0];
  }

  // A LEB128 integer below 2^32, in its shortest form.
  varint() {
    let value = 0;
    for (let shift = 0; shift <= 28; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte >= 0x80) continue;
      if (value >= 2 ** 32 || (byte === 0 && shift > 0)) {
        throw new SirenError('expected an integer below 2^32 in its shortest form');
      }
      return value;
    }
    throw new SirenError('expected an integer of at most 5 bytes, found a longer one');
  }
}
