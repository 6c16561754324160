// The `.siren` container: docs/FORMAT.md, sections 1 to 3. Everything is checked before anything
// is allocated.

import { Architecture, NEIGHBOURS, symbolsOf } from './architecture.js';
import { crc32 } from './crc32.js';
import { Cursor } from './cursor.js';
import { SirenError } from './errors.js';
import { layerLevels } from './latents.js';
import { checkPrior } from './prior.js';

const MAGIC = [0x89, 0x53, 0x52, 0x4e];
const VERSION = 1;
const CRC_LENGTH = 4;
const WEIGHTS = 0x01;
const ALPHA = 0x02;
const FIRST_LAYER = 0x10;
const LAST_LAYER = 0x19;
const ANCILLARY = 0x80;
const METADATA = { 0x83: 'icc', 0xa0: 'exif', 0xa1: 'xmp' };
const METADATA_BYTES = 16 * 2 ** 20;
const SYMBOLS_PER_PIXEL = 4;
const SYMBOLS_OF_ANY = 4096;

export const LIMITS = { pixels: 89_478_485, multiplyAdds: 2 ** 42, fileBytes: 64 * 2 ** 20 };

// Whether bytes end with the checksum of all before them: nothing is cut off.
export function isWhole(bytes) {
  const end = bytes.length - CRC_LENGTH;
  if (end <= 0) return false;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(end, true) === crc32(bytes, end);
}

// Return the id of the prior that a file names, or null; undefined if its bytes do not reach there.
export function priorNamed(bytes) {
  const cursor = new Cursor(bytes);
  try {
    checkMagic(cursor, MAGIC.length + 1);
    cursor.varint();
    cursor.varint();
    return cursor.byte() & 8 ? cursor.byte() : null;
  } catch {
    return undefined;
  }
}

// Return a file's {header, weights, alpha, layers, metadata}, checked but not unpacked. `whole` is
// what isWhole says, `priorOf` returns the Prior of an id. With `partial`, a file whose end is
// missing gives those of its sections that are whole.
export function parse(bytes, { limits, priorOf, whole, partial }) {
  if (bytes.length > limits.fileBytes) {
    throw new SirenError(`expected at most ${limits.fileBytes} bytes, found ${bytes.length}`);
  }
  const cursor = new Cursor(bytes);
  checkMagic(cursor, MAGIC.length + 1 + CRC_LENGTH);
  if (whole) cursor.bytes = bytes.subarray(0, bytes.length - CRC_LENGTH);
  else if (!partial) throw new SirenError('corrupt or truncated: expected another checksum');
  const header = readHeader(cursor, priorOf);
  checkHeader(header, limits);
  const sections = readSections(cursor, header, !whole);
  checkSections(header, sections, !whole);
  if (!whole && isComplete(header, sections) && isChecksum(cursor, sections)) {
    throw new SirenError('corrupt or truncated: expected another checksum');
  }
  return { header, ...named(header, sections, limits) };
}

function checkMagic(cursor, least) {
  const found = cursor.bytes.subarray(0, MAGIC.length);
  if (MAGIC.some((byte, k) => byte !== found[k])) {
    throw new SirenError('expected a .siren file, found other bytes');
  }
  if (cursor.bytes.length < least) throw new SirenError(`truncated: expected ${least} bytes`);
  cursor.position = MAGIC.length;
  const version = cursor.byte();
  if (version !== VERSION) {
    throw new SirenError(`expected version ${VERSION}, found ${version}`);
  }
}

// The sections by what they are, `layers` as {payload, levels}.
function named(header, sections, limits) {
  const payloads = layersOf(sections);
  const levels = layerLevels(payloads, header.architecture.features);
  const finest = levels.length ? levels[levels.length - 1][0] : 0;
  checkWork(header, finest, limits);
  const metadata = {};
  for (const [id, name] of Object.entries(METADATA)) {
    if (sections.has(+id)) metadata[name] = sections.get(+id).slice();
  }
  return {
    weights: sections.get(WEIGHTS),
    alpha: sections.get(ALPHA),
    layers: payloads.map((payload, k) => ({ payload, levels: levels[k] })),
    metadata,
  };
}

// The header

function readHeader(cursor, priorOf) {
  const [width, height, samples] = [cursor.varint(), cursor.varint(), cursor.byte()];
  if (samples >= 0x20) {
    throw new SirenError(`expected reserved bits of 0 in the sample format, found ${samples}`);
  }
  const channels = (samples & 3) + 1;
  const apart = (samples & 0x10) !== 0;
  if (apart && channels % 2) {
    throw new SirenError(`alpha apart: expected 2 or 4 channels, found ${channels}`);
  }
  const outputs = channels - (apart ? 1 : 0);
  const header = { width, height, channels, depth: samples & 4 ? 16 : 8, alpha: apart, prior: null };
  if ((samples & 8) === 0) {
    return { ...header, architecture: readArchitecture(cursor, outputs) };
  }
  const id = cursor.byte();
  const hash = Array.from(cursor.take(4), (byte) => byte.toString(16).padStart(2, '0')).join('');
  checkPrior(id, hash);
  const quality = cursor.byte();
  if (quality < 1 || quality > 100) {
    throw new SirenError(`quality: expected 1 to 100, found ${quality}`);
  }
  if (outputs % 2 === 0) {
    throw new SirenError(`prior ${id}: expected 1 or 3 channels, found ${outputs}`);
  }
  return { ...header, architecture: priorOf(id).architecture(outputs), prior: { id, quality } };
}

