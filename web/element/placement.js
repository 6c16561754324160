/**
 * Where a picture lies in a box: the arithmetic of object-fit, of zooming and of panning.
 *
 * A placement is the rectangle of the whole picture, {left, top, width, height} in CSS pixels from
 * the corner of the box. It is all the state that zooming has.
 */

/** Return where CSS puts a picture of `natural` size: `fit` and `position` as computed styles. */
export function placed(box, natural, fit = 'fill', position = '50% 50%') {
  const [width, height] = fitted(box, natural, fit);
  const [x, y] = lengths(position);
  return {
    left: x.share * (box.width - width) + x.pixels,
    top: y.share * (box.height - height) + y.pixels,
    width,
    height,
  };
}

function fitted(box, natural, fit) {
  if (fit === 'fill') return [box.width, box.height];
  const contained = Math.min(box.width / natural.width, box.height / natural.height);
  const covering = Math.max(box.width / natural.width, box.height / natural.height);
  const scale = {
    contain: contained,
    cover: covering,
    none: 1,
    'scale-down': Math.min(1, contained),
  }[fit];
  return [natural.width * scale, natural.height * scale];
}

/** Parse a computed object-position, such as '50% calc(100% - 10px)', into two sums. */
function lengths(position) {
  const parts = position.match(/calc\([^)]*\)|\S+/g) ?? [];
  return [parts[0] ?? '50%', parts[1] ?? '50%'].map((part) => {
    const sum = { share: 0, pixels: 0 };
    for (const [, sign, number, unit] of part.matchAll(/([-+]?)\s*([\d.]+)(%|px)/g)) {
      const value = Number(number) * (sign === '-' ? -1 : 1);
      if (unit === '%') sum.share += value / 100;
      else sum.pixels += value;
    }
    return sum;
  });
}

/** Return a placement `factor` times as large, with the point (x, y) of the box where it was. */
export function zoomed(placement, factor, x, y) {
  return {
    left: x + (placement.left - x) * factor,
    top: y + (placement.top - y) * factor,
    width: placement.width * factor,
    height: placement.height * factor,
  };
}

/** Return a placement that has moved by so many CSS pixels. */
export function moved(placement, dx, dy) {
  return { ...placement, left: placement.left + dx, top: placement.top + dy };
}

/**
 * Return a placement without a gap at an edge; a picture that is smaller than the box lies where
 * `home` does in proportion.
 */
export function held(placement, home, box) {
  return {
    ...placement,
    left: within(placement.left, placement.width, box.width, home.left, home.width),
    top: within(placement.top, placement.height, box.height, home.top, home.height),
  };
}

function within(start, length, room, homeStart, homeLength) {
  if (length > room) return Math.min(Math.max(start, room - length), 0);
  const spare = room - homeLength;
  const share = Math.abs(spare) > 1e-9 ? Math.min(Math.max(homeStart / spare, 0), 1) : 0.5;
  return share * (room - length);
}

/** Return the placement so far on the way from one to another: 0 is the one, 1 the other. */
export function between(one, other, way) {
  const mix = (a, b) => a + (b - a) * way;
  return {
    left: mix(one.left, other.left),
    top: mix(one.top, other.top),
    width: mix(one.width, other.width),
    height: mix(one.height, other.height),
  };
}

/** Tell whether two placements are the same within some CSS pixels. */
export function same(one, other, within = 0.01) {
  return ['left', 'top', 'width', 'height'].every((k) => Math.abs(one[k] - other[k]) < within);
}

/** Return what a box shows: {x, y, width, height} in pixels of the picture from its corner. */
export function shown(placement, box, natural) {
  const across = natural.width / placement.width;
  const down = natural.height / placement.height;
  return {
    x: -placement.left * across,
    y: -placement.top * down,
    width: box.width * across,
    height: box.height * down,
  };
}
