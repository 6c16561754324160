/** What hands do to a zoomable picture: wheel, drag, pinch, double click, keys. */

const WHEEL = 0.0015;
const PINCH_ON_A_PAD = 0.01;
const LINE = 16;
const STEP = Math.SQRT2;
const PART_OF_THE_BOX = 1 / 8;

/**
 * Listens on an element and asks `target` to move:
 *
 *     target.zoomBy(factor, x, y, gentle)   around a point in CSS pixels of the element
 *     target.moveBy(dx, dy, gentle)
 *     target.reset()
 *     target.canZoomOut, target.isMovable   what is left to others is not taken from the page
 *
 * `gentle` moves may be animated; those under a finger must not be.
 */
export class Gestures {
  #element;
  #target;
  #pointers = new Map();
  #ending = new AbortController();

  constructor(element, target) {
    this.#element = element;
    this.#target = target;
    const options = { signal: this.#ending.signal };
    element.addEventListener('wheel', (event) => this.#wheel(event), { ...options, passive: false });
    element.addEventListener('pointerdown', (event) => this.#down(event), options);
    element.addEventListener('pointermove', (event) => this.#move(event), options);
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      element.addEventListener(end, (event) => this.#pointers.delete(event.pointerId), options);
    }
    element.addEventListener('dblclick', (event) => this.#doubleClick(event), options);
    element.addEventListener('keydown', (event) => this.#key(event), options);
  }

  close() {
    this.#ending.abort();
  }

  #wheel(event) {
    // At home the wheel scrolls the page on.
    if (event.deltaY === 0 || (event.deltaY > 0 && !this.#target.canZoomOut)) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1);
    // Browsers give pinching on a touch pad as a wheel with Ctrl.
    const rate = event.ctrlKey ? PINCH_ON_A_PAD : WHEEL;
    this.#target.zoomBy(Math.exp(-pixels * rate), ...this.#place(event), !event.ctrlKey);
  }

  #down(event) {
    if (event.button !== 0) return;
    this.#element.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#place(event));
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#place(event);
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId);
    this.#pointers.set(event.pointerId, now);
    if (others.length === 0) {
      this.#target.moveBy(now[0] - before[0], now[1] - before[1], false);
    } else if (others.length === 1) {
      this.#pinch(before, now, others[0][1]);
    }
  }

  #pinch(before, now, other) {
    const factor = distance(now, other) / Math.max(distance(before, other), 1);
    // In this order: what fills its box cannot move before it is larger.
    this.#target.zoomBy(factor, (before[0] + other[0]) / 2, (before[1] + other[1]) / 2, false);
    this.#target.moveBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2, false);
  }

  #doubleClick(event) {
    event.preventDefault();
    this.#target.zoomBy(event.shiftKey ? 1 / 2 : 2, ...this.#place(event), true);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.#do(event.key)) return;
    event.preventDefault();
  }

  /** Do what a key says; tell whether it says anything. */
  #do(key) {
    const { clientWidth: width, clientHeight: height } = this.#element;
    const zoom = (factor) => this.#target.zoomBy(factor, width / 2, height / 2, true);
    const move = (across, down) =>
      this.#target.moveBy(across * width * PART_OF_THE_BOX, down * height * PART_OF_THE_BOX, true);
    const zooms = { '+': STEP, '=': STEP, '-': 1 / STEP, _: 1 / STEP };
    const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (key in zooms) zoom(zooms[key]);
    else if (key === '0') this.#target.reset();
    else if (key in moves && this.#target.isMovable) move(...moves[key]);
    else return false;
    return true;
  }

  #place(event) {
    const { left, top } = this.#element.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }
}

function distance([x, y], [otherX, otherY]) {
  return Math.hypot(x - otherX, y - otherY);
}
