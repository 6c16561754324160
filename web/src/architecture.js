// The shape of a picture's networks and grids: docs/FORMAT.md, sections 2, 4 and 6.

export const NEIGHBOURS = [
  [0, -1], [-1, 0], [-1, -1], [-1, 1], [0, -2], [-2, 0], [-1, -2], [-1, 2],
  [-2, -1], [-2, 1], [-2, -2], [-2, 2], [0, -3], [-3, 0], [-1, -3], [-3, -1],
  [-3, 1], [-2, -3], [-2, 3], [-3, -2], [-3, 2], [0, -4], [-1, -4], [-4, 0],
];
export const COARSER = 3; // levels above that an integer is predicted from

// `layers` hidden layers of `width`, frequencies `firstOmega` and `omega`, `features` grids on each
// level, and the context network's `neighbours` and `contextFeatures`; outputs are `channels`.
export class Architecture {
  constructor(fields) {
    Object.assign(this, fields);
    this.grids = this.features.reduce((sum, count) => sum + count, 0);
    this.inputs = 2 + this.grids;
    this.contextInputs = this.neighbours + COARSER + 1;
  }

  // [outputs, inputs] of the SIREN's matrices, and then of the context network's.
  get shapes() {
    const { layers, width, inputs, channels, grids } = this;
    const hidden = Array.from({ length: layers }, (_, k) => [width, k ? width : inputs]);
    return [...hidden, [channels, width + (grids ? inputs : 0)]];
  }

  get contextShapes() {
    const { contextFeatures: c, contextInputs: k } = this;
    return this.grids ? [[c, k], [c, c], [2, c + k]] : [];
  }

  // [rows, columns] of all tensors in the order of the file; a bias has one row, or one a grid.
  get tensorShapes() {
    const shapes = [...this.shapes, ...this.contextShapes].flatMap(([outputs, inputs]) => [
      [outputs, inputs],
      [1, outputs],
    ]);
    if (this.grids) shapes[2 * this.layers + 3] = [this.grids, this.contextFeatures];
    return shapes;
  }

  get contextMultiplyAdds() {
    return this.contextShapes.reduce((sum, [outputs, inputs]) => sum + outputs * (inputs + 1), 0);
  }

  // The number of the first grid of a level.
  firstGrid(level) {
    return this.features.slice(0, level).reduce((sum, count) => sum + count, 0);
  }

  // The numbers of the grids on the levels from `finest` to before `above`, coarsest level first.
  gridsOf(finest, above) {
    const numbers = [];
    for (let level = above - 1; level >= finest; level--) {
      const first = this.firstGrid(level);
      for (let n = 0; n < this.features[level]; n++) numbers.push(first + n);
    }
    return numbers;
  }

  // For each grid its level, and the [grid, octaves] or null that its integers see besides it.
  get gridSources() {
    return this.features.flatMap((count, level) =>
      Array.from({ length: count }, (_, n) => {
        const sources = [];
        for (let octaves = 1; octaves <= COARSER; octaves++) {
          const others = this.features[level + octaves] ?? 0;
          const first = this.firstGrid(level + octaves);
          sources.push(others ? [first + Math.min(n, others - 1), octaves] : null);
        }
        sources.push(n ? [this.firstGrid(level) + n - 1, 0] : null);
        return { level, sources };
      }),
    );
  }
}

// Cells of a side of `length` pixels on a level.
export function cellsOf(length, level) {
  return Math.ceil(length / 2 ** level);
}

// Integers of the grids from a level on.
export function symbolsOf(architecture, width, height, firstLevel = 0) {
  return architecture.features.reduce(
    (sum, count, level) =>
      level < firstLevel ? sum : sum + count * cellsOf(width, level) * cellsOf(height, level),
    0,
  );
}
