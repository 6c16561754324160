// The context network, as latents.c takes it: docs/FORMAT.md, section 6.

import { SirenError } from './errors.js';
import { dequantise } from './weights.js';

const CLIP = 127n;
const LANES = 8; // SIREN_LANES
const UNITS = [16, 4]; // steps of the mean, and of the binary logarithm of the scale

// Return {width, features, first, biases, second, last}: the members of `siren_network`, of the six
// tensors of the context network. Refuses those that float64 may round.
export function contextNetwork(tensors, architecture) {
  const { contextFeatures, contextInputs } = architecture;
  if (!isExact(tensors, contextFeatures, contextInputs)) {
    throw new SirenError('context network: expected weights that float64 adds exactly');
  }
  const [m1, b1, m2, b2, m3, b3] = tensors.map(dequantise);
  // After the hidden features goes a 1, which brings the next layer's bias.
  const features = contextFeatures + 1;
  const width = Math.ceil((features + 2) / LANES) * LANES;
  const network = {
    width,
    features,
    first: new Float64Array(contextInputs * width),
    biases: new Float64Array(architecture.grids * width),
    second: new Float64Array(features * width),
    last: new Float64Array(features * 2),
  };
  for (let n = 0; n < contextInputs; n++) {
    for (let k = 0; k < contextFeatures; k++) {
      network.first[n * width + k] = m1[k * contextInputs + n];
    }
    for (let k = 0; k < 2; k++) {
      const bypass = m3[k * (contextFeatures + contextInputs) + contextFeatures + n];
      network.first[n * width + features + k] = UNITS[k] * bypass;
    }
  }
  for (let grid = 0; grid < architecture.grids; grid++) {
    network.biases.set(
      b1.subarray(grid * contextFeatures, (grid + 1) * contextFeatures),
      grid * width,
    );
    network.biases[grid * width + contextFeatures] = 1;
  }
  for (let k = 0; k < contextFeatures; k++) {
    for (let n = 0; n < contextFeatures; n++) {
      network.second[n * width + k] = m2[k * contextFeatures + n];
    }
    network.second[contextFeatures * width + k] = b2[k];
    for (let output = 0; output < 2; output++) {
      const weight = m3[output * (contextFeatures + contextInputs) + k];
      network.last[2 * k + output] = UNITS[output] * weight;
    }
  }
  network.second[contextFeatures * width + contextFeatures] = 1;
  network.last.set([UNITS[0] * b3[0], UNITS[1] * b3[1]], 2 * contextFeatures);
  return network;
}

// Whether float64 evaluates the network without rounding, in any order of its sums.
function isExact(tensors, features, inputs) {
  let quantum = 0;
  let bound = CLIP;
  for (let layer = 0; layer < 3; layer++) {
    const [weight, bias] = tensors.slice(2 * layer, 2 * layer + 2);
    const outputs = layer < 2 ? features : 2;
    const columns = layer === 0 ? inputs : features;
    const products = quantum + weight.exponent;
    quantum = Math.min(0, products, bias.exponent);
    const row = weight.values.length / outputs;
    let largest = 0n;
    for (let k = 0; k < outputs; k++) {
      let [hidden, bypassed, most] = [0, 0, 0];
      for (let n = 0; n < row; n++) {
        const magnitude = Math.abs(weight.values[k * row + n]);
        if (n < columns) hidden += magnitude;
        else bypassed += magnitude;
      }
      for (let at = k; at < bias.values.length; at += outputs) {
        most = Math.max(most, Math.abs(bias.values[at]));
      }
      const sum = shifted(BigInt(hidden) * bound, products - quantum)
        + shifted(BigInt(bypassed) * CLIP, weight.exponent - quantum)
        + shifted(BigInt(most), bias.exponent - quantum);
      if (sum > largest) largest = sum;
    }
    bound = largest;
    if (bound >= 1n << 53n) return false;
  }
  return true;
}

function shifted(value, bits) {
  return value << BigInt(bits);
}
