// Frequency tables for the range coder by integer arithmetic alone: docs/FORMAT.md, section 5.
// Integers beyond 2^53 are taken in parts; where there are few of them, they are BigInts.

export const ESCAPE = 31;
export const SYMBOLS = 32;
export const SCALES = 64;
const FRACTIONS = 16;
const RESIDUAL_SCALES = 37;
const TOTAL = 2 ** 24;
const LARGEST = 32767;

const ROOTS = [1n << 64n, 0xd744fccad69d6af4n, 0xb504f333f9de6484n, 0x9837f0518db8a96fn];
const LOG2_E = 0x171547652b82fe177n;

// 2^64 2^(-j / 4)
function power(j) {
  const octaves = BigInt(Math.floor(j / 4));
  const root = ROOTS[j & 3];
  return octaves < 0n ? root << -octaves : root >> octaves;
}

// 2^31 ratio^k for k = 0 to 255, of ratios that are 2^(-1/256), 2^(-1/256^2) and 2^(-1/256^3).
const FRACTION_TABLES = [0xff4ecb59511ec8a5n, 0xffff4e8e25879bfan, 0xffffff4e8de845adn].map(
  (ratio) => {
    let t = 1n << 64n;
    return Float64Array.from({ length: 256 }, () => {
      const entry = Number(t >> 33n);
      t = (t * ratio) >> 64n;
      return entry;
    });
  },
);

// (a b) >> 31 for integers up to 2^31.
function product31(a, b) {
  const high = Math.floor(b / 65536);
  return Math.floor((a * high + Math.floor((a * (b - high * 65536)) / 65536)) / 32768);
}

// 2^31 2^(-y / 2^24)
function weight(y) {
  const octaves = Math.floor(y / TOTAL);
  if (octaves >= 32) return 0;
  const [high, middle, low] = FRACTION_TABLES;
  const fraction = y % TOTAL;
  const upper = product31(high[fraction >> 16], middle[(fraction >> 8) & 255]);
  return Math.floor(product31(upper, low[fraction & 255]) / 2 ** octaves);
}

// Return n -> (n c) >> shift for n below 2^30, c being a BigInt; the result is below 2^53.
function multiplier(c, shift) {
  const half = BigInt(shift / 2);
  const mask = (1n << half) - 1n;
  const [low, middle, high] = [c & mask, (c >> half) & mask, c >> (2n * half)].map(Number);
  const unit = 2 ** (shift / 2);
  return (n) => n * high + Math.floor((n * middle + Math.floor((n * low) / unit)) / unit);
}

// The largest magnitude that the table of a scale index codes.
export function reach(index) {
  return Math.min(LARGEST, Math.max(4, Number(power(8 - index) >> 60n)));
}

const weightTables = new Map();

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
  const octaves = multiplier(rate, 24);
  const weights = new Float64Array(most + 1);
  for (let q = 0; q <= most; q++) weights[q] = weight(octaves(family ? q * q : q));
  const count = 2 * most + 1;
  const sums = new Float64Array(count + 1);
  for (let s = 0; s < count; s++) sums[s + 1] = sums[s] + weights[Math.abs(s - most)];
  const excess = 2 ** Math.max(0, sums[count].toString(2).length - 39);
  const total = Math.floor(sums[count] / excess);
  return Uint32Array.from(sums, (sum, s) => {
    return productOver(Math.floor(sum / excess), TOTAL - count, total) + s;
  });
}

// floor(a b / c) for a <= c < 2^39 and b < 2^24, in two digits of b.
function productOver(a, b, c) {
  const high = Math.floor(b / 4096);
  const first = Math.floor((a * high) / c);
  const rest = a * high - first * c;
  return first * 4096 + Math.floor((rest * 4096 + a * (b % 4096)) / c);
}

let residualTables = null;

// The frequencies of residuals, SYMBOLS for each of (scale index, fraction + 8).
export function residualFrequencies() {
  residualTables ??= makeResidualFrequencies();
  return residualTables;
}

function makeResidualFrequencies() {
  const table = new Uint32Array(RESIDUAL_SCALES * FRACTIONS * SYMBOLS);
  const below = new Float64Array(513);
  for (let index = 0; index < RESIDUAL_SCALES; index++) {
    const octaves = multiplier((LOG2_E * power(index - 20)) >> 80n, 28);
    // 2^32 times the mass below an edge in sixteenths, from -256 to 256.
    for (let n = 0; n <= 256; n++) {
      const tail = weight(octaves(n));
      below[256 - n] = tail;
      below[256 + n] = 2 ** 32 - tail;
    }
    for (let fraction = -8; fraction < 8; fraction++) {
      const row = (index * FRACTIONS + fraction + 8) * SYMBOLS;
      let sum = 0;
      let before = 0;
      for (let symbol = 0; symbol < SYMBOLS; symbol++) {
        const edge = 256 + 16 * unzigzag(symbol) - fraction;
        sum = symbol === ESCAPE ? 2 ** 32 : sum + below[edge + 8] - below[edge - 8];
        // (sum (2^24 - 32)) >> 32, without the product.
        const share = productOver(sum, TOTAL - SYMBOLS, 2 ** 32);
        table[row + symbol] = share - before + 1;
        before = share;
      }
    }
  }
  return table;
}

// The integer of 0, 1, 2, 3, ...: 0, -1, 1, -2, ...
export function unzigzag(u) {
  return u % 2 ? -(u + 1) / 2 : u / 2;
}
