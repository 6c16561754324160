/** Where the pointer is in the picture, and what the function has there. */

const $ = (id) => document.getElementById(id);
const MINUS = '\u2212';

export class Readout {
  #picture;
  #pointer = null;

  constructor(picture) {
    this.#picture = picture;
    const at = (event) => this.#point([event.clientX, event.clientY]);
    picture.addEventListener('pointermove', at);
    picture.addEventListener('pointerdown', at);
    picture.addEventListener('pointerleave', () => this.#point(null));
  }

  update() {
    const place = this.#place();
    $('readout').hidden = place === null;
    if (place === null) return;
    const { picture: found, show, scale } = this.#picture;
    const digits = Math.max(1, Math.ceil(Math.log10(scale * devicePixelRatio)));
    $('place').textContent = place.map((value) => number(value, digits)).join(', ');
    $('swatch').hidden = show !== 'colour';
    const words = { colour: colours, gradient: gradients, laplacian: laplacians }[show];
    $('values').textContent = words(found, ...place);
    if (show === 'colour') $('swatch').style.background = css(found, found.at(...place));
  }

  #point(pointer) {
    this.#pointer = pointer;
    this.update();
  }

  /** Return (x, y) in the coordinates of pixel centres; null outside the picture. */
  #place() {
    const { view, picture: found, width, height } = this.#picture;
    if (!this.#pointer || !view) return null;
    const x = view.x + (this.#pointer[0] / width) * view.width - 0.5;
    const y = view.y + (this.#pointer[1] / height) * view.height - 0.5;
    const isInside = x >= -0.5 && y >= -0.5 && x <= found.width - 0.5 && y <= found.height - 0.5;
    return isInside ? [x, y] : null;
  }
}

function colours(found, x, y) {
  return samples(found, found.at(x, y)).join(' ');
}

/** The length of each channel's gradient. */
function gradients(found, x, y) {
  const lengths = found.gradient(x, y).map(([dx, dy]) => number(Math.hypot(dx, dy), 1));
  return `|\u2207| ${lengths.join(' ')} per pixel`;
}

function laplacians(found, x, y) {
  return `\u0394 ${found.laplacian(x, y).map((value) => number(value, 1)).join(' ')} per pixel\u00b2`;
}

function samples({ depth }, values) {
  return values.map((value) => Math.round(Math.min(Math.max(value, 0), 2 ** depth - 1)));
}

function css(found, values) {
  const bytes = samples(found, values).map((value) => (value * 255) / (2 ** found.depth - 1));
  const [red, green, blue] = bytes.length < 3 ? [bytes[0], bytes[0], bytes[0]] : bytes;
  return `rgb(${red} ${green} ${blue})`;
}

function number(value, digits) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace('-', '') : text.replace('-', MINUS);
}
