// Pictures of any region at any size, tile by tile: docs/FORMAT.md, section 7, "Other sizes".

import { SirenError } from './errors.js';
import { colourSampler, derivativeSampler } from './sample.js';
import { cellCentres } from './spline.js';

const TILE = 64; // output pixels a side
const BLOCK = 32; // samples a side that are computed at once
const OF_RANGE = 0.995; // of magnitudes of derivatives are within the range that is shown
const LATTICE = 64; // points a side, of which the range is found
const MOST_PIXELS = 89_478_485;

// What a request means, with all that it leaves out; SirenError for what is no rectangle.
export function viewOf(field, { x = 0, y = 0, width, height, outWidth, outHeight, show = 'colour' }) {
  const view = { x, y, width: width ?? field.width - x, height: height ?? field.height - y, show };
  view.outWidth = outWidth ?? Math.max(1, Math.round(view.width));
  view.outHeight = outHeight ?? Math.max(1, Math.round(view.height));
  const { outWidth: across, outHeight: down } = view;
  if (![x, y].every(Number.isFinite) || !(view.width > 0) || !(view.height > 0)
    || !(view.width < Infinity) || !(view.height < Infinity)) {
    throw new SirenError(`region: expected a rectangle, found ${[x, y, view.width, view.height]}`);
  }
  if (![across, down].every(Number.isInteger) || Math.min(across, down) < 1
    || across * down > MOST_PIXELS) {
    throw new SirenError(`size ${across}x${down}: expected 1 to ${MOST_PIXELS} pixels`);
  }
  if (!['colour', 'gradient', 'laplacian'].includes(show)) {
    throw new SirenError(`show: expected colour, gradient or laplacian, found ${show}`);
  }
  return view;
}

// How a view is sampled: the finest level that it shows, and the samples of an output pixel.
export function samplingOf(field, { width, height, outWidth, outHeight }) {
  const [across, down] = [width / outWidth, height / outHeight];
  const shown = field.levelShown(Math.min(across, down));
  return {
    shown,
    overX: field.oversampling(across, shown),
    overY: field.oversampling(down, shown),
  };
}

// Yield the tiles of a view, {left, top, width, height, means, channels, cover}: planes of the means
// over the samples inside the picture, and for each pixel the share of its samples that are.
export function* tiles(field, view) {
  const { shown, overX, overY } = samplingOf(field, view);
  const sampler = view.show === 'colour'
    ? colourSampler(field, shown)
    : derivativeSampler(field, shown, view.show);
  const axes = {
    xs: cellCentres(view.x, view.width, view.outWidth * overX),
    ys: cellCentres(view.y, view.height, view.outHeight * overY),
    overX,
    overY,
  };
  const peak = view.show === 'colour' ? field.peak : null;
  for (let top = 0; top < view.outHeight; top += TILE) {
    for (let left = 0; left < view.outWidth; left += TILE) {
      const width = Math.min(TILE, view.outWidth - left);
      const height = Math.min(TILE, view.outHeight - top);
      const tile = { left, top, width, height };
      yield { ...tile, ...meansOf(field, sampler, axes, tile, peak) };
    }
  }
}

function meansOf(field, sampler, { xs, ys, overX, overY }, { left, top, width, height }, peak) {
  const channels = peak === null ? field.architecture.channels : field.channels;
  const means = new Float64Array(channels * width * height);
  const counts = new Float64Array(width * height);
  const columns = insideOf(xs, left * overX, (left + width) * overX, field.width);
  const rows = insideOf(ys, top * overY, (top + height) * overY, field.height);
  for (const [i, lastRow] of blocksOf(rows)) {
    for (const [j, lastColumn] of blocksOf(columns)) {
      const block = { xs: xs.subarray(j, lastColumn), ys: ys.subarray(i, lastRow) };
      const samples = sampler(block.xs, block.ys);
      const placeX = Array.from(block.xs, (_, k) => Math.floor((j + k) / overX) - left);
      const placeY = Array.from(block.ys, (_, k) => Math.floor((i + k) / overY) - top);
      addBlock(samples, placeX, placeY, { means, counts, channels, width, peak });
    }
  }
  for (let p = 0; p < means.length; p++) means[p] /= counts[p % counts.length] || 1;
  return { means, channels, cover: counts.map((count) => count / (overX * overY)) };
}

