// The weights section -> integers and steps of all tensors: docs/FORMAT.md, section 4.

import { Cursor } from './cursor.js';
import { SirenError } from './errors.js';
import { SPREAD_OF_ONE } from './prior.js';
import { RangeDecoder } from './range.js';
import { reach, SCALES, unzigzag, weightTable } from './tables.js';
import { decompress } from './zstd.js';

const LEAST_EXPONENT = -24;
const MOST_EXPONENT = 7;
const MAX_MAGNITUDE = 32767;
const UNMOVED = 0xff;
const ZSTD = 1;
const RANGE = 2;

// Return {values, exponent} for each [rows, columns] of `shapes`; `expected` is what the prior says
// of them, or null.
export function unpackWeights(payload, shapes, expected) {
  const cursor = new Cursor(payload);
  const coder = cursor.byte();
  if (coder !== ZSTD && coder !== RANGE) {
    throw new SirenError(`weights: expected a coder of 1 or 2, found ${coder}`);
  }
  const tensors = readSteps(cursor.take(shapes.length), shapes, expected);
  const moved = tensors.filter((tensor) => tensor.moved);
  if (coder === ZSTD) readZstd(cursor, moved);
  else readRange(cursor, moved);
  return tensors.map((tensor) => {
    if (!tensor.moved) return tensor.expected;
    return tensor.expected ? sum(tensor) : { values: tensor.values, exponent: tensor.exponent };
  });
}

function readSteps(bytes, shapes, expected) {
  return shapes.map(([rows, columns], index) => {
    const prior = expected?.[index];
    if (prior && bytes[index] === UNMOVED) return { moved: false, expected: prior };
    const exponent = bytes[index] + LEAST_EXPONENT;
    const least = prior ? prior.exponent : LEAST_EXPONENT;
    if (exponent < least || exponent > MOST_EXPONENT) {
      throw new SirenError(
        `weights: expected a step of 2^${least} to 2^${MOST_EXPONENT}, found 2^${exponent}`,
      );
    }
    return { moved: true, expected: prior, exponent, values: new Int32Array(rows * columns) };
  });
}

function readZstd(cursor, tensors) {
  const planes = cursor.byte();
  if (planes !== 1 && planes !== 2) {
    throw new SirenError(`weights: expected 1 or 2 byte planes, found ${planes}`);
  }
  const count = tensors.reduce((total, { values }) => total + values.length, 0);
  const bytes = decompress(cursor.take(cursor.left), planes * count);
  if (planes === 2 && bytes.subarray(count).every((byte) => byte === 0)) {
    throw new SirenError('weights: expected 1 byte plane, for the second is empty; found 2');
  }
  let at = 0;
  for (const { values } of tensors) {
    for (let k = 0; k < values.length; k++, at++) {
      values[k] = unzigzag(planes === 2 ? bytes[at] + 256 * bytes[count + at] : bytes[at]);
      if (values[k] < -MAX_MAGNITUDE) {
        throw new SirenError(`weights: expected magnitudes to ${MAX_MAGNITUDE}, found 32768`);
      }
    }
  }
}

function readRange(cursor, tensors) {
  const tables = cursor.take(tensors.length);
  const wrong = tables.find((table) => table >= 128);
  if (wrong) throw new SirenError(`weights: expected a table below 128, found ${wrong}`);
  const decoder = new RangeDecoder(cursor.take(cursor.left));
  tensors.forEach((tensor, index) => {
    const { values } = tensor;
    const indices = scaleIndices(tensor, tables[index] % SCALES);
    // A stable order: that of the scale indices, and within one that of the tensor.
    const order = Array.from(values.keys()).sort((a, b) => indices[a] - indices[b]);
    for (const k of order) {
      const table = weightTable(tables[index] >> 6, indices[k]);
      values[k] = decoder.symbol(table) - reach(indices[k]);
    }
  });
  decoder.finish();
}

function scaleIndices({ values, expected, exponent }, shift) {
  if (!expected) return new Int32Array(values.length).fill(shift);
  const base = 8 - SPREAD_OF_ONE - 4 * exponent + shift - 32;
  return Int32Array.from(expected.spreads, (spread) =>
    Math.min(Math.max(spread + base, 0), SCALES - 1),
  );
}

// What the prior says and the difference from it together.
function sum({ values, exponent, expected }) {
  const every = values.reduce((bits, value) => bits | value, 0);
  if (every === 0 || (every % 2 === 0 && exponent < MOST_EXPONENT)) {
    throw new SirenError('weights: expected an odd difference, for the step is too small');
  }
  const step = 2 ** (exponent - expected.exponent);
  const sums = new Int32Array(values.length);
  for (let k = 0; k < values.length; k++) {
    const total = expected.values[k] + values[k] * step;
    if (Math.abs(total) > 0x7fffffff) {
      throw new SirenError('weights: expected sums that fit into 32 bits');
    }
    sums[k] = total;
  }
  return { values: sums, exponent: expected.exponent };
}

// The real tensor, exact.
export function dequantise({ values, exponent }) {
  return Float64Array.from(values, (value) => value * 2 ** exponent);
}
