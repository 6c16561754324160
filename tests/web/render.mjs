// Render files by the built siren.js under node, for tests/test_web_drawing.py.
//
//     node render.mjs JOBS OUT
//
// JOBS is JSON: a list of {path, samples: [options, ...], points: [[x, y], ...]}. The samples go to
// OUT one after another, 16 bits each; a line of JSON is printed for each file, with what `at`,
// `gradient` and `laplacian` say of its points.

import { appendFileSync, readFileSync } from 'node:fs';
import { open, Picture, SirenError } from '../../web/dist/siren.js';

const [jobs, out] = process.argv.slice(2);
const priors = Object.fromEntries([1, 2].map((id) => [
  id, readFileSync(new URL(`../../web/dist/prior-${id}.bin`, import.meta.url)),
]));

for (const { path, samples, points } of JSON.parse(readFileSync(jobs, 'utf8'))) {
  const picture = await open(readFileSync(path), { priors });
  if (!(picture instanceof Picture)) throw new Error('expected a Picture');
  for (const options of samples) {
    const { data } = await picture.samples(options);
    appendFileSync(out, Buffer.from(Uint16Array.from(data).buffer));
  }
  const { data } = await picture.render({ x: -1, y: 0, width: 2, height: 1 });
  if (data[3] !== 0 || (data[7] === 0) !== (picture.at(0, 0).at(-1) < 1)) {
    throw new Error('expected nothing outside the picture, and something inside');
  }
  const outside = () => picture.at(picture.width, 0);
  try {
    outside();
    throw new Error('expected an error');
  } catch (error) {
    if (!(error instanceof SirenError)) throw error;
  }
  console.log(JSON.stringify({
    at: points.map(([x, y]) => picture.at(x, y)),
    gradient: points.map(([x, y]) => picture.gradient(x, y)),
    laplacian: points.map(([x, y]) => picture.laplacian(x, y)),
  }));
  picture.close();
}
