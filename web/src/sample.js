// The samples of a Field on lattices of points, columns x rows: colours, derivatives, alpha.

import { Kernel } from './kernel.js';
import { inputsSeen, networkJet } from './network.js';
import { splineTaps, TAPS } from './spline.js';

// By x and by y: the derivatives that make the parts of a jet.
const VALUE = [[0, 0]];
const PARTS = [VALUE, [[1, 0]], [[0, 1]], [[2, 0], [0, 2]]];

// Return a function of (xs, ys), MOST_POINTS at most, that returns {planes, points}: the samples of
// all channels, alpha last, not clipped. Levels of grids below `first` are left out.
export function colourSampler(field, first) {
  const kernel = kernelOf(field, first);
  return (xs, ys) => {
    const { planes, points } = kernel.samples(xs, ys);
    if (!field.alpha) return { planes, points };
    const all = new Float64Array((kernel.channels + 1) * points);
    all.set(planes);
    all.set(alphaJet(field, xs, ys)[0], planes.length);
    return { planes: all, points };
  };
}

// The last kernel of each Field, for it holds a copy of the grids.
const kernels = new WeakMap();

function kernelOf(field, first) {
  const found = kernels.get(field);
  if (found?.first === first && found.layers === field.levels.length) return found.kernel;
  const kernel = new Kernel(field, field.levelsSeen(first));
  kernels.set(field, { first, layers: field.levels.length, kernel });
  return kernel;
}

// The same of the gradient's magnitude or the Laplacian of the colours, without alpha.
export function derivativeSampler(field, first, show) {
  const order = show === 'gradient' ? 1 : 2;
  return (xs, ys) => {
    const [, byX, byY, laplacian] = networkPart(field, first, xs, ys, order);
    const values = order === 1 ? byX.map((each, p) => Math.hypot(each, byY[p])) : laplacian;
    // Finite even for the wildest of weights.
    const planes = values.map((value) => Math.min(Math.max(value || 0, -1e30), 1e30));
    return { planes, points: xs.length * ys.length };
  };
}

// Return [value, d/dx, d/dy, Laplacian] of all channels, as far as `order` needs them.
export function jetAt(field, xs, ys, order) {
  const jet = networkPart(field, field.firstLevel, xs, ys, order);
  if (!field.alpha) return jet;
  const alpha = alphaJet(field, xs, ys);
  return jet.map((part, k) => joined(part, alpha[k]));
}

function networkPart(field, first, xs, ys, order) {
  const levels = field.levelsSeen(first);
  const inputs = PARTS.slice(0, [1, 3, 4][order]).map((orders) =>
    latticeInputs(field, levels, xs, ys, orders),
  );
  return networkJet(field, inputsSeen(levels), inputs, xs.length * ys.length);
}

function joined(samples, plane) {
  const all = new Float64Array(samples.length + plane.length);
  all.set(samples);
  all.set(plane, samples.length);
  return all;
}

// The planes of the network's inputs; with several `orders` the sum of these derivatives.
function latticeInputs(field, levels, xs, ys, orders) {
  const points = xs.length * ys.length;
  const out = new Float64Array(inputsSeen(levels).length * points);
  for (const [byX, byY] of orders) {
    addUnits(field, xs, ys, byX, byY, out);
    let at = 2 * points;
    for (const { level, rows, columns, grids } of levels) {
      const across = splineTaps(xs, level, columns, byX);
      const down = splineTaps(ys, level, rows, byY);
      for (const [, grid] of grids) {
        addGrid(grid, columns, across, down, out.subarray(at, at + points));
        at += points;
      }
    }
  }
  return out;
}

// The first two inputs: u = (2 x + 1) / W - 1 and v.
function addUnits({ width, height }, xs, ys, byX, byY, out) {
  const points = xs.length * ys.length;
  if (byX + byY > 1) return;
  for (let p = 0; p < points; p++) {
    const [x, y] = [xs[p % xs.length], ys[Math.floor(p / xs.length)]];
    if (byX) out[p] += 2 / width;
    else if (byY) out[points + p] += 2 / height;
    else {
      out[p] += (2 * x + 1) / width - 1;
      out[points + p] += (2 * y + 1) / height - 1;
    }
  }
}

// Add the samples of a grid: its rows first, as far as they are seen, then its columns.
function addGrid(grid, columns, across, down, out) {
  const points = across.cells.length / TAPS;
  const top = down.cells[0];
  const rows = down.cells[down.cells.length - 1] - top + 1;
  const lines = new Float64Array(rows * points);
  for (let i = 0; i < rows; i++) {
    const row = (top + i) * columns;
    for (let p = 0, k = 0; p < points; p++) {
      let sum = 0;
      for (const end = k + TAPS; k < end; k++) sum += across.weights[k] * grid[row + across.cells[k]];
      lines[i * points + p] = sum;
    }
  }
  for (let k = 0; k < down.cells.length; k++) {
    const [weight, from] = [down.weights[k], (down.cells[k] - top) * points];
    const to = Math.floor(k / TAPS) * points;
    for (let p = 0; p < points; p++) out[to + p] += weight * lines[from + p];
  }
}

// [value, d/dx, d/dy, Laplacian] of the alpha that is stored apart: linear between pixel centres,
// constant beyond the outermost.
function alphaJet({ alpha, width, height }, xs, ys) {
  const jet = [0, 1, 2, 3].map(() => new Float64Array(xs.length * ys.length));
  ys.forEach((y, i) => {
    const [top, below, down, insideY] = between(y, height);
    xs.forEach((x, j) => {
      const [left, right, across, insideX] = between(x, width);
      const [a, b] = [alpha[top * width + left], alpha[top * width + right]];
      const [c, d] = [alpha[below * width + left], alpha[below * width + right]];
      const [upper, lower] = [a + (b - a) * across, c + (d - c) * across];
      const p = i * xs.length + j;
      jet[0][p] = upper + (lower - upper) * down;
      jet[1][p] = insideX ? (b - a) * (1 - down) + (d - c) * down : 0;
      jet[2][p] = insideY ? lower - upper : 0;
    });
  });
  return jet;
}

// The pixels around a place on an axis, the share of the second one, and whether it is inside.
function between(place, length) {
  const first = Math.min(Math.max(Math.floor(place), 0), Math.max(length - 2, 0));
  const share = Math.min(Math.max(place - first, 0), 1);
  return [first, Math.min(first + 1, length - 1), share, place >= 0 && place <= length - 1];
}
