// A decoded picture, as pages have it. web/siren.d.ts says what the members do.

import { SirenError } from './errors.js';
import { Field } from './field.js';
import { viewOf } from './render.js';
import { jetAt } from './sample.js';

export class Picture {
  #connection;
  #id;
  #ranges = new Map();

  // `base` is what a Field is made of.
  constructor(connection, id, base) {
    this.#connection = connection;
    this.#id = id;
    this.field = new Field(base);
    this.closed = false;
  }

  // Take in what has come: layers, metadata, and at the end whether all has.
  take(layers = [], metadata, whole = false) {
    for (const { levels, grids } of layers) this.field.add(levels, grids);
    this.field.metadata = metadata;
    this.field.whole = whole;
    this.#ranges.clear();
  }

  get width() {
    return this.field.width;
  }

  get height() {
    return this.field.height;
  }

  get channels() {
    return this.field.channels;
  }

  get depth() {
    return this.field.depth;
  }

  get metadata() {
    return this.field.metadata;
  }

  get firstLevel() {
    return this.field.firstLevel;
  }

  get whole() {
    return this.field.whole;
  }

  async render(options = {}) {
    const view = viewOf(this.field, options);
    const range = await this.rangeOf(view.show);
    const image = await this.#ask('rgba', { view, range }, options);
    if (typeof ImageData === 'undefined') return image;
    return new ImageData(image.data, image.width, image.height);
  }

  async samples(options = {}) {
    return this.#ask('samples', { view: viewOf(this.field, { ...options, show: 'colour' }) }, options);
  }

  // Tiles of RGBA, {left, top, width, height, data}, for the Renderer.
  async renderTiles(options, signal, ontile) {
    const view = viewOf(this.field, options);
    const range = await this.rangeOf(view.show);
    await this.#ask('tiles', { view, range }, { signal, ontile });
  }

  // The magnitude of a derivative that is the end of the range shown.
  rangeOf(show) {
    if (show === 'colour') return Promise.resolve(1);
    if (!this.#ranges.has(show)) this.#ranges.set(show, this.#ask('range', { view: { show } }));
    return this.#ranges.get(show);
  }

  #ask(what, details, options) {
    if (this.closed) return Promise.reject(new SirenError('expected a picture, found a closed one'));
    return this.#connection.ask(this.#id, what, details, options);
  }

  at(x, y) {
    return Array.from(this.#jetAt(x, y, 0)[0]);
  }

  gradient(x, y) {
    const [, byX, byY] = this.#jetAt(x, y, 1);
    return Array.from(byX, (each, k) => [each, byY[k]]);
  }

  laplacian(x, y) {
    return Array.from(this.#jetAt(x, y, 2)[3]);
  }

  #jetAt(x, y, order) {
    for (const [name, value, length] of [['x', x, this.width], ['y', y, this.height]]) {
      if (!(value >= -0.5 && value <= length - 0.5)) {
        throw new SirenError(`${name} = ${value}: expected -0.5 to ${length - 0.5}`);
      }
    }
    return jetAt(this.field, [x], [y], order);
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    this.#connection.leave(this.#id);
  }
}
