/** A canvas that shows a part of a picture: at once as well as it can, then as it is. */

import { shown } from './placement.js';
import { Renderer } from '../src/index.js';

/** What a frame may take while the picture moves; a slower device draws fewer pixels then. */
const BUDGET_MS = 30;
const LEAST_SHARE = 1 / 8;

/**
 * Draws what it is asked for and keeps the last drawing until the next one is whole. In between
 * the last one is moved and stretched to where the new one will be.
 *
 * A scene is {placement, box, pixels, show}: where the whole picture lies in the box (CSS pixels),
 * the box's size in CSS and in device pixels, and what of the picture is drawn.
 */
export class Stage {
  canvas = document.createElement('canvas');
  /** How its colours are shown: 'srgb', 'display-p3', or 'unknown', as if they were sRGB. */
  colours;
  #picture;
  #context;
  #ondraw;
  /** Draws on a canvas of its own, which the one on the page copies when it is whole. */
  #renderer;
  #scene = null;
  /** The scene that the canvas has; `stale` if the picture has more by now. */
  #drawn = null;
  #drawing = null;
  #msPerPixel = 0;
  #closed = false;

  /** `space` is a colour space of CSS, or null for one that no canvas has. */
  constructor(picture, space, ondraw) {
    this.#picture = picture;
    this.#ondraw = ondraw;
    const colorSpace = space ?? 'srgb';
    this.#context = this.canvas.getContext('2d', { colorSpace });
    const got = this.#context.getContextAttributes?.().colorSpace ?? 'srgb';
    this.colours = got === space ? space : 'unknown';
    // All pictures share one context of WebGL, which keeps the colours that it began with.
    const gpu = got === 'srgb' ? undefined : false;
    const options = { colorSpace: got, gpu };
    this.#renderer = new Renderer(document.createElement('canvas'), picture, options);
    this.#renderer.onrestore = () => {
      this.#drawing = null;
      this.#again();
    };
  }

  /** Take further layers of the picture. */
  update(picture) {
    this.#picture = picture;
    this.#renderer.update(picture);
    this.#again();
  }

  /** Show a scene; while the picture is `moving` its pixels may be fewer. */
  show(scene, moving) {
    this.#scene = { ...scene, share: moving ? this.#affordable(scene.pixels) : 1 };
    this.#move();
    // A drawing under way goes on, unless it is a long one of what has moved on.
    if (this.#drawing && moving && this.#drawing.share > this.#scene.share) this.#drawing = null;
    this.#work();
  }

  /** Whether the canvas has the scene, and all of the picture that there is. */
  get isCurrent() {
    return this.#drawn !== null && this.#drawing === null && !this.#isDue();
  }

  close() {
    this.#closed = true;
    this.#renderer.close();
    this.canvas.width = this.canvas.height = 0;
    this.canvas.remove();
  }

  #again() {
    if (this.#drawn) this.#drawn.stale = true;
    if (this.#drawing) this.#drawing.stale = true;
    this.#work();
  }

  #affordable({ width, height }) {
    const share = Math.sqrt(BUDGET_MS / Math.max(this.#msPerPixel * width * height, BUDGET_MS));
    return Math.max(share, LEAST_SHARE);
  }

  /** Lay the last drawing where the scene has what it shows. */
  #move() {
    if (!this.#drawn) return;
    const [from, to] = [this.#drawn.placement, this.#scene.placement];
    const [across, down] = [to.width / from.width, to.height / from.height];
    const [x, y] = [to.left - from.left * across, to.top - from.top * down];
    this.canvas.style.transform = `matrix(${across}, 0, 0, ${down}, ${x}, ${y})`;
  }

  #isDue() {
    const [scene, drawn] = [this.#scene, this.#drawn];
    return !this.#closed && scene !== null && (drawn !== scene || drawn.stale);
  }

  /** Draw until the canvas shows the scene. */
  async #work() {
    while (this.#isDue() && !this.#drawing) {
      const scene = (this.#drawing = this.#scene);
      scene.stale = false;
      const whole = await this.#draw(scene);
      if (this.#drawing !== scene) return;
      this.#drawing = null;
      // Taken over, or its context is lost: `onrestore` begins again.
      if (!whole || this.#closed) return;
      this.#copy(scene);
    }
  }

  async #draw(scene) {
    const { width, height } = scene.pixels;
    const { canvas } = this.#renderer;
    canvas.width = Math.max(1, Math.round(width * scene.share));
    canvas.height = Math.max(1, Math.round(height * scene.share));
    const began = performance.now();
    const region = shown(scene.placement, scene.box, this.#picture);
    const whole = await this.#renderer.draw({ ...region, show: scene.show });
    if (whole) this.#msPerPixel = (performance.now() - began) / (canvas.width * canvas.height);
    return whole;
  }

  #copy(scene) {
    const from = this.#renderer.canvas;
    this.canvas.width = from.width;
    this.canvas.height = from.height;
    this.#context.drawImage(from, 0, 0);
    this.canvas.style.width = `${scene.box.width}px`;
    this.canvas.style.height = `${scene.box.height}px`;
    this.#drawn = scene;
    this.#move();
    this.#ondraw();
  }
}
