// A picture on a canvas: by WebGL2 where there is one, else by tiles of the worker.
// web/siren.d.ts says what the members do.

import { SirenError } from './errors.js';
import { GpuPicture, sharedGpu } from './gpu.js';
import { viewOf } from './render.js';

export class Renderer {
  #context;
  #colorSpace;
  #gpu; // true: even a slow one; false: none
  #picture;
  #onGpu = null;
  #drawing = null;

  constructor(canvas, picture, { gpu, colorSpace = 'srgb' } = {}) {
    this.canvas = canvas;
    this.onrestore = null;
    this.#context = canvas.getContext('2d', { colorSpace });
    if (!this.#context) throw new SirenError('canvas: expected one without another context');
    this.#colorSpace = colorSpace;
    this.#gpu = gpu;
    this.update(picture);
  }

  get isGpu() {
    return this.#onGpu !== null;
  }

  update(picture) {
    if (picture === this.#picture) return;
    this.#dropGpu();
    this.#picture = picture;
    this.#takeGpu();
  }

  #takeGpu() {
    const gpu = this.#gpu === false ? null : sharedGpu(this.#gpu === true);
    if (!gpu?.takes(this.#picture.field)) return;
    this.#onGpu = new GpuPicture(gpu, this.#picture.field);
    gpu.gl.canvas.addEventListener('webglcontextlost', this.#lost);
  }

  #dropGpu() {
    if (!this.#onGpu) return;
    this.#onGpu.gpu.gl.canvas.removeEventListener('webglcontextlost', this.#lost);
    this.#onGpu.close();
    this.#onGpu = null;
  }

  // All that was on the GPU is gone: begin anew, with another context if there is one.
  #lost = () => {
    this.#drawing?.abort();
    this.#dropGpu();
    this.#takeGpu();
    this.onrestore?.();
  };

  async draw(options = {}) {
    this.#drawing?.abort();
    const drawing = new AbortController();
    this.#drawing = drawing;
    const { width: outWidth, height: outHeight } = this.canvas;
    const view = viewOf(this.#picture.field, { ...options, outWidth, outHeight });
    const drawn = this.#onGpu
      ? await this.#drawByGpu(view, drawing.signal)
      : await this.#drawByTiles(view, drawing.signal);
    if (this.#drawing === drawing) this.#drawing = null;
    return drawn;
  }

  async #drawByGpu(view, signal) {
    const onGpu = this.#onGpu;
    try {
      const span = await this.#picture.rangeOf(view.show);
      if (!(await onGpu.draw(view, span, () => signal.aborted))) return false;
    } catch (error) {
      if (error instanceof SirenError) throw error;
      // A shader that a driver does not take.
      console.warn(error);
      this.#gpu = false;
      this.#dropGpu();
      return this.#drawByTiles(view, signal);
    }
    onGpu.show(this.#context, this.#colorSpace);
    return true;
  }

  async #drawByTiles(view, signal) {
    const { outWidth, outHeight } = view;
    const rgba = new Uint8ClampedArray(4 * outWidth * outHeight);
    const image = new ImageData(rgba, outWidth, outHeight, { colorSpace: this.#colorSpace });
    try {
      await this.#picture.renderTiles(view, signal, ({ left, top, width, height, data }) => {
        for (let i = 0; i < height; i++) {
          const row = data.subarray(4 * i * width, 4 * (i + 1) * width);
          rgba.set(row, 4 * ((top + i) * outWidth + left));
        }
      });
    } catch (error) {
      if (signal.aborted) return false;
      throw error;
    }
    if (signal.aborted) return false;
    this.#context.putImageData(image, 0, 0);
    return true;
  }

  close() {
    this.#drawing?.abort();
    this.#dropGpu();
  }
}
