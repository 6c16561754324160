/** The page of siren-view: what lies over and around the picture, which is a <siren-img>. */

import { Bicubic } from 'viewer/bicubic';
import { Grid } from 'viewer/grid';
import { Readout } from 'viewer/readout';
import { SirenImage } from 'siren-img';

/** As <siren-img> has it. */
const WHEEL = 0.0015;

const $ = (id) => document.getElementById(id);
const picture = $('picture');
const grid = new Grid($('grid'));
const readout = new Readout(picture);

/** {name, url, bytes}; those that were dropped come after those that the page came with. */
const pictures = read('pictures');
let current = -1;
let bicubic = null;
/** What the enlargement was made of: its picture and what of it is shown. */
let enlarged = null;
let isGridWanted = true;

start();

function start() {
  SirenImage.priors = Object.fromEntries(
    Object.entries(read('priors')).map(([id, text]) => [id, bytesOf(text)]),
  );
  picture.addEventListener('layer', () => { describe(); follow(); });
  picture.addEventListener('load', () => arrived());
  picture.addEventListener('error', (event) => fail(event.message));
  picture.addEventListener('view', () => follow());
  listenToHands();
  window.addEventListener('resize', () => follow());
  $('welcome').hidden = pictures.length > 0;
  list();
  if (pictures.length) choose(0);
  else describe();
}

// Which picture.

function choose(index) {
  if (!pictures.length) return;
  current = (index + pictures.length) % pictures.length;
  const { name, url } = pictures[current];
  document.title = `${name} \u2013 siren-view`;
  $('trouble').hidden = true;
  $('welcome').hidden = true;
  $('busy').hidden = false;
  picture.alt = name;
  picture.src = url;
  describe();
  for (const [k, button] of [...$('list').children].entries()) {
    button.setAttribute('aria-current', String(k === current));
  }
  $('list').children[current].scrollIntoView({ block: 'nearest' });
  picture.focus();
}

function list() {
  const buttons = pictures.map(({ name }, index) => {
    const button = document.createElement('button');
    button.textContent = button.title = name;
    button.addEventListener('click', () => choose(index));
    return button;
  });
  $('list').replaceChildren(...buttons);
  $('list').hidden = pictures.length < 2;
}

function add(files) {
  const first = pictures.length;
  for (const file of files) {
    pictures.push({ name: file.name, bytes: file.size, url: URL.createObjectURL(file) });
  }
  list();
  if (pictures.length > first) choose(first);
}

function arrived() {
  $('busy').hidden = true;
  describe();
  readout.update();
  enlarge();
}

function fail(message) {
  $('busy').hidden = true;
  $('trouble').textContent = `${pictures[current].name}: ${message}`;
  $('trouble').hidden = false;
  describe();
  follow();
}

function describe() {
  const { name = '', bytes } = pictures[current] ?? {};
  const found = picture.picture;
  $('facts').hidden = current < 0;
  $('name').textContent = $('name').title = name;
  const facts = found && [
    `${found.width} \u00d7 ${found.height}`,
    bytes && size(bytes),
    bytes && `${((8 * bytes) / (found.width * found.height)).toFixed(2)} bpp`,
    found.depth === 16 && '16 bits',
  ];
  $('size').textContent = (facts || []).filter(Boolean).join(' \u00b7 ');
  picture.classList.toggle('clear', Boolean(found) && found.channels % 2 === 0);
  const notes = [
    picture.colours === 'unknown' && 'Its ICC profile is not applied: colours are shown as sRGB.',
    picture.complete && found && !found.whole && 'The file was cut short: this is a coarser picture.',
  ];
  $('note').textContent = notes.filter(Boolean).join(' ');
  $('note').hidden = $('note').textContent === '';
}

// What follows the view.

function follow() {
  const { view, scale } = picture;
  $('zoom').textContent = view ? percent(scale * devicePixelRatio) : '\u2013';
  grid.draw(isGridWanted ? view : null, picture);
  drawOther();
  readout.update();
}

function drawOther() {
  const isShown = isSplit() && enlarged !== null && picture.view !== null;
  $('other').hidden = !isShown;
  if (!isShown) return;
  const [width, height] = [picture.width, picture.height].map((side) => side * devicePixelRatio);
  bicubic.draw(picture.view, Math.round(width), Math.round(height));
}

// The split view.

const isSplit = () => !$('divider').hidden;

function split() {
  try {
    bicubic ??= new Bicubic($('other').firstElementChild);
  } catch (error) {
    return note(error.message);
  }
  $('divider').hidden = isSplit();
  press('split', isSplit());
  divideAt(Number($('divider').getAttribute('aria-valuenow')));
  follow();
  return enlarge();
}