// The range of indices from `first` to before `last` whose places are inside the picture.
function insideOf(places, first, last, length) {
  while (first < last && places[first] < -0.5) first++;
  while (first < last && places[last - 1] > length - 0.5) last--;
  return [first, last];
}

function* blocksOf([first, last]) {
  for (let at = first; at < last; at += BLOCK) yield [at, Math.min(at + BLOCK, last)];
}

// Add samples, clipped, to the sums of the pixels that they belong to.
function addBlock({ planes, points }, placeX, placeY, { means, counts, channels, width, peak }) {
  const plane = counts.length;
  for (let channel = 0; channel < channels; channel++) {
    let at = channel * points;
    for (const i of placeY) {
      for (const j of placeX) {
        const sample = planes[at++];
        const clipped = peak === null ? sample : sample > 0 ? Math.min(sample, peak) : 0;
        means[channel * plane + i * width + j] += clipped;
      }
    }
  }
  for (const i of placeY) for (const j of placeX) counts[i * width + j]++;
}

// The view in the picture's own samples, {width, height, channels, data}.
export async function renderSamples(field, view, pause) {
  const { x, y, width, height, outWidth, outHeight } = view;
  if (x < 0 || y < 0 || x + width > field.width || y + height > field.height) {
    throw new SirenError(
      `region ${[x, y, width, height]}: expected a part of ${field.width}x${field.height}`,
    );
  }
  const { channels } = field;
  const Kind = field.depth === 8 ? Uint8Array : Uint16Array;
  const data = new Kind(outWidth * outHeight * channels);
  for (const tile of tiles(field, view)) {
    const plane = tile.width * tile.height;
    for (let p = 0; p < plane; p++) {
      const row = tile.top + Math.floor(p / tile.width);
      const at = (row * outWidth + tile.left + (p % tile.width)) * channels;
      for (let k = 0; k < channels; k++) data[at + k] = nearest(tile.means[k * plane + p]);
    }
    await pause();
  }
  return { width: outWidth, height: outHeight, channels, data };
}

// The view as RGBA of 8 bits.
export async function renderRgba(field, view, range, pause) {
  const { outWidth, outHeight } = view;
  const data = new Uint8ClampedArray(4 * outWidth * outHeight);
  for (const tile of tiles(field, view)) {
    const rgba = rgbaOf(field, tile, view.show, range);
    for (let i = 0; i < tile.height; i++) {
      const row = rgba.subarray(4 * i * tile.width, 4 * (i + 1) * tile.width);
      data.set(row, 4 * ((tile.top + i) * outWidth + tile.left));
    }
    await pause();
  }
  return { width: outWidth, height: outHeight, data };
}

// A tile as RGBA; `range` is the derivative's magnitude at the end of what is shown.
export function rgbaOf(field, { means, channels, cover, width, height }, show, range) {
  const plane = width * height;
  const rgba = new Uint8ClampedArray(4 * plane);
  const withAlpha = show === 'colour' && channels % 2 === 0;
  const colours = withAlpha ? channels - 1 : channels;
  const byte = show === 'colour'
    ? (value) => (value * 255) / field.peak
    : (value) => 255 * (show === 'gradient' ? value / range : (value / range + 1) / 2);
  for (let p = 0; p < plane; p++) {
    for (let k = 0; k < 3; k++) {
      rgba[4 * p + k] = nearest(byte(means[(k % colours) * plane + p]));
    }
    const alpha = withAlpha ? byte(means[colours * plane + p]) : 255;
    rgba[4 * p + 3] = nearest(alpha * cover[p]);
  }
  return rgba;
}

// To the nearest integer, ties to even; a Uint8ClampedArray does so of itself, others do not.
function nearest(value) {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
}

// The magnitude of a derivative that is the end of the range shown, over the whole picture.
export function rangeOf(field, show) {
  const xs = cellCentres(0, field.width, Math.min(LATTICE, field.width));
  const ys = cellCentres(0, field.height, Math.min(LATTICE, field.height));
  const values = derivativeSampler(field, field.firstLevel, show)(xs, ys).planes.map(Math.abs).sort();
  return Math.max(values[Math.floor(OF_RANGE * (values.length - 1))], 1e-12);
}
