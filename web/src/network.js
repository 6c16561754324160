// The SIREN's real weights, and its derivatives: docs/FORMAT.md, section 7.
//
// Planes are Float64Arrays with the values of all points for the first input, then for the next.

const BYPASS_SCALE = 1 / 8;

// cos(2 pi v) as a polynomial in v^2, for v from -1/2 to 1/2: right within 2e-10.
export const COSINE = [
  0.999999999884617, -19.739208743087502, 64.9393890524762, -85.45665775339239,
  60.24212492771494, -26.404630603916303, 7.800022165291011, -1.4529874920845032,
];

// The inputs of the first layer that are not 0 everywhere: x, y and the grids of a list of levels.
export function inputsSeen(levels) {
  return [0, 1, ...levels.flatMap(({ grids }) => grids.map(([input]) => input))];
}

// The layers as {weight, bias, outputs, inputs, omega}, of which the first has the inputs `seen`
// only; the bypass is the last one's part for the inputs, or null.
export function realLayers(field, seen) {
  const { layers: hidden, width, channels, inputs, grids, firstOmega, omega } = field.architecture;
  const layers = field.layers.map(({ weight, bias }, k) => {
    const outputs = k < hidden ? width : channels;
    const [first, last] = [k === 0, k === hidden];
    return {
      weight: first ? columns(weight, outputs, seen) : columns(weight, outputs, range(width)),
      bias,
      outputs,
      inputs: first ? seen.length : width,
      omega: last ? null : first ? firstOmega : omega,
    };
  });
  if (!grids) return { layers, bypass: null };
  const past = columns(field.layers[hidden].weight, channels, seen.map((input) => width + input));
  return { layers, bypass: past.map((weight) => BYPASS_SCALE * weight) };
}

function range(count) {
  return Array.from({ length: count }, (_, k) => k);
}

// Some columns of a matrix of so many rows.
function columns(matrix, rows, chosen) {
  const row = matrix.length / rows;
  return Float64Array.from({ length: rows * chosen.length }, (_, k) => {
    return matrix[Math.floor(k / chosen.length) * row + chosen[k % chosen.length]];
  });
}

// A layer whose outputs are turns, less a quarter, for sin(a) = cos(a - pi / 2); or samples.
export function inTurns({ weight, bias, outputs, inputs, omega }, half) {
  const scale = omega === null ? half : omega / (2 * Math.PI);
  const shift = omega === null ? half : -0.25;
  return {
    weight: weight.map((each) => scale * each),
    bias: bias.map((each) => scale * each + shift),
    outputs,
    inputs,
  };
}

// to = weight from + bias, or to += weight from where there is no bias.
function product({ weight, outputs, inputs }, from, to, points, bias) {
  for (let o = 0; o < outputs; o++) {
    const out = to.subarray(o * points, (o + 1) * points);
    if (bias) out.fill(bias[o]);
    let n = 0;
    for (; n + 4 <= inputs; n += 4) addFour(out, weight, o * inputs + n, from, n * points, points);
    for (; n < inputs; n++) {
      const w = weight[o * inputs + n];
      for (let p = 0, at = n * points; p < points; p++, at++) out[p] += w * from[at];
    }
  }
}

function addFour(out, weight, k, from, at, points) {
  const [w0, w1, w2, w3] = [weight[k], weight[k + 1], weight[k + 2], weight[k + 3]];
  const [first, second, third] = [at + points, at + 2 * points, at + 3 * points];
  for (let p = 0; p < points; p++) {
    out[p] += w0 * from[at + p] + w1 * from[first + p] + w2 * from[second + p] + w3 * from[third + p];
  }
}

// Return [samples, d/dx, d/dy, Laplacian] as planes, given those of the inputs; as many as they are.
export function networkJet(field, seen, inputs, points) {
  const { layers, bypass } = realLayers(field, seen);
  let jet = inputs;
  for (const layer of layers) {
    jet = jet.map((from, k) => {
      const to = new Float64Array(layer.outputs * points);
      product(layer, from, to, points, k ? null : layer.bias);
      return to;
    });
    if (layer.omega !== null) sineJet(jet, layer.omega);
  }
  const channels = layers[layers.length - 1].outputs;
  jet.forEach((part, k) => {
    if (bypass) product({ weight: bypass, outputs: channels, inputs: seen.length }, inputs[k], part, points, null);
    for (let p = 0; p < part.length; p++) part[p] = (part[p] + (k ? 0 : 1)) * (field.peak / 2);
  });
  return jet;
}

// The jet of sin(omega a) in the place of that of a.
function sineJet([value, byX, byY, laplacian], omega) {
  for (let p = 0; p < value.length; p++) {
    const angle = omega * value[p];
    value[p] = Math.sin(angle);
    if (!byX) continue;
    const slope = omega * Math.cos(angle);
    if (laplacian) {
      const square = byX[p] ** 2 + byY[p] ** 2;
      laplacian[p] = slope * laplacian[p] - omega * omega * value[p] * square;
    }
    byX[p] *= slope;
    byY[p] *= slope;
  }
}
