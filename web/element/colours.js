/** Which colours an ICC profile means, as far as a canvas can show them. */

const SRGB = [0.4361, 0.2225, 0.0139, 0.3851, 0.7169, 0.0971, 0.1431, 0.0606, 0.7141];
const DISPLAY_P3 = [0.5151, 0.2412, -0.0011, 0.2919, 0.6922, 0.0419, 0.1572, 0.0666, 0.7841];
/** Columns of profiles for these spaces: X, Y, Z of red, green and blue, adapted to D50. */
const KNOWN = { srgb: SRGB, 'display-p3': DISPLAY_P3 };
const NEAR = 0.003;
/** sRGB's curve at a half, within what a gamma of 2.2 differs from it. */
const CURVE_AT_HALF = [0.205, 0.225];

/**
 * Return 'srgb', 'display-p3' or, for any other profile, null. Without a profile, and for grey,
 * that is 'srgb'. A profile that cannot be read is another one.
 */
export function colourSpace(icc, channels) {
  if (!icc) return 'srgb';
  try {
    const tags = tagsOf(icc);
    if (channels < 3) return isCurveKnown(tags.get('kTRC')) ? 'srgb' : null;
    const columns = ['rXYZ', 'gXYZ', 'bXYZ'].flatMap((name) => xyz(tags.get(name)));
    if (!['rTRC', 'gTRC', 'bTRC'].every((name) => isCurveKnown(tags.get(name)))) return null;
    return Object.keys(KNOWN).find((name) => isNear(columns, KNOWN[name])) ?? null;
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return null;
    throw error;
  }
}

/** Return a profile's tags, each a DataView, by their names. */
function tagsOf(icc) {
  const view = new DataView(icc.buffer, icc.byteOffset, icc.byteLength);
  const tags = new Map();
  for (let k = 0; k < view.getUint32(128); k++) {
    const at = 132 + 12 * k;
    const name = String.fromCharCode(...icc.subarray(at, at + 4));
    const [start, length] = [view.getUint32(at + 4), view.getUint32(at + 8)];
    tags.set(name, new DataView(icc.buffer, icc.byteOffset + start, length));
  }
  return tags;
}

function xyz(tag) {
  return [8, 12, 16].map((at) => tag.getInt32(at) / 65536);
}

/** Tell whether a tone curve is sRGB's, or near to it. */
function isCurveKnown(tag) {
  const value = atHalf(tag);
  return value >= CURVE_AT_HALF[0] && value <= CURVE_AT_HALF[1];
}

function atHalf(tag) {
  const kind = String.fromCharCode(...[0, 1, 2, 3].map((at) => tag.getUint8(at)));
  if (kind === 'para') return parametric(tag, 0.5);
  const count = tag.getUint32(8);
  if (count === 0) return 0.5;
  if (count === 1) return 0.5 ** (tag.getUint16(12) / 256);
  const sample = (k) => tag.getUint16(12 + 2 * k) / 65535;
  const middle = (count - 1) / 2;
  return (sample(Math.floor(middle)) + sample(Math.ceil(middle))) / 2;
}

/** Evaluate a parametric curve above its linear part: (a x + b) ** g + e. */
function parametric(tag, x) {
  const kind = tag.getUint16(8);
  const parameter = (k) => tag.getInt32(12 + 4 * k) / 65536;
  const g = parameter(0);
  if (kind === 0) return x ** g;
  const [a, b] = [parameter(1), parameter(2)];
  const offset = kind === 2 ? parameter(3) : kind === 4 ? parameter(5) : 0;
  return (a * x + b) ** g + offset;
}

function isNear(columns, known) {
  return columns.every((value, k) => Math.abs(value - known[k]) < NEAR);
}
