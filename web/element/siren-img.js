/** `<siren-img src="photo.siren" alt="...">`: behaves as `<img>`, and zooms if it is `zoomable`. */

import { colourSpace } from './colours.js';
import { Gestures } from './gestures.js';
import { open } from '../src/index.js';
import { placed } from './placement.js';
import { Stage } from './stage.js';
import { Zoom } from './zoom.js';

/** How far from the window a lazy picture begins to load. */
const NEARLY_SEEN = '800px';
/** After the last move the picture is drawn with all its pixels. */
const REST_MS = 120;
const STEP = 2;

const STYLE = `
  :host { display: inline-block; overflow: hidden; contain: layout paint; }
  :host([hidden]) { display: none; }
  .stage { position: absolute; overflow: hidden; outline: none; user-select: none; }
  .stage:focus-visible { outline: 2px solid Highlight; outline-offset: -2px; }
  .stage.zooms { touch-action: pan-x pan-y; cursor: zoom-in; }
  .stage.zoomed { touch-action: none; cursor: grab; }
  .stage.zoomed:active { cursor: grabbing; }
  canvas { position: absolute; left: 0; top: 0; transform-origin: 0 0; }
  .controls { position: absolute; right: 8px; top: 8px; display: flex; gap: 1px;
    border-radius: 6px; overflow: hidden; opacity: 0; transition: opacity 0.15s; }
  :host(:hover) .controls, :host(:focus-within) .controls { opacity: 1; }
  .controls button { all: unset; width: 28px; height: 28px; text-align: center; cursor: pointer;
    font: 16px/28px system-ui, sans-serif; color: #fff; background: rgb(20 20 20 / 0.65); }
  .controls button:hover { background: rgb(60 60 60 / 0.8); }
  .controls button:focus-visible { outline: 2px solid #fff; outline-offset: -3px; }
  .status { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  @media (prefers-reduced-motion: reduce) { .controls { transition: none; } }
`;

const SHADOW = `
  <div class="stage" part="picture" role="img"></div>
  <div class="controls" part="controls" hidden>
    <button type="button" data-do="in" aria-label="Zoom in">+</button>
    <button type="button" data-do="out" aria-label="Zoom out">\u2212</button>
    <button type="button" data-do="reset" aria-label="Reset zoom">\u2922</button>
  </div>
  <div class="status" aria-live="polite"></div>
  <span part="alt" hidden></span>
`;

/** Where there is no page, as under node, the class can be imported all the same. */
const Base = globalThis.HTMLElement ?? class {};

/**
 * Events: `load` and `error` (with `message`) as of `img`; `layer` when a coarser picture has come;
 * `draw` when the canvas shows what it should; `view` when the visible part has changed.
 */
export class SirenImage extends Base {
  static observedAttributes = ['src', 'alt', 'width', 'height', 'loading', 'zoomable', 'show'];
  /** What `open` is given as `priors` by all elements: see siren.d.ts. */
  static priors = undefined;

  #root;
  #stageElement;
  #sheet;
  #stage = null;
  #picture = null;
  /** The finest level of its grids that is shown. */
  #shownLevel = 0;
  #error = null;
  /** 'empty', 'waiting' for layers, 'arriving', 'loaded' or 'broken'. */
  #state = 'empty';
  #loading = null;
  #settled = settling();
  #isStarting = false;
  #gestures = null;
  /** The content box in CSS pixels, and its size in device pixels. */
  #box = null;
  #pixels = null;
  #zoom = new Zoom((moving) => this.#changed(moving));
  #rest = 0;
  #sizes;
  #nearness = null;

  constructor() {
    super();
    this.#root = this.attachShadow({ mode: 'open', delegatesFocus: true });
    this.#root.innerHTML = SHADOW;
    this.#stageElement = this.#root.querySelector('.stage');
    this.#sheet = new CSSStyleSheet();
    const common = new CSSStyleSheet();
    common.replaceSync(STYLE);
    this.#root.adoptedStyleSheets = [common, this.#sheet];
    this.#root.querySelector('.controls').addEventListener('click', (event) => this.#press(event));
    this.#sizes = new ResizeObserver((entries) => this.#resize(entries.at(-1)));
  }

