// Read files and say what they are, for tests/test_web_decoder.py.
//
//     node read.mjs FILES LIMITS PARTIAL
//
// FILES holds files, each after its length in 4 bytes; LIMITS are JSON. A line of JSON is printed
// for each: {refused} with the message of a SirenError, or what the file holds.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cellsOf } from '../../web/src/architecture.js';
import { Decoder } from '../../web/src/decoder.js';
import { SirenError } from '../../web/src/errors.js';
import { isWhole } from '../../web/src/format.js';

const [path, limits, partial] = process.argv.slice(2);
const priors = new Map();

function prior(id) {
  if (!priors.has(id)) {
    priors.set(id, readFileSync(new URL(`../../web/dist/prior-${id}.bin`, import.meta.url)));
  }
  return Promise.resolve(new Uint8Array(priors.get(id)));
}

// The SHA-256 of all integers, as tests/goldens.py defines it.
function digestOf({ tensors, field }) {
  const digest = createHash('sha256');
  const add = (integers) => digest.update(Buffer.from(Int32Array.from(integers).buffer));
  for (const { exponent, values } of tensors) {
    add([exponent]);
    add(values);
  }
  field.architecture.gridSources.forEach(({ level }, number) => {
    const cells = cellsOf(field.width, level) * cellsOf(field.height, level);
    add(field.grids[number] ?? new Int32Array(cells));
  });
  return digest.digest('hex');
}

async function read(bytes) {
  const decoder = new Decoder({
    limits: JSON.parse(limits), partial: partial === 'true', fetchPrior: prior, pause: async () => {},
  });
  const layers = [];
  for await (const { levels } of decoder.take(bytes, true)) layers.push(levels[0]);
  const { width, height, channels, depth, metadata, firstLevel, whole, alpha } = decoder.field;
  if (whole !== isWhole(bytes)) throw new Error('whole');
  const hex = (part) => Buffer.from(part).toString('hex');
  return {
    width, height, channels, depth, firstLevel, whole, layers,
    metadata: Object.fromEntries(Object.entries(metadata).map(([name, part]) => [name, hex(part)])),
    alpha: alpha && Array.from(alpha),
    digest: digestOf(decoder),
  };
}

const all = readFileSync(path);
for (let at = 0; at < all.length; ) {
  const length = all.readUInt32LE(at);
  const bytes = new Uint8Array(all.subarray(at + 4, at + 4 + length));
  at += 4 + length;
  let found;
  try {
    found = await read(bytes);
  } catch (error) {
    if (!(error instanceof SirenError)) throw error;
    found = { refused: error.message };
  }
  console.log(JSON.stringify(found));
}
