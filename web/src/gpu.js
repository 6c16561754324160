// WebGL2: one context for all pictures of a page (browsers allow few), which draws into textures
// and hands the result to the canvases.

import { cellsOf } from './architecture.js';
import { samplingOf } from './render.js';
import { fragmentShader, packWeights, SHARPEN, VERTEX, weightVectors } from './shader.js';

const MOST_WIDTH = 128; // of a network: a fragment holds all of a layer
const ALPHA_UNIT = 10; // the units before it are the levels'
const CELLS_AT_ONCE = 1 << 20; // that are sent to the GPU
const MILLISECONDS = 12; // that a draw call may take
const LEAST_SAMPLES = 1 << 15; // of a draw call, whatever it takes: each has its own cost

const shared = new Map();

// The context, or null where there is none; one that computes on the CPU only if it may be `slow`,
// for WebAssembly is quicker.
export function sharedGpu(slow) {
  if (shared.get(slow)?.gl.isContextLost()) shared.delete(slow);
  if (!shared.has(slow)) shared.set(slow, makeGpu(slow));
  return shared.get(slow);
}

function makeGpu(slow) {
  const canvas = typeof OffscreenCanvas === 'undefined'
    ? globalThis.document?.createElement('canvas')
    : new OffscreenCanvas(1, 1);
  const gl = canvas?.getContext('webgl2', {
    antialias: false, depth: false, premultipliedAlpha: false, preserveDrawingBuffer: true,
    failIfMajorPerformanceCaveat: !slow,
  });
  return gl && (slow || !isEmulated(gl)) ? new Gpu(gl) : null;
}

// Not every browser counts a GPU that the CPU emulates as a caveat.
function isEmulated(gl) {
  const info = gl.getExtension('WEBGL_debug_renderer_info');
  const name = gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  return /swiftshader|llvmpipe|softpipe|basic render/i.test(name);
}

class Gpu {
  constructor(gl) {
    this.gl = gl;
    this.programs = new Map();
    this.samplesPerMs = LEAST_SAMPLES / MILLISECONDS;
    this.mostCells = gl.getParameter(gl.MAX_TEXTURE_SIZE) - 2;
    this.mostBytes = gl.getParameter(gl.MAX_UNIFORM_BLOCK_SIZE);
    gl.bindVertexArray(gl.createVertexArray());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  }

  // Whether a picture's network and grids are small enough.
  takes({ architecture, width, height }) {
    return architecture.width <= MOST_WIDTH
      && 16 * weightVectors(architecture) <= this.mostBytes
      && Math.max(width, height) <= this.mostCells;
  }

  program(source) {
    if (!this.programs.has(source)) this.programs.set(source, this.compile(source));
    return this.programs.get(source);
  }

  compile(source) {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, source]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      const logs = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
      throw new Error(`WebGL2: ${[...logs, gl.getProgramInfoLog(program)].filter(Boolean)[0]}`);
    }
    return program;
  }

  // A texture without filtering, bound to a unit.
  texture(target, unit) {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(target, texture);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(target, filter, gl.NEAREST);
    }
    return texture;
  }

  // Wait until the GPU has done what it was given.
  async finished() {
    const { gl } = this;
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    while (fence && !gl.isContextLost()) {
      const state = gl.clientWaitSync(fence, 0, 0);
      if (state !== gl.TIMEOUT_EXPIRED) break;
      await new Promise((resolve) => {
        setTimeout(resolve, 1);
      });
    }
    gl.deleteSync(fence);
  }
}

// A picture on the GPU.
export class GpuPicture {
  constructor(gpu, field) {
    this.gpu = gpu;
    this.field = field;
    this.levels = new Map();
    this.target = null;
    this.alpha = field.alpha ? this.uploadAlpha() : null;
    this.weights = this.uploadWeights();
  }

