// Layers of range-coded words -> integer grids, by latents.c: docs/FORMAT.md, section 6.

import { cellsOf, NEIGHBOURS } from './architecture.js';
import { Cursor } from './cursor.js';
import { SirenError } from './errors.js';
import { Memory } from './memory.js';
import { lastWords } from './range.js';
import { putResidualTables } from './tables.js';

const MARGIN = 4; // zeros above the grids and beside them, as far as a neighbour may lie
const SLOPE = 3; // columns by which each row of the wavefront is behind the one above
const LAYER_BYTES = 64; // siren_layer
const CELLS_AT_A_TIME = 1 << 16; // about, between two pauses

// [finest level, level above the coarsest] of each layer, given the first layers of a file.
export function layerLevels(payloads, features) {
  let above = features.length;
  return payloads.map((payload) => {
    const finest = new Cursor(payload).byte();
    if (finest >= above || !features.slice(finest, above).some((count) => count)) {
      throw new SirenError(`layer: expected grids on the levels ${finest} to ${above - 1}`);
    }
    const levels = [finest, above];
    above = finest;
    return levels;
  });
}

// A layer taken apart: the numbers of its coded grids, their escapes and words as bytes.
function parseLayer(payload, grids) {
  const cursor = new Cursor(payload, 1);
  const flags = cursor.take(Math.ceil(grids.length / 8));
  const isSet = (k) => (flags[k >> 3] >> (k & 7)) & 1;
  for (let k = grids.length; k < 8 * flags.length; k++) {
    if (isSet(k)) throw new SirenError(`latents: expected flags of ${grids.length} grids only`);
  }
  const coded = grids.filter((_, k) => isSet(k));
  if (!coded.length && cursor.left) {
    throw new SirenError(`latents: expected no byte, for no grid, found ${cursor.left}`);
  }
  const escapes = coded.length ? cursor.take(cursor.varint()) : cursor.take(0);
  if (cursor.left % 4) {
    throw new SirenError(`latents: expected words of 4 bytes, found ${cursor.left} bytes`);
  }
  return { coded, escapes, words: cursor.take(cursor.left) };
}

// Decodes the layers of a picture, one after the other. Its memory holds what never changes (the
// context network, the tables, the plane of clipped integers that the network sees), and behind it
// what one layer needs.
export class LatentDecoder {
  // `network` is what contextNetwork returns.
  constructor(architecture, width, height, network) {
    this.architecture = architecture;
    this.grids = architecture.gridSources.map(({ level, sources }) => ({
      sources,
      rows: cellsOf(height, level),
      columns: cellsOf(width, level),
      start: 0,
      coded: false,
    }));
    this.memory = new Memory();
    this.wasm = this.memory.exports;
    const rows = this.arrange();
    this.network = this.putNetwork(network);
    this.tables = putResidualTables(this.memory);
    this.plane = this.memory.reserve(rows * this.stride);
    this.cells = this.memory.reserve(16);
  }

  // Find each grid a place in the plane, on shelves; return the rows of all shelves.
  arrange() {
    const widest = Math.max(...this.grids.map(({ columns }) => columns));
    this.stride = 2 * MARGIN + widest;
    let [top, height, left] = [0, 0, 0];
    for (const grid of this.grids.slice().reverse()) {
      if (left + MARGIN + grid.columns > this.stride) [top, height, left] = [top + height, 0, 0];
      grid.start = (top + MARGIN) * this.stride + left + MARGIN;
      left += MARGIN + grid.columns;
      height = Math.max(height, MARGIN + grid.rows);
    }
    return top + height;
  }

  // Write the context network; return where its struct lies.
  putNetwork({ width, features, first, biases, second, last }) {
    const { neighbours } = this.architecture;
    const offsets = NEIGHBOURS.slice(0, neighbours).map(([i, j]) => BigInt(i * this.stride + j));
    const arrays = [first, biases, second, last, BigInt64Array.from(offsets)];
    const pointers = arrays.map((array) => this.memory.put(array));
    const counts = [neighbours, features, width].flatMap((count) => [count, 0]);
    return this.memory.put(Uint32Array.from([...counts, ...pointers]));
  }

