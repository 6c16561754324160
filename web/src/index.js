// The public names of siren.js; web/siren.d.ts says what they do.

export { SirenError } from './errors.js';
export { open } from './open.js';
export { Picture } from './picture.js';
export { Renderer } from './renderer.js';
