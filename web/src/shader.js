// The shaders that draw a picture: docs/FORMAT.md section 7 in GLSL, written out for a network.
//
// A fragment is a pixel of the output. It samples the grids, whose textures hold the coefficients
// of plain cubic B-splines (see SHARPEN), runs the SIREN, and averages what it covers. Four numbers
// of a layer go into a vec4; the weights are vec4s in a uniform block, each a column of four rows of
// a matrix. Sines are cosines of turns, as in network.js; with derivatives, each number comes with
// its d/dx, d/dy and Laplacian.

import { COSINE, inTurns, realLayers } from './network.js';

const PARTS = { colour: [''], gradient: ['', 'x', 'y'], laplacian: ['', 'x', 'y', 'l'] };
const COMPONENTS = 'xyzw';

export const VERTEX = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3 : -1, gl_VertexID == 2 ? 3 : -1, 0, 1);
}`;

// A grid -> the coefficients of the plain spline, times 256, with a border of one cell: a sharpened
// spline is a plain one of sharpened coefficients. The layers of the texture become components.
export const SHARPEN = `#version 300 es
precision highp float;
precision highp int;
precision highp isampler2DArray;
uniform isampler2DArray grids;
uniform ivec2 size;
uniform int count;
out ivec4 sharpened;
int sharpenedAt(ivec2 cell, int grid) {
  int sum = 0;
  for (int i = -1; i <= 1; i++)
    for (int j = -1; j <= 1; j++) {
      ivec2 at = clamp(cell + ivec2(j, i), ivec2(0), size - 1);
      sum += (i == 0 ? 26 : -5) * (j == 0 ? 26 : -5) * texelFetch(grids, ivec3(at, grid), 0).r;
    }
  return sum;
}
void main() {
  ivec2 cell = ivec2(gl_FragCoord.xy) - 1;
  ivec4 sums = ivec4(0);
  for (int k = 0; k < count; k++) sums[k] = sharpenedAt(cell, k);
  sharpened = sums;
}`;

function vectorsOf(count) {
  return Math.ceil(count / 4);
}

// Return a Float32Array with all weights, in the order in which the shader takes them: for each
// four outputs of a layer their biases, and then a column for each input; and of the last layer one
// for each bypassed input. Inputs are filled up to a multiple of four.
export function packWeights(field) {
  const seen = Array.from({ length: field.architecture.inputs }, (_, k) => k);
  const { layers, bypass } = realLayers(field, seen);
  const vectors = [];
  layers.forEach((layer, k) => {
    const { weight, bias, outputs, inputs } = inTurns(layer, 0.5);
    const addColumns = (first, matrix, columns, filled, scale) => {
      for (let n = 0; n < filled; n++) {
        const row = (r) => (first + r < outputs && n < columns ? scale * matrix[(first + r) * columns + n] : 0);
        vectors.push([0, 1, 2, 3].map(row));
      }
    };
    for (let first = 0; first < outputs; first += 4) {
      addColumns(first, bias, 1, 1, 1);
      addColumns(first, weight, inputs, 4 * vectorsOf(inputs), 1);
      if (k < layers.length - 1 || !bypass) continue;
      addColumns(first, bypass, seen.length, 4 * vectorsOf(seen.length), 0.5);
    }
  });
  return Float32Array.from(vectors.flat());
}

// The vec4s that packWeights returns.
export function weightVectors({ layers, width, inputs, grids }) {
  const [wide, narrow] = [4 * vectorsOf(width), 4 * vectorsOf(inputs)];
  const hidden = vectorsOf(width) * (1 + narrow + (layers - 1) * (1 + wide));
  return hidden + 1 + wide + (grids ? narrow : 0);
}

// Return the fragment shader for a picture: it depends on its architecture, on whether its alpha is
// apart, and on what is shown.
export function fragmentShader(field, show) {
  const { architecture: network, alpha } = field;
  const parts = PARTS[show];
  const levels = network.features.map((count, level) => [level, count]).filter(([, n]) => n);
  return `#version 300 es
precision highp float;
precision highp int;
precision highp isampler2DArray;
precision highp usampler2D;
layout(std140) uniform Weights { vec4 w[${weightVectors(network)}]; };
${levels.map(([level]) => `uniform isampler2DArray grid${level};\nuniform ivec2 size${level};`).join('\n')}
uniform usampler2D alphas;
uniform ivec2 picture; // its size in pixels
uniform ivec2 base; // the pixel that places are relative to
uniform vec2 start; // the place of the first sample
uniform vec2 pace; // from one sample to the next
uniform ivec2 over; // samples of a pixel
uniform int firstLevel;
uniform ivec2 corner; // the first pixel, from the top left of the output
uniform int rows; // of the output, for OpenGL counts them from below
uniform float span; // the end of the range of derivatives
uniform float peak;
out vec4 colour;

