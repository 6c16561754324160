// One zstd frame of which every byte is accounted for: RFC 8878, as docs/FORMAT.md section 4.1
// restricts it. Strict where libzstd is, so that both refuse the same files.

import { SirenError } from './errors.js';

const MAGIC = 0xfd2fb528;
const LARGEST_BLOCK = 1 << 17;
const MIN_TABLE_LOG = 5;
const WEIGHT_LOG = 6; // of the tables of Huffman weights, at most
const HUFFMAN_BITS = 12; // the longest code that libzstd takes

function expect(condition, what) {
  if (!condition) throw new SirenError(`zstd: ${what}`);
}

// Return the content of a frame that declares exactly `length` bytes. The declaration is checked
// before anything is allocated.
export function decompress(frame, length) {
  const { position, window } = frameHeader(frame, length);
  const state = {
    out: new Uint8Array(length),
    at: 0,
    blockMost: Math.min(window, LARGEST_BLOCK),
    offsets: [1, 4, 8],
    tables: [null, null, null],
    huffman: null,
  };
  let at = position;
  for (let last = false; !last; ) {
    expect(at + 3 <= frame.length, 'expected another block, found the end');
    const header = frame[at] | (frame[at + 1] << 8) | (frame[at + 2] << 16);
    last = (header & 1) === 1;
    at = block(state, frame, at + 3, (header >> 1) & 3, header >> 3);
  }
  expect(at === frame.length, `expected the end, found ${frame.length - at} more bytes`);
  expect(state.at === length, `expected ${length} bytes, found ${state.at}`);
  return state.out;
}

function frameHeader(frame, length) {
  const word = (at, count) => {
    let value = 0;
    for (let k = count - 1; k >= 0; k--) value = value * 256 + (frame[at + k] ?? NaN);
    return value;
  };
  expect(word(0, 4) === MAGIC, 'expected a frame');
  const flags = frame[4] ?? NaN;
  expect((flags & 0x08) === 0, 'expected a reserved bit of 0');
  expect((flags & 0x04) === 0, 'expected a frame without checksum');
  const single = (flags >> 5) & 1;
  let position = single ? 5 : 6;
  const idBytes = [0, 1, 2, 4][flags & 3];
  expect(idBytes === 0 || word(position, idBytes) === 0, 'expected a frame without dictionary');
  position += idBytes;
  const sizeBytes = [single, 2, 4, 8][flags >> 6];
  const size = sizeBytes ? word(position, sizeBytes) + (sizeBytes === 2 ? 256 : 0) : NaN;
  expect(size === length && length > 0, `expected a frame of ${length} bytes, found ${size}`);
  let window = size;
  if (!single) {
    const log = 10 + (frame[5] >> 3);
    expect(log <= 31, 'expected a smaller window');
    window = 2 ** log * (1 + (frame[5] & 7) / 8);
  }
  return { position: position + sizeBytes, window };
}

// Append a block to the output; return where it ends.
function block(state, frame, at, kind, size) {
  const { out } = state;
  expect(size > 0, 'expected blocks that hold something, found an empty one');
  expect(kind < 3, 'expected a block of a known kind');
  const end = at + (kind === 1 ? 1 : size);
  expect(end <= frame.length, 'expected a whole block');
  expect(size <= state.blockMost, 'expected a smaller block');
  if (kind === 2) {
    compressedBlock(state, frame.subarray(at, end));
    return end;
  }
  expect(state.at + size <= out.length, 'expected less content');
  if (kind === 0) out.set(frame.subarray(at, end), state.at);
  else out.fill(frame[at], state.at, state.at + size);
  state.at += size;
  return end;
}

function compressedBlock(state, bytes) {
  expect(bytes.length >= 2, 'expected a longer block');
  const [literals, at] = literalsSection(state, bytes);
  sequences(state, literals, bytes.subarray(at));
}