  // Decode the layer of the levels from `finest` to before `above`; return [number, Int16Array] of
  // each of its coded grids. Throws a SirenError for what no encoder writes. `pause` is awaited
  // now and then.
  async decode(payload, [finest, above], pause) {
    const numbers = this.architecture.gridsOf(finest, above);
    const { coded, escapes, words } = parseLayer(payload, numbers);
    if (!coded.length) return [];
    for (const number of coded) this.grids[number].coded = true;
    const mark = this.memory.top;
    const at = {
      words: this.memory.put(words),
      escapes: this.memory.put(escapes),
      layer: this.putLayer(words, escapes),
      grids: this.putGrids(coded),
      values: this.memory.reserve(2 * this.cellsOf(coded)),
    };
    await this.run(coded, at, pause);
    this.checkEnd(at.layer, words);
    const found = this.takeGrids(coded, at.values);
    this.memory.top = mark;
    return found;
  }

  cellsOf(coded) {
    return coded.reduce((sum, n) => sum + this.grids[n].rows * this.grids[n].columns, 0);
  }

  // A range decoder that has read its first two words.
  putLayer(words, escapes) {
    const view = new DataView(words.buffer, words.byteOffset, words.length);
    const word = (k) => (4 * k < words.length ? BigInt(view.getUint32(4 * k, true)) : 0n);
    const ends = [BigInt(words.length / 4), 0n, BigInt(escapes.length), 0n];
    const state = [0n, (1n << 64n) - 1n, (word(0) << 32n) | word(1), 2n, ...ends];
    return this.memory.put(BigUint64Array.from(state));
  }

  putGrids(coded) {
    let place = 0;
    const fields = coded.flatMap((number) => {
      const { rows, columns, start, sources } = this.grids[number];
      const own = [rows, columns, start, place, 0, number];
      place += rows * columns;
      return [...own, ...sources.flatMap((source) => this.sourceOf(source))];
    });
    return this.memory.put(BigInt64Array.from(fields, BigInt));
  }

  sourceOf(source) {
    const seen = source && this.grids[source[0]];
    return seen?.coded ? [seen.start, source[1]] : [-1, 0];
  }

  async run(coded, at, pause) {
    const memory = new DataView(this.memory.buffer);
    memory.setBigInt64(this.cells, BigInt(this.stride), true);
    memory.setUint32(this.cells + 8, this.plane, true);
    memory.setUint32(this.cells + 12, at.values, true);
    const steps = Math.max(
      ...coded.map((number, o) => {
        const { rows, columns } = this.grids[number];
        return o + columns + SLOPE * (rows - 1);
      }),
    );
    const some = Math.ceil((steps * CELLS_AT_A_TIME) / this.cellsOf(coded));
    for (let step = 0; step < steps; step += some) {
      const wrong = this.wasm.siren_decode(
        BigInt(step), BigInt(Math.min(step + some, steps)), at.grids, BigInt(coded.length),
        at.layer, at.words, at.escapes, this.tables, this.network, this.cells,
      );
      if (wrong) throw new SirenError('latents: expected symbols of the range coder, found others');
      await pause();
    }
  }

  // See to it that the words and escapes end as the encoder ends them.
  checkEnd(layer, words) {
    const [lower, range, , word, wordsEnd, escape, escapesEnd] = new BigUint64Array(
      this.memory.buffer, layer, LAYER_BYTES / 8,
    );
    const expected = lastWords(lower, range);
    const first = Number(word) - 2;
    const view = new DataView(words.buffer, words.byteOffset, words.length);
    const right = Number(wordsEnd) - first === expected.length
      && expected.every((last, k) => view.getUint32(4 * (first + k), true) === last);
    if (!right || escape !== escapesEnd) {
      throw new SirenError('latents: expected the words that the range coder writes, found others');
    }
  }

  takeGrids(coded, values) {
    let at = values;
    return coded.map((number) => {
      const { rows, columns } = this.grids[number];
      const grid = new Int16Array(this.memory.buffer, at, rows * columns).slice();
      at += 2 * grid.length;
      if (grid.every((value) => value === 0)) {
        throw new SirenError(`latents: expected grid ${number} to hold anything but 0`);
      }
      return [number, grid];
    });
  }
}
