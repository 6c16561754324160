/** Bicubic enlargement of an ImageData by WebGL2, to compare with: Catmull and Rom's, a = -1/2. */

const VERTICES = `#version 300 es
const vec2 corners[3] = vec2[](vec2(-1, -1), vec2(3, -1), vec2(-1, 3));
void main() { gl_Position = vec4(corners[gl_VertexID], 0, 1); }`;

const FRAGMENTS = `#version 300 es
precision highp float;
uniform sampler2D picture;
uniform vec4 region;   // x, y, width, height in pixels of the picture
uniform vec2 canvas;
out vec4 colour;

vec4 weights(float t) {
  vec4 d = vec4(1.0 + t, t, 1.0 - t, 2.0 - t);
  vec4 near = (1.5 * d - 2.5) * d * d + 1.0;
  vec4 far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
  return vec4(far.x, near.y, near.z, far.w);
}

void main() {
  vec2 size = vec2(textureSize(picture, 0));
  vec2 at = vec2(gl_FragCoord.x, canvas.y - gl_FragCoord.y) / canvas;
  vec2 place = region.xy + at * region.zw;
  if (any(lessThan(place, vec2(0))) || any(greaterThan(place, size))) {
    colour = vec4(0);
    return;
  }
  if (region.z > canvas.x) {
    colour = texture(picture, place / size);
    return;
  }
  vec2 first = floor(place - 0.5);
  vec2 t = place - 0.5 - first;
  vec4 across = weights(t.x);
  vec4 down = weights(t.y);
  vec4 sum = vec4(0);
  for (int i = 0; i < 4; i++) {
    for (int j = 0; j < 4; j++) {
      ivec2 cell = clamp(ivec2(first) + ivec2(j - 1, i - 1), ivec2(0), ivec2(size) - 1);
      sum += down[i] * across[j] * texelFetch(picture, cell, 0);
    }
  }
  colour = clamp(sum, 0.0, 1.0);
  colour.rgb = min(colour.rgb, colour.a);
}`;

export class Bicubic {
  #gl;
  #program;

  /** Throws an Error where there is no WebGL2. */
  constructor(canvas) {
    this.#gl = canvas.getContext('webgl2', { premultipliedAlpha: true });
    if (!this.#gl) throw new Error('this browser has no WebGL2 here');
    this.#program = program(this.#gl);
  }

  /** Take another picture. Throws an Error if it is too large. */
  take(image) {
    const gl = this.#gl;
    const most = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    if (Math.max(image.width, image.height) > most) {
      throw new Error(`expected at most ${most} pixels a side to enlarge`);
    }
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, image);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  }

  /** Draw a region of the picture, as siren.js has it, on a canvas of so many pixels. */
  draw({ x, y, width, height }, canvasWidth, canvasHeight) {
    const gl = this.#gl;
    gl.canvas.width = canvasWidth;
    gl.canvas.height = canvasHeight;
    gl.viewport(0, 0, canvasWidth, canvasHeight);
    gl.useProgram(this.#program);
    gl.uniform4f(gl.getUniformLocation(this.#program, 'region'), x, y, width, height);
    gl.uniform2f(gl.getUniformLocation(this.#program, 'canvas'), canvasWidth, canvasHeight);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}

function program(gl) {
  const made = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTICES],
    [gl.FRAGMENT_SHADER, FRAGMENTS],
  ]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) {
    throw new Error(`the enlargement cannot be compiled: ${gl.getProgramInfoLog(made)}`);
  }
  return made;
}