// Literals: RFC 8878, section 3.1.1.3.1. Return them and where the sequences begin.
function literalsSection(state, bytes) {
  const kind = bytes[0] & 3;
  const form = (bytes[0] >> 2) & 3;
  const raw = kind < 2;
  const headerBytes = raw ? [1, 2, 1, 3][form] : [3, 3, 4, 5][form];
  expect(headerBytes <= bytes.length, 'expected a header of literals');
  let header = 0;
  for (let k = headerBytes - 1; k >= 0; k--) header = header * 256 + bytes[k];
  const sizeBits = raw ? [5, 12, 5, 20][form] : [10, 10, 14, 18][form];
  header = Math.floor(header / (raw && headerBytes === 1 ? 8 : 16));
  const size = header % 2 ** sizeBits;
  expect(size <= state.blockMost, 'expected fewer literals');
  if (raw) {
    const end = headerBytes + (kind === 0 ? size : 1);
    expect(end <= bytes.length, 'expected all literals');
    return [
      kind === 0
        ? bytes.subarray(headerBytes, end)
        : new Uint8Array(size).fill(bytes[headerBytes]),
      end,
    ];
  }
  const end = headerBytes + Math.floor(header / 2 ** sizeBits);
  expect(end <= bytes.length, 'expected all literals');
  let coded = bytes.subarray(headerBytes, end);
  if (kind === 2) {
    const [huffman, used] = huffmanTable(coded);
    state.huffman = huffman;
    coded = coded.subarray(used);
  }
  expect(state.huffman, 'expected a Huffman table');
  expect(size > 0, 'expected literals');
  return [huffmanLiterals(state.huffman, coded, size, form > 0), end];
}

function huffmanLiterals(huffman, coded, size, inFour) {
  const literals = new Uint8Array(size);
  if (!inFour) {
    huffmanStream(huffman, coded, literals);
    return literals;
  }
  expect(size >= 6 && coded.length >= 10, 'expected four streams of literals');
  const share = (size + 3) >> 2;
  let at = 6;
  for (let k = 0; k < 4; k++) {
    const end = k < 3 ? at + (coded[2 * k] | (coded[2 * k + 1] << 8)) : coded.length;
    expect(end <= coded.length, 'expected four streams of literals');
    huffmanStream(huffman, coded.subarray(at, end), literals.subarray(k * share, (k + 1) * share));
    at = end;
  }
  return literals;
}

function huffmanStream({ bits, symbols, lengths }, coded, out) {
  const stream = new BackwardBits(coded);
  for (let k = 0; k < out.length; k++) {
    const code = stream.peek(bits);
    out[k] = symbols[code];
    stream.left -= lengths[code];
    expect(stream.left >= 0, 'expected more bits of literals');
  }
  expect(stream.left === 0, 'expected fewer bits of literals');
}

// Return a table of all codes, and how many bytes its description has.
function huffmanTable(bytes) {
  expect(bytes.length > 0, 'expected a Huffman table');
  const head = bytes[0];
  const used = 1 + (head < 128 ? head : (head - 126) >> 1);
  expect(used <= bytes.length, 'expected a whole Huffman table');
  const coded = bytes.subarray(1, used);
  const weights =
    head < 128
      ? huffmanWeights(coded)
      : Array.from({ length: head - 127 }, (_, k) => (k & 1 ? coded[k >> 1] & 15 : coded[k >> 1] >> 4));
  expect(Math.max(...weights) <= HUFFMAN_BITS, 'expected smaller Huffman weights');
  const total = weights.reduce((sum, weight) => sum + (weight && 1 << (weight - 1)), 0);
  expect(total > 0, 'expected Huffman weights');
  const bits = 32 - Math.clz32(total);
  expect(bits <= HUFFMAN_BITS, 'expected shorter Huffman codes');
  const rest = (1 << bits) - total;
  expect((rest & (rest - 1)) === 0, 'expected Huffman codes that fill their tree');
  weights.push(32 - Math.clz32(rest));
  const ones = weights.filter((weight) => weight === 1).length;
  expect(ones >= 2 && ones % 2 === 0, 'expected Huffman codes in pairs');
  const symbols = new Uint8Array(1 << bits);
  const lengths = new Uint8Array(1 << bits);
  let at = 0;
  for (let weight = 1; weight <= bits; weight++) {
    weights.forEach((each, symbol) => {
      if (each !== weight) return;
      const end = at + (1 << (weight - 1));
      symbols.fill(symbol, at, end);
      lengths.fill(bits + 1 - weight, at, end);
      at = end;
    });
  }
  return [{ bits, symbols, lengths }, used];
}

