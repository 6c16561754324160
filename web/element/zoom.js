/** Where a picture lies in its box now, and how it gets to where it should be. */

import { between, held, moved, same, shown, zoomed } from './placement.js';

/** The most CSS pixels that a pixel of the picture may take. */
const MAX_SCALE = 1024;
/** The time in which an animated move makes 63% of its way. */
const EASE_MS = 45;
const LEAST_FRAME_MS = 8;
/** An animation ends where nobody would see the rest of it: CSS pixels. */
const THERE = 0.5;

/** The state of a picture that can be zoomed; `onchange` is called when it has changed. */
export class Zoom {
  /** {width, height} in CSS pixels, and in pixels of the picture. */
  box = null;
  #natural = null;
  /** The placement that the page gives the picture. */
  #home = null;
  #placement = null;
  /** Where an animation ends. */
  #goal = null;
  #frame = 0;
  #time = 0;
  #onchange;

  /** `onchange(moving)` may draw less well while the picture is moving. */
  constructor(onchange) {
    this.#onchange = onchange;
  }

  get placement() {
    return this.#placement;
  }
  /** What is seen: {x, y, width, height} in the picture's pixels, from its upper left corner. */
  get view() {
    return this.#placement && shown(this.#placement, this.box, this.#natural);
  }
  /** The CSS pixels that a pixel of the picture takes, across. */
  get scale() {
    return this.#placement && this.#placement.width / this.#natural.width;
  }
  get isMoving() {
    return this.#frame !== 0;
  }
  get canZoomOut() {
    return this.#placement !== null && this.#ahead.width > this.#home.width;
  }
  get isMovable() {
    return this.#placement !== null && !same(this.#ahead, this.#home);
  }

  /** Lay a picture into a box of the page; one that was zoomed keeps its scale and its middle. */
  lay(box, natural, home) {
    const stays = this.isMovable;
    const { view, scale } = this;
    Object.assign(this, { box });
    this.#natural = natural;
    this.#home = home;
    this.#goal = null;
    this.#placement = stays ? held(this.#around(view, scale), home, box) : home;
    this.#onchange(false);
  }

  /** Zoom around a point of the box; to no less than the picture has in its home. */
  zoomBy(factor, x, y, gentle) {
    if (this.#placement) this.#zoomTo(this.#ahead.width * factor, this.#home.width, x, y, gentle);
  }
  /** Zoom to so many CSS pixels for each of the picture, one of the screen at least. */
  zoomTo(scale, x, y, gentle) {
    if (!this.#placement) return;
    const least = Math.min(this.#natural.width / devicePixelRatio, this.#home.width);
    this.#zoomTo(this.#natural.width * scale, least, x, y, gentle);
  }
  moveBy(dx, dy, gentle) {
    if (this.#placement) this.#go(moved(this.#ahead, dx, dy), gentle);
  }
  reset() {
    if (this.#placement) this.#go(this.#home, true);
  }

  /** Forget the picture. */
  clear() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#placement = this.#goal = this.#home = null;
  }

  get #ahead() {
    return this.#goal ?? this.#placement;
  }

  #zoomTo(width, least, x, y, gentle) {
    const now = this.#ahead.width;
    const most = Math.max(this.#home.width, this.#natural.width * MAX_SCALE);
    // What is less than `least` already may stay so.
    const held = Math.min(Math.max(width, Math.min(least, now)), most);
    this.#go(zoomed(this.#ahead, held / now, x, y), gentle);
  }

  /** Return the placement with the middle of `view` in the middle of the box. */
  #around(view, scale) {
    const factor = (scale * this.#natural.width) / this.#home.width;
    const [width, height] = [this.#home.width * factor, this.#home.height * factor];
    const x = (view.x + view.width / 2) / this.#natural.width;
    const y = (view.y + view.height / 2) / this.#natural.height;
    const [left, top] = [this.box.width / 2 - x * width, this.box.height / 2 - y * height];
    return { left, top, width, height };
  }

  #go(placement, gentle) {
    this.#goal = held(placement, this.#home, this.box);
    if (!gentle || matchMedia('(prefers-reduced-motion: reduce)').matches) {
      this.#placement = this.#goal;
      this.#goal = null;
    }
    if (this.#frame) return;
    this.#time = performance.now();
    this.#frame = requestAnimationFrame((time) => this.#step(time));
  }

  #step(time) {
    this.#frame = 0;
    if (this.#goal) this.#approach(time);
    this.#onchange(true);
    if (!this.#goal) return;
    this.#time = time;
    this.#frame = requestAnimationFrame((next) => this.#step(next));
  }

  #approach(time) {
    const way = 1 - Math.exp(-Math.max(time - this.#time, LEAST_FRAME_MS) / EASE_MS);
    const there = between(this.#placement, this.#goal, way);
    const isThere = same(there, this.#goal, THERE);
    this.#placement = isThere ? this.#goal : there;
    if (isThere) this.#goal = null;
  }
}
