/** Lines between the picture's own pixels, where these are large enough. */

const FROM = 8;
const WHOLLY_FROM = 16;
const STRENGTH = 0.24;

export class Grid {
  #canvas;
  #context;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
  }

  /** Draw what belongs over a view; none for null, or below 8 device pixels for each pixel. */
  draw(view, { width, height, scale, naturalWidth, naturalHeight }) {
    const zoom = view ? scale * devicePixelRatio : 0;
    this.#canvas.hidden = zoom < FROM;
    if (this.#canvas.hidden) return;
    const canvas = this.#canvas;
    canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = Math.round(height * devicePixelRatio);
    const faded = Math.min((zoom - FROM) / (WHOLLY_FROM - FROM) + 0.3, 1);
    this.#context.fillStyle = `rgb(255 255 255 / ${STRENGTH * faded})`;
    const across = edges(view.x, view.width, naturalWidth, canvas.width);
    const down = edges(view.y, view.height, naturalHeight, canvas.height);
    const [left, right] = extent(view.x, view.width, naturalWidth, canvas.width);
    const [top, bottom] = extent(view.y, view.height, naturalHeight, canvas.height);
    for (const x of across) this.#context.fillRect(x, top, 1, bottom - top);
    for (const y of down) this.#context.fillRect(left, y, right - left, 1);
  }
}

/** Return where the edges of pixels that are seen lie on a canvas. */
function edges(start, length, count, room) {
  const first = Math.max(Math.ceil(start), 0);
  const last = Math.min(Math.floor(start + length), count);
  const places = Array.from({ length: last - first + 1 }, (_, k) => first + k);
  return places.map((edge) => Math.round(((edge - start) / length) * room));
}

/** Return where the picture itself begins and ends on a canvas. */
function extent(start, length, count, room) {
  const places = [-start, count - start].map((edge) => Math.round((edge / length) * room));
  return [Math.max(places[0], 0), Math.min(places[1], room)];
}
