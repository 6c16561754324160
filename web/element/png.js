/** An ICC profile into a PNG. */

import { crc32 } from '../src/crc32.js';

const SIGNATURE = 8;
const LENGTH_AND_NAME = 8;
const CRC = 4;
/** Chunks that say what colours mean. */
const COLOURS = ['cHRM', 'gAMA', 'iCCP', 'sRGB', 'cICP'];

/** Return a PNG's Blob with a profile in the place of what it says of colours. */
export async function withProfile(png, profile) {
  const bytes = new Uint8Array(await png.arrayBuffer());
  const chunks = [...chunksOf(bytes)].filter(({ name }) => !COLOURS.includes(name));
  const [header, ...rest] = chunks.map(({ bytes }) => bytes);
  const iccp = chunk('iCCP', await profileData(profile));
  return new Blob([bytes.subarray(0, SIGNATURE), header, iccp, ...rest], { type: png.type });
}

function* chunksOf(bytes) {
  const view = new DataView(bytes.buffer);
  for (let at = SIGNATURE; at < bytes.length; ) {
    const end = at + LENGTH_AND_NAME + view.getUint32(at) + CRC;
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + LENGTH_AND_NAME));
    yield { name, bytes: bytes.subarray(at, end) };
    at = end;
  }
}

/** Return what an iCCP chunk holds: a name, the method 0, and the profile in a zlib stream. */
async function profileData(profile) {
  const packed = new Blob([profile]).stream().pipeThrough(new CompressionStream('deflate'));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  return new Uint8Array([...new TextEncoder().encode('ICC'), 0, 0, ...data]);
}

function chunk(name, data) {
  const bytes = new Uint8Array(LENGTH_AND_NAME + data.length + CRC);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, LENGTH_AND_NAME);
  const end = LENGTH_AND_NAME + data.length;
  view.setUint32(end, crc32(bytes.subarray(4, end)));
  return bytes;
}