vec4 cosines(vec4 turns) {
  vec4 v = turns - floor(turns + 0.5);
  v *= v;
  return ${COSINE.slice().reverse().reduce((sum, c) => (sum ? `${c} + v * (${sum})` : `vec4(${c})`), '')};
}
${splineFunction(parts)}
${sampleFunction(network, levels, parts, alpha !== null && show === 'colour')}
${MAIN[show](channelsOf(network.channels, alpha !== null))}`;
}

// The four weights of a B-spline, and of its derivatives, and the sampler of a grid's four.
function splineFunction(parts) {
  const derivatives = parts.length > 1;
  return `
vec4 weights0(float t) {
  float s = 1.0 - t;
  return vec4(s * s * s, 4.0 - 3.0 * t * t * (2.0 - t), 4.0 - 3.0 * s * s * (1.0 + t), t * t * t) / 6.0;
}
${derivatives ? `
vec4 weights1(float t) {
  float s = 1.0 - t;
  return vec4(-s * s, 3.0 * t * t - 4.0 * t, 1.0 + 2.0 * t - 3.0 * t * t, t * t) / 2.0;
}
vec4 weights2(float t) {
  return vec4(1.0 - t, 3.0 * t - 2.0, 1.0 - 3.0 * t, t);
}` : ''}
void spline(isampler2DArray grid, ivec2 size, int level, int group, vec2 place, ${parts.map((p) => `out vec4 s${p}`).join(', ')}) {
  float scale = exp2(-float(level));
  vec2 q = (vec2(base - ((base >> level) << level)) + place + 0.5) * scale - 0.5;
  vec2 t = q - floor(q);
  ivec2 first = (base >> level) + ivec2(floor(q));
  vec4 x0 = weights0(t.x), y0 = weights0(t.y);
  ${derivatives ? 'vec4 x1 = weights1(t.x) * scale, y1 = weights1(t.y) * scale;' : ''}
  ${parts.includes('l') ? 'vec4 x2 = weights2(t.x) * scale * scale, y2 = weights2(t.y) * scale * scale;' : ''}
  ${parts.map((p) => `s${p} = vec4(0);`).join(' ')}
  for (int i = 0; i < 4; i++) {
    int row = clamp(first.y + i, 0, size.y + 1);
    vec4 ${parts.map((p) => `r${p === 'y' ? '' : p} = vec4(0)`).filter((each, k, all) => all.indexOf(each) === k).join(', ')};
    for (int j = 0; j < 4; j++) {
      vec4 cell = vec4(texelFetch(grid, ivec3(clamp(first.x + j, 0, size.x + 1), row, group), 0));
      r += x0[j] * cell;
      ${derivatives ? 'rx += x1[j] * cell;' : ''}
      ${parts.includes('l') ? 'rl += x2[j] * cell;' : ''}
    }
    s += y0[i] * r;
    ${derivatives ? 'sx += y0[i] * rx; sy += y1[i] * r;' : ''}
    ${parts.includes('l') ? 'sl += y0[i] * rl + y2[i] * r;' : ''}
  }
  ${parts.map((p) => `s${p} /= 256.0;`).join(' ')}
}`;
}

// The samples at a place: of colours 0 to 1 where nothing is clipped, else their derivatives. What
// goes into a layer is in the arrays a, ax, ..., what comes out of it in b; z are the inputs.
function sampleFunction(network, levels, parts, withAlpha) {
  const [wide, narrow] = [vectorsOf(network.width), vectorsOf(network.inputs)];
  const each = (text) => parts.map((part) => text.replaceAll('@', part)).join(' ');
  const sine = SINES[parts.length];
  return `${withAlpha ? ALPHA : ''}
