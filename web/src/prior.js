// The prior, the weights that pictures have in common: docs/FORMAT.md, section 9. Its file here is
// made of siren_codec's by web/priors.py: little-endian integers, packed by zlib.

import { Architecture } from './architecture.js';
import { Cursor } from './cursor.js';
import { SirenError } from './errors.js';
import { PRIORS } from './priors.js';

export const SPREAD_OF_ONE = 128;
const SPACING = 32; // qualities from knot to knot
const ROOTS = [
  65536, 68438, 71468, 74632, 77936, 81386, 84990, 88752,
  92682, 96785, 101070, 105545, 110218, 115098, 120194, 125515,
];

// Refuse a prior that there is not, or another one of its id.
export function checkPrior(id, hash) {
  const known = PRIORS[id]?.hash;
  if (!known) {
    throw new SirenError(`prior: expected one of ${Object.keys(PRIORS)}, found ${id}`);
  }
  if (known !== hash) {
    throw new SirenError(`prior ${id}: expected the hash ${known}, found ${hash}`);
  }
}

export class Prior {
  // Return the prior of prior-ID.bin, whose `bytes` these are.
  static async read(id, bytes) {
    const known = PRIORS[id].bytes;
    if (bytes.length !== known) {
      throw new SirenError(`prior-${id}.bin: expected ${known} bytes, found ${bytes.length}`);
    }
    const content = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
    try {
      return new Prior(new Uint8Array(await new Response(content).arrayBuffer()));
    } catch {
      throw new SirenError(`prior-${id}.bin: expected another file`);
    }
  }

  constructor(content) {
    const cursor = new Cursor(content);
    const int32 = () => {
      const four = cursor.take(4);
      return four[0] | (four[1] << 8) | (four[2] << 16) | (four[3] << 24);
    };
    const [layers, width, first, other, neighbours, contextFeatures] = Array.from(
      { length: 6 },
      int32,
    );
    this.network = {
      layers,
      width,
      firstOmega: first / 4,
      omega: other / 4,
      features: [...cursor.take(cursor.byte())],
      neighbours,
      contextFeatures,
    };
    this.firstKnot = int32();
    const knots = cursor.byte();
    this.tensors = this.architecture(3).tensorShapes.map(([rows, columns]) => {
      const exponent = (cursor.byte() << 24) >> 24;
      const size = rows * columns;
      const values = Array.from({ length: knots }, () => readPlanes(cursor, size));
      return { exponent, values, spreads: cursor.take(size) };
    });
  }

  architecture(channels) {
    return new Architecture({ ...this.network, channels });
  }

  // What to expect of each tensor, {values, exponent, spreads}, for 1 or 3 channels.
  expect(channels, quality) {
    const { tensorShapes: shapes, grids, layers } = this.architecture(3);
    return this.tensors.map((tensor, index) => {
      const [rows, columns] = shapes[index];
      const grown = index === 0 || index === 2 * layers ? columns - grids : columns;
      const values = between(tensor.values, quality - this.firstKnot).map((v, at) =>
        at % columns < grown ? rounded(v, 65536, 21) : growing(v, quality),
      );
      const { exponent, spreads } = tensor;
      if (channels === 3 || index >> 1 !== layers) return { values, exponent, spreads };
      const size = (rows * columns) / 3;
      return {
        values: values
          .subarray(0, size)
          .map((red, k) => (red + 2 * values[size + k] + values[2 * size + k] + 2) >> 2),
        exponent,
        spreads: spreads.subarray(size, 2 * size),
      };
    });
  }
}

// Integers of 32 bits, a plane for each of their bytes: these are packed better.
function readPlanes(cursor, size) {
  const values = new Int32Array(size);
  for (let shift = 0; shift < 32; shift += 8) {
    const plane = cursor.take(size);
    for (let k = 0; k < size; k++) values[k] |= plane[k] << shift;
  }
  return values;
}

// 32 times what lies at a position between the knots.
function between(values, position) {
  const at = Math.min(Math.max(position, 0), SPACING * (values.length - 1));
  const knot = Math.floor(at / SPACING);
  const share = at % SPACING;
  const next = values[Math.min(knot + 1, values.length - 1)];
  return values[knot].map((value, k) => value * (SPACING - share) + next[k] * share);
}

function growing(v, quality) {
  const octaves = Math.floor((50 - quality) / 16);
  return rounded(v, ROOTS[50 - quality - 16 * octaves], 21 - octaves);
}

// floor((v factor + 2^(shift - 1)) / 2^shift)
function rounded(v, factor, shift) {
  return Math.floor((v * factor + 2 ** (shift - 1)) / 2 ** shift);
}
