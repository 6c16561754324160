// Frequency tables for the range coder, by c/tables.c: docs/FORMAT.md, section 5.

import { Memory } from './memory.js';

const SYMBOLS = 32;
export const SCALES = 64;
const FRACTIONS = 16;
const RESIDUAL_SCALES = 37;
const LARGEST = 32767;

const ROOTS = [1n << 64n, 0xd744fccad69d6af4n, 0xb504f333f9de6484n, 0x9837f0518db8a96fn];
const LOG2_E = 0x171547652b82fe177n;

// 2^64 2^(-j / 4)
function power(j) {
  const octaves = BigInt(Math.floor(j / 4));
  const root = ROOTS[j & 3];
  return octaves < 0n ? root << -octaves : root >> octaves;
}

// The largest magnitude that the table of a scale index codes.
export function reach(index) {
  return Math.min(LARGEST, Math.max(4, Number(power(8 - index) >> 60n)));
}

const weightTables = new Map();
let scratch = null;

// The cumulative frequencies C[0] to C[2 reach + 1] of weights; family 0 is Laplace, 1 Gaussian.
export function weightTable(family, index) {
  const key = family * SCALES + index;
  if (!weightTables.has(key)) weightTables.set(key, makeWeightTable(family, index));
  return weightTables.get(key);
}

function makeWeightTable(family, index) {
  const most = reach(index);
  const rate = family
    ? (LOG2_E * power(2 * (index - 8))) >> 81n
    : (LOG2_E * power(index - 8)) >> 80n;
  scratch ??= new Memory();
  const mark = scratch.top;
  const at = scratch.reserve(4 * (2 * most + 2));
  scratch.exports.siren_weight_table(at, most, family, rate);
  scratch.top = mark;
  return new Uint32Array(scratch.buffer, at, 2 * most + 2).slice();
}

// Write the frequencies of residuals into a Memory, SYMBOLS for each of (scale index, fraction + 8);
// return where they are.
export function putResidualTables(memory) {
  const at = memory.reserve(4 * RESIDUAL_SCALES * FRACTIONS * SYMBOLS);
  for (let index = 0; index < RESIDUAL_SCALES; index++) {
    const rate = (LOG2_E * power(index - 20)) >> 80n;
    memory.exports.siren_residual_tables(at + 4 * index * FRACTIONS * SYMBOLS, rate);
  }
  return at;
}

// The integer of 0, 1, 2, 3, ...: 0, -1, 1, -2, ...
export function unzigzag(u) {
  return u % 2 ? -(u + 1) / 2 : u / 2;
}