// Two states take turns until the bits are at an end.
function huffmanWeights(bytes) {
  const [table, used] = fseTable(bytes, 255, WEIGHT_LOG);
  const stream = new BackwardBits(bytes.subarray(used));
  const states = [stream.read(table.log), stream.read(table.log)];
  const weights = [];
  for (let turn = 0; ; turn ^= 1) {
    const state = states[turn];
    weights.push(table.symbols[state]);
    states[turn] = table.bases[state] + stream.read(table.bits[state]);
    expect(weights.length < 255, 'expected fewer Huffman weights');
    if (stream.left < 0) {
      weights.push(table.symbols[states[turn ^ 1]]);
      return weights;
    }
  }
}

// Sequences: RFC 8878, section 3.1.1.3.2.

// The smallest value and the further bits of each code, of lengths of literals and of matches.
const LITERAL_LENGTHS = codes(0, [
  ...Array(16).fill(0), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
]);
const MATCH_LENGTHS = codes(3, [
  ...Array(32).fill(0), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
]);
const OFFSETS = codes(1, Array.from({ length: 32 }, (_, code) => code));

function codes(first, bits) {
  const bases = [];
  for (const count of bits) {
    bases.push(first);
    first += 2 ** count;
  }
  return { bases, bits };
}

// What there is of each kind of code, in the order of a block.
const KINDS = [
  {
    log: 9,
    ...LITERAL_LENGTHS,
    normal: [6, [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1,
      1, 1, 1, 1, -1, -1, -1, -1]],
  },
  {
    log: 8,
    ...OFFSETS,
    normal: [5, [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1,
      -1, -1]],
  },
  {
    log: 9,
    ...MATCH_LENGTHS,
    normal: [6, [1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1]],
  },
];

function sequences(state, literals, bytes) {
  const [count, at] = sequenceCount(bytes);
  if (count === 0) {
    expect(at === bytes.length, 'expected no bytes behind a block without sequences');
    append(state, literals);
    return;
  }
  const used = sequenceTables(state, bytes, at);
  const stream = new BackwardBits(bytes.subarray(used));
  const states = state.tables.map((table) => stream.read(table.log));
  let taken = 0;
  for (let n = 0; n < count; n++) {
    const found = states.map((each, k) => state.tables[k].symbols[each]);
    const value = (k) => KINDS[k].bases[found[k]] + stream.read(KINDS[k].bits[found[k]]);
    const offsetValue = value(1);
    const match = value(2);
    const length = value(0);
    expect(taken + length <= literals.length, 'expected more literals');
    append(state, literals.subarray(taken, taken + length));
    taken += length;
    copyMatch(state, offsetOf(state.offsets, offsetValue, length), match);
    if (n === count - 1) break;
    for (const k of [0, 2, 1]) {
      const table = state.tables[k];
      states[k] = table.bases[states[k]] + stream.read(table.bits[states[k]]);
    }
  }
  expect(stream.left === 0, 'expected all bits of the sequences to be taken');
  append(state, literals.subarray(taken));
}

function sequenceCount(bytes) {
  expect(bytes.length > 0, 'expected sequences');
  const first = bytes[0];
  const header = first < 128 ? 1 : first < 255 ? 2 : 3;
  expect(header <= bytes.length, 'expected sequences');
  if (header === 1) return [first, 1];
  if (header === 2) return [((first - 128) << 8) + bytes[1], 2];
  return [(bytes[1] | (bytes[2] << 8)) + 0x7f00, 3];
}

// Find the three tables of a block; return where its bits begin.
function sequenceTables(state, bytes, at) {
  expect(at < bytes.length, 'expected tables of sequences');
  const modes = bytes[at++];
  expect((modes & 3) === 0, 'expected reserved bits of 0');
  KINDS.forEach((kind, k) => {
    const mode = (modes >> (6 - 2 * k)) & 3;
    if (mode === 0) {
      state.tables[k] = fseSpread(...kind.normal);
    } else if (mode === 1) {
      const symbol = bytes[at++];
      expect(symbol < kind.bits.length, 'expected a code that there is');
      state.tables[k] = { log: 0, symbols: [symbol], bits: [0], bases: [0] };
    } else if (mode === 2) {
      const [table, used] = fseTable(bytes.subarray(at), kind.bits.length - 1, kind.log);
      state.tables[k] = table;
      at += used;
    }
    expect(state.tables[k], 'expected a table before it is used again');
  });
  return at;
}

