// The shaders that draw a picture: docs/FORMAT.md section 7 in GLSL, written out for a network.
//
// A fragment is a pixel of the output. It samples the grids, whose textures hold the coefficients
// of plain cubic B-splines (see SHARPEN), runs the SIREN, and averages what it covers. Four numbers
// of a layer go into a vec4; the weights are vec4s in uniform blocks, a column of a matrix's four
// rows each. Sines are cosines of turns, as in network.js; with derivatives, each number comes with
// its d/dx, d/dy and Laplacian.

import { COSINE, inTurns, realLayers } from './network.js';

export const BLOCK_VECTORS = 1024; // of a uniform block: the 16 KiB that every device has
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

// Return the names of the vec4 components that hold so many numbers: a0.x, a0.y, ...
function components(name, count) {
  return Array.from({ length: count }, (_, k) => `${name}${k >> 2}.${COMPONENTS[k & 3]}`);
}

function vectorsOf(count) {
  return Math.ceil(count / 4);
}

// The layers whose weights the shader has: those of the SIREN, and the bypass as part of the last.
function layersOf(field) {
  const seen = Array.from({ length: field.architecture.inputs }, (_, k) => k);
  const { layers, bypass } = realLayers(field, seen);
  return { layers: layers.map((layer) => inTurns(layer, 0.5)), bypass };
}

// Return a Float32Array with all weights, in the order in which the shader takes them: for each
// four outputs their biases, then a column for each input (and of the last layer, each bypassed).
export function packWeights(field) {
  const { layers, bypass } = layersOf(field);
  const vectors = [];
  layers.forEach(({ weight, bias, outputs, inputs }, k) => {
    const last = k === layers.length - 1;
    for (let o = 0; o < outputs; o += 4) {
      const rows = [o, o + 1, o + 2, o + 3].map((row) => (row < outputs ? row : -1));
      const column = (matrix, width, n, scale) =>
        vectors.push(rows.map((row) => (row < 0 ? 0 : scale * matrix[row * width + n])));
      column(bias, 1, 0, 1);
      for (let n = 0; n < inputs; n++) column(weight, inputs, n, 1);
      if (!last || !bypass) continue;
      const width = bypass.length / outputs;
      for (let n = 0; n < width; n++) column(bypass, width, n, 0.5);
    }
  });
  const blocks = Math.ceil(vectors.length / BLOCK_VECTORS);
  const packed = new Float32Array(4 * BLOCK_VECTORS * blocks);
  packed.set(vectors.flat());
  return packed;
}

// Return the fragment shader for a picture: it depends on its architecture, on whether its alpha is
// apart, and on what is shown.
export function fragmentShader(field, show, blocks) {
  const { architecture: network, alpha } = field;
  const parts = PARTS[show];
  const levels = network.features.map((count, level) => [level, count]).filter(([, n]) => n);
  return `#version 300 es
precision highp float;
precision highp int;
precision highp isampler2DArray;
precision highp usampler2D;
${range(blocks).map((k) => `layout(std140) uniform Block${k} { vec4 w${k}[${BLOCK_VECTORS}]; };`).join('\n')}
${levels.map(([level]) => `uniform isampler2DArray g${level};\nuniform ivec2 size${level};`).join('\n')}
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

function range(count) {
  return Array.from({ length: count }, (_, k) => k);
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

// The samples at a place: of colours 0 to 1 where nothing is clipped, else their derivatives.
function sampleFunction(network, levels, parts, withAlpha) {
  const lines = [];
  const inputs = declareInputs(network, parts, lines);
  readGrids(network, levels, parts, lines, inputs);
  const next = weightNames();
  let from = inputs;
  for (let k = 0; k <= network.layers; k++) {
    const last = k === network.layers;
    const outputs = last ? network.channels : network.width;
    const taken = last && network.grids ? [...from, ...inputs] : from;
    for (let o = 0; o < vectorsOf(outputs); o++) addProduct(lines, `h${k}_${o}`, taken, parts, next);
    if (!last) {
      for (let o = 0; o < vectorsOf(outputs); o++) addSine(lines, `h${k}_${o}`, parts);
    }
    from = components(`h${k}_`, outputs);
  }
  const result = `h${network.layers}_0`;
  lines.push(...RESULTS[parts.length](result, 'peak'));
  if (withAlpha) lines.push(`samples[${network.channels}] = alphaAt(place);`);
  return `${withAlpha ? ALPHA : ''}
vec4 samplesAt(vec2 place) {
  ${lines.join('\n  ')}
  return samples;
}`;
}

const RESULTS = {
  1: (h) => [`vec4 samples = ${h};`],
  3: (h, peak) => [`vec4 samples = ${peak} * sqrt(x${h} * x${h} + y${h} * y${h});`],
  4: (h, peak) => [`vec4 samples = ${peak} * l${h};`],
};

function declareInputs(network, parts, lines) {
  const count = network.inputs;
  for (const part of parts) {
    for (const k of range(vectorsOf(count))) lines.push(`vec4 ${part}z${k} = vec4(0);`);
  }
  lines.push('z0.xy = (2.0 * (vec2(base) + place) + 1.0) / vec2(picture) - 1.0;');
  if (parts.length > 1) lines.push('xz0.x = 2.0 / float(picture.x); yz0.y = 2.0 / float(picture.y);');
  return components('z', count);
}

function readGrids(network, levels, parts, lines, inputs) {
  for (const part of levels.length ? parts : []) lines.push(`vec4 s${part};`);
  for (const [level, count] of levels) {
    lines.push(`if (firstLevel <= ${level}) {`);
    for (let group = 0; group < vectorsOf(count); group++) {
      const outs = parts.map((part) => `s${part}`).join(', ');
      lines.push(`spline(g${level}, size${level}, ${level}, ${group}, place, ${outs});`);
      for (let k = 4 * group; k < Math.min(count, 4 * group + 4); k++) {
        const input = inputs[2 + network.firstGrid(level) + k];
        for (const part of parts) lines.push(`${part}${input} = s${part}.${COMPONENTS[k % 4]};`);
      }
    }
    lines.push('}');
  }
}

// Return a function that gives the names of the weights one after another.
function weightNames() {
  let at = 0;
  return () => {
    const name = `w${Math.floor(at / BLOCK_VECTORS)}[${at % BLOCK_VECTORS}]`;
    at++;
    return name;
  };
}

// A vec4 of a layer's sums, and of their derivatives; a few terms to a statement.
function addProduct(lines, to, from, parts, next) {
  const bias = next();
  const weights = from.map(() => next());
  for (const part of parts) {
    lines.push(`vec4 ${part}${to} = ${part ? 'vec4(0)' : bias};`);
    for (let k = 0; k < from.length; k += 4) {
      const terms = from.slice(k, k + 4).map((each, n) => `${part}${each} * ${weights[k + n]}`);
      lines.push(`${part}${to} += ${terms.join(' + ')};`);
    }
  }
}

// sin(a), and what becomes of its derivatives; a is in turns, less a quarter.
function addSine(lines, h, parts) {
  if (parts.length > 1) lines.push(`vec4 c${h} = ${2 * Math.PI} * cosines(${h} + 0.25);`);
  lines.push(`${h} = cosines(${h});`);
  if (parts.includes('l')) {
    const square = `${4 * Math.PI ** 2} * ${h} * (x${h} * x${h} + y${h} * y${h})`;
    lines.push(`l${h} = c${h} * l${h} - ${square};`);
  }
  if (parts.length > 1) lines.push(`x${h} *= c${h}; y${h} *= c${h};`);
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