  uploadWeights() {
    const { gl } = this.gpu;
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.UNIFORM_BUFFER, buffer);
    gl.bufferData(gl.UNIFORM_BUFFER, packWeights(this.field), gl.STATIC_DRAW);
    return buffer;
  }

  uploadAlpha() {
    const { gpu: { gl }, field: { width, height, depth, alpha } } = this;
    const texture = this.gpu.texture(gl.TEXTURE_2D, ALPHA_UNIT);
    const [format, type] = depth === 8 ? [gl.R8UI, gl.UNSIGNED_BYTE] : [gl.R16UI, gl.UNSIGNED_SHORT];
    gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RED_INTEGER, type, alpha);
    return texture;
  }

  // Bring the levels from `first` on to the GPU, as far as they are not there; return whether they
  // all are: not if `stop` says that nobody waits for it.
  async prepare(first, stop) {
    const { features } = this.field.architecture;
    for (let level = features.length - 1; level >= first; level--) {
      if (!features[level] || this.levels.has(level)) continue;
      const uploaded = await this.upload(level, features[level], stop);
      if (!uploaded) return false;
      // Another draw may have been as quick.
      if (this.levels.has(level)) this.gpu.gl.deleteTexture(uploaded.texture);
      else this.levels.set(level, uploaded);
    }
    return !stop();
  }

  async upload(level, count, stop) {
    const { gl } = this.gpu;
    const rows = cellsOf(this.field.height, level);
    const columns = cellsOf(this.field.width, level);
    const texture = this.gpu.texture(gl.TEXTURE_2D_ARRAY, 0);
    const groups = Math.ceil(count / 4);
    const format = count === 1 ? gl.R32I : gl.RGBA32I;
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, format, columns + 2, rows + 2, groups);
    for (let group = 0; group < groups; group++) {
      const first = this.field.architecture.firstGrid(level) + 4 * group;
      const some = Math.min(4, count - 4 * group);
      const grids = this.field.grids.slice(first, first + some);
      const raw = await this.uploadRaw(grids, rows, columns, stop);
      if (raw) this.sharpen(raw, texture, group, some, rows, columns);
      gl.deleteTexture(raw);
      if (!raw) {
        gl.deleteTexture(texture);
        return null;
      }
    }
    return { texture, rows, columns };
  }

  // The integers of some grids, a layer of a texture each, sent bit by bit.
  async uploadRaw(grids, rows, columns, stop) {
    const { gpu, gpu: { gl } } = this;
    const texture = gpu.texture(gl.TEXTURE_2D_ARRAY, 0);
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.R16I, columns, rows, grids.length);
    const some = Math.max(1, Math.floor(CELLS_AT_ONCE / columns));
    for (const [layer, grid] of grids.entries()) {
      for (let row = 0; grid && row < rows; row += some) {
        const height = Math.min(some, rows - row);
        const cells = grid.subarray(row * columns, (row + height) * columns);
        gl.activeTexture(gl.TEXTURE0);
        gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
        gl.texSubImage3D(
          gl.TEXTURE_2D_ARRAY, 0, 0, row, layer, columns, height, 1, gl.RED_INTEGER, gl.SHORT, cells,
        );
        if (height < some || rows === some) continue;
        await gpu.finished();
        if (stop()) {
          gl.deleteTexture(texture);
          return null;
        }
      }
    }
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
    return texture;
  }

  sharpen(raw, texture, group, count, rows, columns) {
    const { gpu, gpu: { gl } } = this;
    const program = gpu.program(SHARPEN);
    const framebuffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.framebufferTextureLayer(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, texture, 0, group);
    gl.viewport(0, 0, columns + 2, rows + 2);
    gl.useProgram(program);
    gl.uniform1i(gl.getUniformLocation(program, 'grids'), 0);
    gl.uniform2i(gl.getUniformLocation(program, 'size'), columns, rows);
    gl.uniform1i(gl.getUniformLocation(program, 'count'), count);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.deleteFramebuffer(framebuffer);
  }

  // Draw a view, part by part, into the target; return whether it is all drawn: not if `stop` says
  // that nobody waits for it.
  async draw(view, span, stop) {
    const { gpu, gpu: { gl }, field } = this;
    const sampling = samplingOf(field, view);
    if (!(await this.prepare(Math.max(sampling.shown, field.firstLevel), stop))) return false;
    const program = gpu.program(fragmentShader(field, view.show));
    this.resize(view.outWidth, view.outHeight);
    const samples = sampling.overX * sampling.overY;
    for (let top = 0; top < view.outHeight; ) {
      const pixels = Math.max(LEAST_SAMPLES, gpu.samplesPerMs * MILLISECONDS) / samples;
      const height = Math.min(Math.max(1, Math.floor(pixels / view.outWidth)), view.outHeight - top);
      const width = Math.min(Math.max(1, Math.floor(pixels / height)), view.outWidth);
      for (let left = 0; left < view.outWidth; left += width) {
        const part = { left, top, width: Math.min(width, view.outWidth - left), height };
        const began = performance.now();
        this.drawPart(program, view, sampling, span, part);
        await gpu.finished();
        if (stop() || gl.isContextLost()) return false;
        this.learn(part.width * part.height * samples, performance.now() - began);
      }
      top += height;
    }
    return true;
  }

  // Half of what is known of the GPU's speed is what it did last; a fence is seen a bit late.
  learn(samples, milliseconds) {
    const { gpu } = this;
    const rate = samples / Math.max(milliseconds, 1);
    gpu.samplesPerMs = Math.min((gpu.samplesPerMs + rate) / 2, 4 * gpu.samplesPerMs);
  }

  resize(width, height) {
    const { gpu, gpu: { gl }, target } = this;
    if (target?.width === width && target.height === height) return;
    this.dropTarget();
    const texture = gpu.texture(gl.TEXTURE_2D, 0);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
    const framebuffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    this.target = { width, height, texture, framebuffer };
  }

  drawPart(program, view, { shown, overX, overY }, span, { left, top, width, height }) {
    const { gpu: { gl }, field, target } = this;
    const bottom = view.outHeight - top - height;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.framebuffer);
    gl.viewport(0, 0, view.outWidth, view.outHeight);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(left, bottom, width, height);
    gl.useProgram(program);
    this.bind(program);
    const at = (name) => gl.getUniformLocation(program, name);
    const paceX = view.width / view.outWidth / overX;
    const paceY = view.height / view.outHeight / overY;
    const firstX = view.x - 0.5 + (left * overX + 0.5) * paceX;
    const firstY = view.y - 0.5 + (top * overY + 0.5) * paceY;
    const base = [firstX, firstY].map((each) => Math.max(Math.min(Math.floor(each), 65535), -65535));
    gl.uniform2i(at('picture'), field.width, field.height);
    gl.uniform2i(at('base'), ...base);
    gl.uniform2f(at('start'), firstX - base[0], firstY - base[1]);
    gl.uniform2f(at('pace'), paceX, paceY);
    gl.uniform2i(at('over'), overX, overY);
    gl.uniform1i(at('firstLevel'), Math.max(shown, field.firstLevel));
    gl.uniform2i(at('corner'), left, top);
    gl.uniform1i(at('rows'), view.outHeight);
    gl.uniform1f(at('span'), span);
    gl.uniform1f(at('peak'), field.peak);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.disable(gl.SCISSOR_TEST);
  }

  bind(program) {
    const { gpu: { gl }, levels, alpha, weights } = this;
    gl.uniformBlockBinding(program, gl.getUniformBlockIndex(program, 'Weights'), 0);
    gl.bindBufferBase(gl.UNIFORM_BUFFER, 0, weights);
    const { features } = this.field.architecture;
    features.forEach((_, level) => {
      gl.activeTexture(gl.TEXTURE0 + level);
      const found = levels.get(level);
      gl.bindTexture(gl.TEXTURE_2D_ARRAY, found?.texture ?? null);
      gl.uniform1i(gl.getUniformLocation(program, `grid${level}`), level);
      gl.uniform2i(gl.getUniformLocation(program, `size${level}`), found?.columns ?? 1, found?.rows ?? 1);
    });
    gl.activeTexture(gl.TEXTURE0 + ALPHA_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, alpha);
    gl.uniform1i(gl.getUniformLocation(program, 'alphas'), ALPHA_UNIT);
  }

  // Copy the target to a 2D context.
  show(context, colorSpace) {
    const { gpu: { gl }, target: { width, height, framebuffer } } = this;
    const { canvas } = gl;
    if (canvas.width < width || canvas.height < height) {
      canvas.width = Math.max(canvas.width, width);
      canvas.height = Math.max(canvas.height, height);
    }
    if ('drawingBufferColorSpace' in gl) gl.drawingBufferColorSpace = colorSpace;
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, framebuffer);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, null);
    gl.blitFramebuffer(0, 0, width, height, 0, 0, width, height, gl.COLOR_BUFFER_BIT, gl.NEAREST);
    context.globalCompositeOperation = 'copy';
    context.drawImage(canvas, 0, canvas.height - height, width, height, 0, 0, width, height);
  }

  dropTarget() {
    const { gl } = this.gpu;
    if (!this.target) return;
    gl.deleteFramebuffer(this.target.framebuffer);
    gl.deleteTexture(this.target.texture);
    this.target = null;
  }

  close() {
    const { gl } = this.gpu;
    for (const { texture } of this.levels.values()) gl.deleteTexture(texture);
    gl.deleteBuffer(this.weights);
    gl.deleteTexture(this.alpha);
    this.dropTarget();
  }
}