function offsetOf(recent, value, literals) {
  if (value > 3) {
    recent.unshift(value - 3);
    recent.pop();
    return recent[0];
  }
  const index = value - (literals ? 1 : 0);
  const offset = index === 3 ? recent[0] - 1 : recent[index];
  if (index > 0) {
    recent.splice(Math.min(index, 2), 1);
    recent.unshift(offset);
  }
  return offset;
}

function append(state, bytes) {
  expect(state.at + bytes.length <= state.out.length, 'expected less content');
  state.out.set(bytes, state.at);
  state.at += bytes.length;
}

function copyMatch(state, offset, length) {
  const { out, at } = state;
  expect(offset > 0 && offset <= at, 'expected a match within the content');
  expect(at + length <= out.length, 'expected less content');
  for (let k = at; k < at + length; k++) out[k] = out[k - offset];
  state.at += length;
}

// Finite state entropy: RFC 8878, section 4.1.

// Return the table that bytes describe, and how many they are.
function fseTable(bytes, mostSymbol, mostLog) {
  let position = 0;
  const read = (count) => {
    let value = 0;
    for (let k = 0; k < count; k++) {
      value |= (((bytes[(position + k) >> 3] ?? 0) >> ((position + k) & 7)) & 1) << k;
    }
    return value;
  };
  const log = read(4) + MIN_TABLE_LOG;
  position = 4;
  expect(log <= mostLog, 'expected a smaller table');
  const counts = [];
  let left = 1 << log;
  while (left > 0) {
    expect(counts.length <= mostSymbol, 'expected fewer symbols');
    // Values up to `left + 1`: the small ones have a bit less.
    const bits = 32 - Math.clz32(left + 1);
    const short = (1 << bits) - 2 - left;
    let value = read(bits);
    const low = value & ((1 << (bits - 1)) - 1);
    if (low < short) {
      value = low;
      position += bits - 1;
    } else {
      if (value >= 1 << (bits - 1)) value -= short;
      position += bits;
    }
    counts.push(value - 1);
    left -= Math.abs(value - 1);
    if (value !== 1) continue;
    for (let repeat = 3; repeat === 3; ) {
      repeat = read(2);
      position += 2;
      for (let k = 0; k < repeat; k++) counts.push(0);
      expect(counts.length <= mostSymbol, 'expected fewer symbols');
    }
  }
  const used = (position + 7) >> 3;
  expect(left === 0 && used <= bytes.length, 'expected a table that is whole');
  return [fseSpread(log, counts), used];
}

// Spread symbols over the states: those of probability "less than 1" take the last states.
function fseSpread(log, counts) {
  const size = 1 << log;
  const symbols = new Uint8Array(size);
  let high = size;
  counts.forEach((count, symbol) => {
    if (count < 0) symbols[--high] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  counts.forEach((count, symbol) => {
    for (let k = 0; k < count; k++) {
      symbols[at] = symbol;
      do at = (at + step) & (size - 1);
      while (at >= high);
    }
  });
  const next = counts.map(Math.abs);
  const bits = new Uint8Array(size);
  const bases = new Uint16Array(size);
  for (let k = 0; k < size; k++) {
    const state = next[symbols[k]]++;
    bits[k] = log - (31 - Math.clz32(state));
    bases[k] = (state << bits[k]) - size;
  }
  return { log, symbols, bits, bases };
}

// Bits from the end of some bytes to their beginning; those before it are 0.
class BackwardBits {
  constructor(bytes) {
    const last = bytes[bytes.length - 1];
    expect(last, 'expected bits that end with a 1');
    this.bytes = bytes;
    this.left = 8 * bytes.length - 1 - Math.clz32(last) + 24;
  }

  peek(count) {
    const { bytes } = this;
    let value = 0;
    let position = this.left - count;
    for (let got = 0; got < count; ) {
      const bit = position & 7;
      const some = Math.min(8 - bit, count - got);
      const byte = position < 0 ? 0 : bytes[position >> 3];
      value += ((byte >> bit) & ((1 << some) - 1)) * 2 ** got;
      got += some;
      position += some;
    }
    return value;
  }

  read(count) {
    const value = this.peek(count);
    this.left -= count;
    return value;
  }
}