  // What img has.

  get src() {
    const source = this.getAttribute('src');
    return source === null || source === '' ? '' : new URL(source, this.baseURI).href;
  }
  set src(value) {
    this.setAttribute('src', value);
  }
  get currentSrc() {
    return this.#state === 'empty' ? '' : this.src;
  }
  get alt() {
    return this.getAttribute('alt') ?? '';
  }
  set alt(value) {
    this.setAttribute('alt', value);
  }
  get loading() {
    return this.getAttribute('loading')?.toLowerCase() === 'lazy' ? 'lazy' : 'eager';
  }
  set loading(value) {
    this.setAttribute('loading', value);
  }
  /** The width as shown, in CSS pixels; the picture's where it is not shown. */
  get width() {
    return this.#length('width', 'Left', 'Right') ?? this.naturalWidth;
  }
  set width(value) {
    this.setAttribute('width', value);
  }
  get height() {
    return this.#length('height', 'Top', 'Bottom') ?? this.naturalHeight;
  }
  set height(value) {
    this.setAttribute('height', value);
  }
  get naturalWidth() {
    return this.#picture?.width ?? 0;
  }
  get naturalHeight() {
    return this.#picture?.height ?? 0;
  }
  get complete() {
    return !this.#isStarting && ['empty', 'loaded', 'broken'].includes(this.#state);
  }
  /** A length of its content box in whole pixels, laid out now; null where it has no box. */
  #length(name, before, after) {
    if (!this.getClientRects().length) return null;
    const style = getComputedStyle(this);
    const padding = parseFloat(style[`padding${before}`]) + parseFloat(style[`padding${after}`]);
    const inner = name === 'width' ? this.clientWidth : this.clientHeight;
    return Math.round(inner - padding);
  }
  /** Wait until all of the picture is there. Rejects with an EncodingError. */
  decode() {
    return this.#settled.promise;
  }

  // What img has not.

  /** Wait until the canvas shows what it should, with all of its pixels and at rest. */
  async drawn() {
    while (!this.#stage?.isCurrent || this.#zoom.isMoving || this.#rest !== 0) {
      await new Promise((resolve) => this.addEventListener('draw', resolve, { once: true }));
    }
  }
  get zoomable() {
    return this.hasAttribute('zoomable');
  }
  set zoomable(value) {
    this.toggleAttribute('zoomable', Boolean(value));
  }
  /** 'colour', 'gradient' or 'laplacian'. */
  get show() {
    const show = this.getAttribute('show');
    return ['gradient', 'laplacian'].includes(show) ? show : 'colour';
  }
  set show(value) {
    this.setAttribute('show', value);
  }
  /** The Picture, as soon as its first layer has come; it ends with the element. */
  get picture() {
    return this.#picture;
  }
  /** Why it is broken. */
  get error() {
    return this.#error;
  }
  /** 'srgb' or 'display-p3'; 'unknown' where colours of an ICC profile are shown as if sRGB. */
  get colours() {
    return this.#stage?.colours ?? null;
  }
  /** What is seen: {x, y, width, height} in the picture's pixels, from its upper left corner. */
  get view() {
    return this.#zoom.view;
  }
  /** The CSS pixels that a pixel of the picture takes, across. */
  get scale() {
    return this.#zoom.scale;
  }
  /** Zoom around a point in CSS pixels of the content box; by itself its middle. */
  zoomBy(factor, x = this.width / 2, y = this.height / 2, gentle = false) {
    this.#zoom.zoomBy(factor, x, y, gentle);
  }
  /** Zoom to so many CSS pixels for each of the picture. */
  zoomTo(scale, x = this.width / 2, y = this.height / 2, gentle = false) {
    this.#zoom.zoomTo(scale, x, y, gentle);
  }
  /** Move the picture by CSS pixels. */
  moveBy(dx, dy, gentle = false) {
    this.#zoom.moveBy(dx, dy, gentle);
  }
  /** Show the picture as the page places it. */
  reset() {
    this.#zoom.reset();
  }

  // The element's life.

  connectedCallback() {
    observePixels(this.#sizes, this);
    this.#label();
    if (this.#state === 'empty') this.#restart();
  }

  disconnectedCallback() {
    // An element that is only moved stays as it is.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#free();
      this.#sizes.disconnect();
    });
  }

  attributeChangedCallback(name, before, after) {
    if (name === 'src') this.#restart();
    else if (name === 'loading' && this.loading === 'eager' && this.#nearness) this.#load();
    else if (name === 'show' && before !== after) this.#draw(false);
    else this.#label();
  }

  /** Begin anew, once all attributes are set. */
  #restart() {
    if (this.#isStarting) return;
    this.#free();
    this.#isStarting = true;
    queueMicrotask(() => {
      this.#isStarting = false;
      if (!this.isConnected) return;
      if (!this.hasAttribute('src')) return;
      this.#enter('waiting');
      if (this.loading === 'lazy') this.#loadWhenNear();
      else this.#load();
    });
  }

  #loadWhenNear() {
    const options = { rootMargin: NEARLY_SEEN };
    this.#nearness = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.#load();
    }, options);
    this.#nearness.observe(this);
  }

  async #load() {
    this.#nearness?.disconnect();
    this.#nearness = null;
    const loading = (this.#loading = new AbortController());
    const { signal } = loading;
    const onlayer = (picture) => this.#take(picture, signal);
    try {
      if (this.src === '') throw new TypeError('src: expected the address of a file, found none');
      const { priors } = SirenImage;
      const picture = await open(this.src, { signal, onlayer, priors, partial: true });
      if (!this.#take(picture, signal)) return picture.close();
      this.#enter('loaded');
      this.#settled.resolve();
      this.dispatchEvent(new Event('load'));
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** Show a picture, or the layers of it that have come; tell whether it is still wanted. */
  #take(picture, signal) {
    if (signal.aborted) return false;
    if (this.#picture !== picture) this.#begin(picture);
    else if (this.#shownLevel !== picture.firstLevel) this.#stage.update(picture);
    else return true;
    this.#shownLevel = picture.firstLevel;
    this.dispatchEvent(new Event('layer'));
    return true;
  }

  #begin(picture) {
    this.#picture = picture;
    const space = colourSpace(picture.metadata.icc, picture.channels);
    this.#stage = new Stage(picture, space, () => this.dispatchEvent(new Event('draw')));
    this.#stageElement.append(this.#stage.canvas);
    this.toggleAttribute('data-unmanaged-colours', this.colours === 'unknown');
    this.#enter('arriving');
    this.#place();
  }

  #fail(error) {
    this.#free();
    this.#error = error;
    this.#enter('broken');
    this.#settled.reject(new DOMException(error.message, 'EncodingError'));
    this.dispatchEvent(new ErrorEvent('error', { message: error.message, error }));
  }

  /** Let go of all that loading and drawing hold. */
  #free() {
    this.#loading?.abort();
    this.#nearness?.disconnect();
    this.#stage?.close();
    this.#picture?.close();
    this.#zoom.clear();
    this.#stopResting();
    this.#settled.reject(new DOMException('the picture was taken away', 'EncodingError'));
    this.#settled = settling();
    this.#loading = this.#nearness = this.#stage = this.#picture = this.#error = null;
    this.#enter('empty');
  }

  // How it lies on the page.

  #enter(state) {
    this.#state = state;
    this.#label();
  }

  /** Bring size, alt text and controls in line with state and attributes. */
  #label() {
    const isBroken = this.#state === 'broken';
    const zooms = this.zoomable && this.#picture !== null;
    const stage = this.#stageElement;
    this.#sheet.replaceSync(`:host { ${this.#size()} }`);
    stage.hidden = isBroken;
    const text = this.#root.querySelector('[part=alt]');
    text.hidden = !isBroken;
    text.textContent = isBroken ? this.alt : '';
    stage.setAttribute('role', this.alt === '' && !zooms ? 'presentation' : 'img');
    setOrRemove(stage, 'aria-label', this.alt || (zooms ? 'picture' : null));
    setOrRemove(stage, 'aria-roledescription', zooms ? 'zoomable picture' : null);
    setOrRemove(stage, 'tabindex', zooms ? '0' : null);
    stage.classList.toggle('zooms', zooms);
    this.#root.querySelector('.controls').hidden = !zooms;
    if (zooms && !this.#gestures) this.#gestures = new Gestures(stage, this.#zoom);
    if (!zooms) this.#gestures = this.#gestures?.close() ?? null;
  }

  /** Return the element's size in CSS, as far as the page does not say otherwise. */
  #size() {
    const [width, height] = [dimension(this, 'width'), dimension(this, 'height')];
    const hints = `${width ? `width: ${width};` : ''} ${height ? `height: ${height};` : ''}`;
    if (this.#state === 'broken') return hints;
    const natural = this.#picture;
    const [across, down] = natural
      ? [natural.width, natural.height]
      : [parseFloat(width), parseFloat(height)];
    const ratio = across > 0 && down > 0 ? `aspect-ratio: auto ${across} / ${down};` : '';
    const inner = natural ? `${natural.width}px ${natural.height}px` : '0 0';
    return `contain: size layout paint; contain-intrinsic-size: ${inner}; width: fit-content; ${ratio} ${hints}`;
  }

  #resize(entry) {
    const { left, top, width, height } = entry.contentRect;
    this.#box = { left, top, width, height };
    const exact = entry.devicePixelContentBoxSize?.[0];
    this.#pixels = exact
      ? { width: exact.inlineSize, height: exact.blockSize }
      : { width: width * devicePixelRatio, height: height * devicePixelRatio };
    Object.assign(this.#stageElement.style, {
      left: `${left}px`,
      top: `${top}px`,
      width: `${width}px`,
      height: `${height}px`,
    });
    this.#place();
  }

  #place() {
    if (!this.#picture || !this.#box?.width || !this.#box.height) return;
    const { objectFit, objectPosition } = getComputedStyle(this);
    const home = placed(this.#box, this.#picture, objectFit, objectPosition);
    this.#zoom.lay(this.#box, this.#picture, home);
  }

  // What is seen of it.

  /** Draw what is seen now, and tell; after a while of rest with all pixels. */
  #changed(moving) {
    this.#draw(moving);
    this.#stopResting();
    if (moving) this.#rest = setTimeout(() => this.#settle(), REST_MS);
    this.#stageElement.classList.toggle('zoomed', this.zoomable && this.#zoom.isMovable);
    this.dispatchEvent(new Event('view'));
  }

  #draw(moving) {
    if (!this.#stage || !this.#zoom.placement) return;
    const scene = {
      placement: this.#zoom.placement,
      box: this.#box,
      pixels: this.#pixels,
      show: this.show,
    };
    this.#stage.show(scene, moving);
  }

  #stopResting() {
    clearTimeout(this.#rest);
    this.#rest = 0;
  }

  #settle() {
    this.#rest = 0;
    this.#draw(false);
    const percent = Math.round(100 * this.scale);
    this.#root.querySelector('.status').textContent = `Zoom ${percent} %`;
  }

  #press(event) {
    const what = event.target.closest('button')?.dataset.do;
    if (what === 'reset') this.reset();
    else if (what) this.zoomBy(what === 'in' ? STEP : 1 / STEP, undefined, undefined, true);
  }
}

function settling() {
  const settled = Promise.withResolvers?.() ?? withResolvers();
  settled.promise.catch(() => {});
  return settled;
}

function withResolvers() {
  const found = {};
  found.promise = new Promise((resolve, reject) => Object.assign(found, { resolve, reject }));
  return found;
}

/** Return a width or height as HTML writes it, such as 300 or 50%, for CSS. */
function dimension(element, name) {
  const found = /^\s*(\d+\.?\d*)(%?)/.exec(element.getAttribute(name) ?? '');
  return found && `${found[1]}${found[2] || 'px'}`;
}

function setOrRemove(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** Observe an element's size in device pixels where that can be had. */
function observePixels(observer, element) {
  try {
    observer.observe(element, { box: 'device-pixel-content-box' });
  } catch {
    observer.observe(element);
  }
}

if (globalThis.customElements && !customElements.get('siren-img')) {
  customElements.define('siren-img', SirenImage);
}