${each(`vec4 z@[${narrow}], a@[${wide}], b@[${wide}];`)}
int at; // the next weights
void add(inout vec4 sum, vec4 x, int k) {
  sum += x.x * w[k] + x.y * w[k + 1] + x.z * w[k + 2] + x.w * w[k + 3];
}
vec4 samplesAt(vec2 place) {
  ${each(`for (int n = 0; n < ${narrow}; n++) z@[n] = vec4(0);`)}
  z[0].xy = (2.0 * (vec2(base) + place) + 1.0) / vec2(picture) - 1.0;
  ${parts.length > 1 ? 'zx[0].x = 2.0 / float(picture.x); zy[0].y = 2.0 / float(picture.y);' : ''}
  ${readGrids(network, levels, parts)}
  at = 0;
  ${layer('z', 'a', narrow, wide, each, sine)}
  for (int layer = 1; layer < ${network.layers}; layer++) {
    ${layer('a', 'b', wide, wide, each, sine)}
    for (int o = 0; o < ${wide}; o++) { ${each('a@[o] = b@[o];')} }
  }
  ${sums('a', wide, each)}
  ${network.grids ? terms('z', narrow, each) : ''}
  ${RESULTS[parts.length]}
  ${withAlpha ? `samples[${network.channels}] = alphaAt(place);` : ''}
  return samples;
}`;
}

// All outputs of a hidden layer.
function layer(from, to, inputs, outputs, each, sine) {
  return `for (int o = 0; o < ${outputs}; o++) {
    ${sums(from, inputs, each)}
    ${sine}
    ${each(`${to}@[o] = s@;`)}
  }`;
}

// Four sums of a layer's inputs, and their derivatives, in s, sx, ...
function sums(from, inputs, each) {
  return `${each('vec4 s@ = vec4(0);')} s = w[at++]; ${terms(from, inputs, each)}`;
}

function terms(from, inputs, each) {
  return `for (int n = 0; n < ${inputs}; n++, at += 4) { ${each(`add(s@, ${from}@[n], at);`)} }`;
}

// s is in turns, less a quarter, and becomes its sine: by parts of the jet.
const TURN = 2 * Math.PI;
const SLOPES = `vec4 slope = ${TURN} * cosines(s + 0.25); s = cosines(s);`;
const SINES = {
  1: 's = cosines(s);',
  3: `${SLOPES} sx *= slope; sy *= slope;`,
  4: `${SLOPES} sl = slope * sl - ${TURN * TURN} * s * (sx * sx + sy * sy); sx *= slope; sy *= slope;`,
};
const RESULTS = {
  1: 'vec4 samples = s;',
  3: 'vec4 samples = peak * sqrt(sx * sx + sy * sy);',
  4: 'vec4 samples = peak * sl;',
};

function readGrids(network, levels, parts) {
  const lines = levels.length ? parts.map((part) => `vec4 g${part};`) : [];
  for (const [level, count] of levels) {
    lines.push(`if (firstLevel <= ${level}) {`);
    for (let group = 0; group < vectorsOf(count); group++) {
      const outs = parts.map((part) => `g${part}`).join(', ');
      lines.push(`spline(grid${level}, size${level}, ${level}, ${group}, place, ${outs});`);
      for (let k = 4 * group; k < Math.min(count, 4 * group + 4); k++) {
        const input = 2 + network.firstGrid(level) + k;
        const to = `[${input >> 2}].${COMPONENTS[input & 3]}`;
        for (const part of parts) lines.push(`z${part}${to} = g${part}.${COMPONENTS[k % 4]};`);
      }
    }
    lines.push('}');
  }
  return lines.join('\n  ');
}

const ALPHA = `
float alphaOf(ivec2 at) { return float(texelFetch(alphas, at, 0).r); }
float alphaAt(vec2 place) {
  ivec2 last = max(picture - 2, 0);
  ivec2 first = clamp(base + ivec2(floor(place)), ivec2(0), last);
  ivec2 next = min(first + 1, picture - 1);
  vec2 share = clamp(vec2(base - first) + place, 0.0, 1.0);
  float upper = mix(alphaOf(first), alphaOf(ivec2(next.x, first.y)), share.x);
  float lower = mix(alphaOf(ivec2(first.x, next.y)), alphaOf(next), share.x);
  return mix(upper, lower, share.y) / peak;
}`;

// How samples become RGBA.
function channelsOf(outputs, apart) {
  const all = outputs + (apart ? 1 : 0);
  return { colours: all < 3 ? 'rrr' : 'rgb', alpha: all % 2 ? null : 'ga'[all / 2 - 1] };
}

function main(body) {
  return `
void main() {
  ivec2 at = ivec2(gl_FragCoord.x, float(rows) - gl_FragCoord.y) - corner;
  vec4 sum = vec4(0);
  float count = 0.0;
  vec2 lowest = -0.5 - vec2(base), highest = vec2(picture) - 0.5 - vec2(base);
  for (int i = 0; i < over.y; i++)
    for (int j = 0; j < over.x; j++) {
      vec2 place = start + vec2(at * over + ivec2(j, i)) * pace;
      if (any(lessThan(place, lowest)) || any(greaterThan(place, highest))) continue;
      ${body.sample}
      count += 1.0;
    }
  vec4 mean = sum / max(count, 1.0);
  float cover = count / float(over.x * over.y);
  ${body.finish}
  colour = floor(clamp(colour, 0.0, 1.0) * 255.0 + 0.5) / 255.0;
}`;
}

const MAIN = {
  colour: ({ colours, alpha }) => main({
    sample: 'sum += clamp(samplesAt(place), 0.0, 1.0);',
    finish: `colour = vec4(mean.${colours}, ${alpha ? `mean.${alpha} * ` : ''}cover);`,
  }),
  gradient: ({ colours }) => main({
    sample: 'sum += samplesAt(place);',
    finish: `colour = vec4(mean.${colours} / span, cover);`,
  }),
  laplacian: ({ colours }) => main({
    sample: 'sum += samplesAt(place);',
    finish: `colour = vec4(mean.${colours} / span * 0.5 + 0.5, cover);`,
  }),
};