function readArchitecture(cursor, channels) {
  const [layers, width] = [cursor.byte(), cursor.varint()];
  const [firstOmega, omega] = [cursor.varint() / 4, cursor.varint() / 4];
  const features = [...cursor.take(cursor.byte())];
  const [neighbours, contextFeatures] = features.length ? cursor.take(2) : [0, 0];
  return new Architecture({
    channels, layers, width, firstOmega, omega, features, neighbours, contextFeatures,
  });
}

function checkHeader(header, limits) {
  const { width, height, architecture: network } = header;
  const some = network.features.length ? 1 : 0;
  const ranges = [
    ['width', width, 1, 65535],
    ['height', height, 1, 65535],
    ['hidden layers', network.layers, 1, 16],
    ['hidden features', network.width, 1, 512],
    ['first omega_0', network.firstOmega, 0.25, 4096],
    ['omega_0', network.omega, 0.25, 4096],
    ['levels', network.features.length, 0, 10],
    ...network.features.map((count) => ['features of a level', count, 0, 16]),
    ['latent grids', network.grids, some, 32],
    ['neighbours', network.neighbours, some, some * NEIGHBOURS.length],
    ['context features', network.contextFeatures, some, some * 64],
  ];
  for (const [name, value, least, most] of ranges) {
    if (value < least || value > most) {
      throw new SirenError(`${name}: expected ${least} to ${most}, found ${value}`);
    }
  }
  if (width * height > limits.pixels) {
    throw new SirenError(`${width}x${height}: expected at most ${limits.pixels} pixels`);
  }
  const most = SYMBOLS_PER_PIXEL * width * height + SYMBOLS_OF_ANY;
  const symbols = symbolsOf(network, width, height);
  if (symbols > most) {
    throw new SirenError(`latents: expected at most ${most} integers, found ${symbols}`);
  }
}

function checkWork({ width, height, architecture }, finest, limits) {
  const work = symbolsOf(architecture, width, height, finest) * architecture.contextMultiplyAdds;
  if (work > limits.multiplyAdds) {
    throw new SirenError(
      `latents: expected at most ${limits.multiplyAdds} multiply-adds, found ${work}`,
    );
  }
}

// Sections

function readSections(cursor, header, cut) {
  const sections = new Map();
  let last = 0;
  while (cursor.left) {
    if (cut && cursor.left <= CRC_LENGTH && isComplete(header, sections)) break;
    if (cut && !fits(cursor)) break;
    const [id, length] = [cursor.byte(), cursor.varint()];
    checkSection(id, length, last);
    sections.set(id, cursor.take(length));
    last = id;
  }
  return sections;
}

// Whether the section that the cursor is at is whole.
function fits(cursor) {
  const ahead = new Cursor(cursor.bytes, cursor.position + 1);
  try {
    return ahead.varint() <= ahead.left;
  } catch {
    return false;
  }
}

function orderOf(id) {
  return id & ~ANCILLARY;
}

function checkSection(id, length, last) {
  if (orderOf(id) <= orderOf(last)) {
    throw new SirenError(`expected a section above ${last}, found ${id}`);
  }
  const known = id === WEIGHTS || id === ALPHA || (id >= FIRST_LAYER && id <= LAST_LAYER);
  if (id < ANCILLARY && !known) {
    throw new SirenError(`expected a section that version 1 knows, found ${id}`);
  }
  if (id >= ANCILLARY && length > METADATA_BYTES) {
    throw new SirenError(`section ${id}: expected at most ${METADATA_BYTES} bytes, found ${length}`);
  }
}

function layersOf(sections) {
  const ids = [...sections.keys()].filter((id) => id >= FIRST_LAYER && id <= LAST_LAYER);
  return ids.map((id) => sections.get(id));
}

function checkSections(header, sections, cut) {
  if (!sections.has(WEIGHTS)) throw new SirenError('expected a weights section, found none');
  if (sections.has(ALPHA) !== header.alpha) {
    throw new SirenError(`alpha section: expected ${header.alpha ? 'one' : 'none'}`);
  }
  const { features } = header.architecture;
  const layers = layersOf(sections);
  if (layers.length > 0 !== features.length > 0) {
    throw new SirenError(`layers of latents: expected ${features.length ? 'some' : 'none'}`);
  }
  if (layers.some((_, index) => !sections.has(FIRST_LAYER + index))) {
    throw new SirenError('layers of latents: expected all ids from 0x10 on, found a gap');
  }
  const levels = layerLevels(layers, features);
  if (!cut && levels.length && levels[levels.length - 1][0] > 0) {
    throw new SirenError('layers of latents: expected all levels, found not all');
  }
}

// Whether the sections have all that makes the picture.
function isComplete(header, sections) {
  if (!sections.has(WEIGHTS) || (header.alpha && !sections.has(ALPHA))) return false;
  const layers = layersOf(sections);
  return !header.architecture.features.length || layers[layers.length - 1]?.[0] === 0;
}

// Whether all that is left after the sections is a checksum, and no other section.
function isChecksum(cursor, sections) {
  if (cursor.left !== CRC_LENGTH) return false;
  const next = cursor.bytes[cursor.position];
  return !(next in METADATA) || orderOf(next) <= Math.max(...[...sections.keys()].map(orderOf));
}