/** Make the enlargement's original, the picture at its own size, unless it is there. */
async function enlarge() {
  const { picture: found, show } = picture;
  if (!isSplit() || !picture.complete || !found) return;
  if (enlarged?.found !== found || enlarged.show !== show) {
    enlarged = null;
    const image = await found.render({ show });
    if (found !== picture.picture || show !== picture.show) return;
    try {
      bicubic.take(image);
      enlarged = { found, show };
    } catch (error) {
      note(error.message);
    }
  }
  follow();
}

function divideAt(share) {
  const held = Math.min(Math.max(share, 0), 100);
  $('divider').setAttribute('aria-valuenow', String(Math.round(held)));
  $('divider').style.left = `${held}%`;
  $('other').style.clipPath = `inset(0 0 0 ${held}%)`;
}

function note(message) {
  $('note').textContent = message;
  $('note').hidden = false;
}

// Hands.

const actions = {
  in: () => picture.zoomBy(Math.SQRT2, undefined, undefined, true),
  out: () => picture.zoomBy(Math.SQRT1_2, undefined, undefined, true),
  reset: () => picture.reset(),
  actual: () => picture.zoomTo(1 / devicePixelRatio, undefined, undefined, true),
  split,
  grid: () => {
    isGridWanted = !isGridWanted;
    press('grid', isGridWanted);
    follow();
  },
  open: () => $('files').click(),
  help: () => $('help').showModal(),
  colour: () => show('colour'),
  gradient: () => show('gradient'),
  laplacian: () => show('laplacian'),
  previous: () => choose(current - 1),
  next: () => choose(current + 1),
  alone: () => document.body.classList.toggle('alone'),
  full: () =>
    document.fullscreenElement
      ? document.exitFullscreen()
      : document.documentElement.requestFullscreen(),
};

const keys = {
  '+': 'in', '=': 'in', '-': 'out', 0: 'reset', 1: 'actual', c: 'colour', g: 'gradient',
  l: 'laplacian', s: 'split', p: 'grid', o: 'open', '?': 'help', '[': 'previous', ']': 'next',
  PageUp: 'previous', PageDown: 'next', i: 'alone', f: 'full',
};

function show(what) {
  picture.show = what;
  for (const button of document.querySelectorAll('[data-show]')) {
    button.setAttribute('aria-pressed', String(button.dataset.show === what));
  }
  readout.update();
  enlarge();
}

function press(action, isPressed) {
  document.querySelector(`[data-do=${action}]`).setAttribute('aria-pressed', String(isPressed));
}

function listenToHands() {
  $('tools').addEventListener('click', ({ target }) => {
    const { do: action, show: what } = target.closest('button')?.dataset ?? {};
    if (action) actions[action]();
    if (what) show(what);
  });
  document.addEventListener('keydown', (event) => {
    const isElsewhere = event.defaultPrevented || $('help').open;
    if (isElsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    actions[keys[event.key]]();
  });
  $('files').addEventListener('change', ({ target }) => {
    add(target.files);
    target.value = '';
  });
  listenToDrops();
  listenToDivider();
}

function listenToDrops() {
  const dropping = (isOver) => document.body.classList.toggle('dropping', isOver);
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    dropping(true);
  });
  document.addEventListener('dragleave', (event) => dropping(event.relatedTarget !== null));
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    dropping(false);
    add(event.dataTransfer.files);
  });
}

function listenToDivider() {
  const divider = $('divider');
  divider.addEventListener('pointerdown', ({ pointerId }) => divider.setPointerCapture(pointerId));
  divider.addEventListener('pointermove', (event) => {
    if (divider.hasPointerCapture(event.pointerId)) divideAt((100 * event.clientX) / innerWidth);
  });
  // The wheel is the picture's here too.
  divider.addEventListener('wheel', (event) => {
    const factor = Math.exp(-event.deltaY * WHEEL);
    picture.zoomBy(factor, event.clientX, event.clientY, true);
  }, { passive: true });
  divider.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2 }[event.key];
    if (!step) return;
    event.preventDefault();
    divideAt(Number(divider.getAttribute('aria-valuenow')) + step);
  });
}

// Small things.

function read(id) {
  return JSON.parse($(`${id}-data`).textContent);
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function size(bytes) {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`;
}

function percent(zoom) {
  return zoom < 9.995 ? `${Math.round(100 * zoom)}%` : `${zoom.toFixed(zoom < 100 ? 1 : 0)}\u00d7`;
}
