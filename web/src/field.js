// The picture as a function, and all that its file holds: numbers only, so that it can be posted
// from a worker.

import { Architecture, cellsOf } from './architecture.js';

export class Field {
  // `network` are the fields of an Architecture, `layers` the SIREN's {weight, bias}, Float64Arrays.
  constructor({ width, height, channels, depth, network, layers, alpha }) {
    Object.assign(this, { width, height, channels, depth, network, layers, alpha });
    this.architecture = new Architecture(network);
    this.grids = Array(this.architecture.grids).fill(null);
    this.levels = [];
    this.metadata = {};
    this.whole = false;
  }

  get peak() {
    return 2 ** this.depth - 1;
  }

  // The finest level of grids that has come.
  get firstLevel() {
    return this.levels.length ? this.levels[this.levels.length - 1][0] : 0;
  }

  // Take in a layer: its [finest, above] levels, and [number, Int16Array] of its coded grids.
  add(levels, grids) {
    this.levels.push(levels);
    for (const [number, grid] of grids) this.grids[number] = grid;
  }

  // What the levels from `first` on have that is not 0: for each level its rows, columns, and
  // [input, grid], `input` being the number of the SIREN's input.
  levelsSeen(first) {
    const { features } = this.architecture;
    const found = [];
    for (let level = first; level < features.length; level++) {
      const start = this.architecture.firstGrid(level);
      const grids = [];
      for (let n = start; n < start + features[level]; n++) {
        if (this.grids[n]) grids.push([2 + n, this.grids[n]]);
      }
      const [rows, columns] = [cellsOf(this.height, level), cellsOf(this.width, level)];
      if (grids.length) found.push({ level, rows, columns, grids });
    }
    return found;
  }

  // The finest level that an output shows whose pixels cover so many of the picture's: layers that
  // hold finer ones only are left out, as siren_codec does.
  levelShown(covered) {
    if (!this.levels.length) return 0;
    const wanted = Math.floor(Math.log2(Math.max(2, covered))) - 1;
    const coarsest = this.architecture.features.findLastIndex((count) => count > 0);
    const shown = this.levels.filter(([, above]) => above > Math.min(wanted, coarsest));
    return (shown[shown.length - 1] ?? this.levels[0])[0];
  }

  // How many samples an output pixel takes along an axis, of which it covers so many pixels.
  oversampling(covered, shown) {
    const pixels = Math.ceil(covered - 1e-9);
    const cells = Math.ceil(covered / 2 ** Math.max(0, shown - 1) - 1e-9);
    return Math.max(1, Math.min(pixels, Math.max(2, cells)));
  }
}
