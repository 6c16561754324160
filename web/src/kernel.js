// The colours of a picture on lattices of points, by c/render.c: in float32, four points at once.

import { inputsSeen, inTurns, realLayers } from './network.js';
import { Memory } from './memory.js';
import { splineTaps, TAPS } from './spline.js';

const POINTS = 8; // of render.c
export const MOST_POINTS = 1024;

export class Kernel {
  // `levels` are the Field's that are seen.
  constructor(field, levels) {
    this.field = field;
    this.memory = new Memory();
    this.wasm = this.memory.exports;
    const seen = inputsSeen(levels);
    const { layers, bypass } = realLayers(field, seen);
    const half = field.peak / 2;
    this.layers = layers.map((layer) => this.putLayer(inTurns(layer, half)));
    this.channels = layers[layers.length - 1].outputs;
    const outputs = this.channels;
    this.bypass = bypass && {
      weight: this.put(bypass.map((each) => half * each)), bias: 0, outputs, inputs: seen.length,
    };
    this.levels = levels.map((level) => ({
      ...level,
      grids: level.grids.map(([, grid]) => this.memory.put(grid)),
    }));
    this.scratch();
  }

  put(values) {
    return this.memory.put(Float32Array.from(values));
  }

  putLayer({ weight, bias, outputs, inputs }) {
    return { weight: this.put(weight), bias: this.put(bias), outputs, inputs };
  }

  // Memory for the planes, and for the taps of a block's columns and rows.
  scratch() {
    const plane = 4 * MOST_POINTS;
    const { width } = this.field.architecture;
    this.inputs = this.memory.reserve(plane * this.layers[0].inputs);
    this.hidden = [0, 1].map(() => this.memory.reserve(plane * width));
    this.outputs = this.memory.reserve(plane * this.channels);
    this.taps = [0, 1].map(() => this.memory.reserve(2 * TAPS * plane));
    this.lines = this.memory.top;
  }

  // Return the planes of all samples, not clipped, each of `points` values; good until the next
  // call. There may be more points than asked for.
  samples(xs, ys) {
    const points = Math.ceil((xs.length * ys.length) / POINTS) * POINTS;
    this.putUnits(xs, ys, points);
    let at = this.inputs + 8 * points;
    for (const { level, rows, columns, grids } of this.levels) {
      const across = this.putTaps(splineTaps(xs, level, columns), this.taps[0]);
      const down = this.putTaps(splineTaps(ys, level, rows), this.taps[1]);
      this.memory.top = this.lines;
      const lines = this.memory.reserve(4 * xs.length * down.span);
      for (const grid of grids) {
        this.wasm.siren_grid_samples(
          grid, columns, across.cells, across.weights, xs.length, down.cells, down.weights,
          ys.length, lines, at,
        );
        at += 4 * points;
      }
    }
    this.run(points);
    return { planes: new Float32Array(this.memory.buffer, this.outputs, this.channels * points), points };
  }

  run(points) {
    let from = this.inputs;
    this.layers.forEach((layer, k) => {
      const last = k === this.layers.length - 1;
      const to = last ? this.outputs : this.hidden[k % 2];
      this.product(layer, from, to, points);
      if (!last) this.wasm.siren_cosines(to, layer.outputs * points);
      from = to;
    });
    if (this.bypass) this.product(this.bypass, this.inputs, this.outputs, points);
  }

  product({ weight, bias, outputs, inputs }, from, to, points) {
    this.wasm.siren_product(weight, bias, outputs, inputs, from, to, points);
  }

  putUnits(xs, ys, points) {
    const { width, height } = this.field;
    const units = new Float32Array(this.memory.buffer, this.inputs, 2 * points);
    for (let i = 0, p = 0; i < ys.length; i++) {
      for (let j = 0; j < xs.length; j++, p++) {
        units[p] = (2 * xs[j] + 1) / width - 1;
        units[points + p] = (2 * ys[i] + 1) / height - 1;
      }
    }
  }

  putTaps({ cells, weights }, at) {
    new Int32Array(this.memory.buffer, at, cells.length).set(cells);
    const after = at + TAPS * 4 * MOST_POINTS;
    new Float32Array(this.memory.buffer, after, weights.length).set(weights);
    return { cells: at, weights: after, span: cells[cells.length - 1] - cells[0] + 1 };
  }
}
