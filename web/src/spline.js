// Where samples lie, and the sharpened cubic splines: docs/FORMAT.md, section 7.

export const TAPS = 6; // cells of an axis that a point sees

// The B-spline's weights of 4 cells and their derivatives by t, the place between two of them.
const B_SPLINE = [
  (t) => [(1 - t) ** 3, 4 - 3 * t * t * (2 - t), 4 - 3 * (1 - t) ** 2 * (1 + t), t ** 3],
  (t) => [-3 * (1 - t) ** 2, 9 * t * t - 12 * t, 3 + 6 * t - 9 * t * t, 3 * t * t],
  (t) => [6 * (1 - t), 18 * t - 12, 6 - 18 * t, 6 * t],
];

// Return {cells, weights}, TAPS for each of the pixel coordinates: the cells of an axis of `count`
// that it sees on a level, and their weights; with a `derivative` those of d/dx or d2/dx2.
export function splineTaps(pixels, level, count, derivative = 0) {
  const cells = new Int32Array(TAPS * pixels.length);
  const weights = new Float64Array(TAPS * pixels.length);
  const size = 2 ** level;
  const unit = 6 * size ** derivative;
  pixels.forEach((pixel, at) => {
    const position = (pixel + 0.5) / size - 0.5;
    const base = Math.floor(position);
    const b = [0, 0, ...B_SPLINE[derivative](position - base), 0, 0];
    for (let k = 0; k < TAPS; k++) {
      cells[TAPS * at + k] = Math.min(Math.max(base - 2 + k, 0), count - 1);
      weights[TAPS * at + k] = (26 * b[k + 1] - 5 * b[k] - 5 * b[k + 2]) / 16 / unit;
    }
  });
  return { cells, weights };
}

// The pixel coordinates of the centres of so many equal parts of an interval; it begins with the
// edge `start` of the picture's pixels, 0 being the left edge of the first one.
export function cellCentres(start, length, count) {
  return Float64Array.from({ length: count }, (_, k) => start - 0.5 + ((k + 0.5) * length) / count);
}
