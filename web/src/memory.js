// WebAssembly's memory, given out from one end to the other.

import { SirenError } from './errors.js';
import { wasmModule } from './wasm.js';

const PAGE = 65536;

export class Memory {
  constructor() {
    this.exports = new WebAssembly.Instance(wasmModule(), {}).exports;
    this.top = this.exports.__heap_base.value;
  }

  get buffer() {
    return this.exports.memory.buffer;
  }

  // So many bytes: of zeros, or of anything where `top` was put back.
  reserve(bytes) {
    const at = Math.ceil(this.top / 16) * 16;
    this.top = at + bytes;
    const missing = Math.ceil((this.top - this.buffer.byteLength) / PAGE);
    try {
      if (missing > 0) this.exports.memory.grow(missing);
    } catch {
      throw new SirenError('expected more memory than there is');
    }
    return at;
  }

  put(array) {
    const at = this.reserve(array.byteLength);
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    new Uint8Array(this.buffer, at, bytes.length).set(bytes);
    return at;
  }
}
