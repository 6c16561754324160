// Bundle src/ into dist/siren.js: one module, without dependencies. (npm run build)
//
// The worker runs the same code: a function holds all of it, and the worker's script is this
// function's own text. So nothing is in the file twice, and nothing else needs to be fetched.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = new URL('.', import.meta.url);
const names = readdirSync(new URL('src/', here)).filter((name) => name.endsWith('.js')).sort();

// The digest of the sources, by which a test sees that the file is made of them.
const digest = createHash('sha256');
for (const name of names) digest.update(readFileSync(new URL(`src/${name}`, here)));

const result = await build({
  stdin: {
    contents: "export * from './index.js'; export { serve } from './worker.js';",
    resolveDir: new URL('src', here).pathname,
  },
  bundle: true,
  minify: true,
  write: false,
  format: 'iife',
  globalName: 'S',
  target: 'es2022',
  define: { 'import.meta.url': 'SIREN_BASE' },
});
// Lines are broken in shaders only, where what they begin with is space.
const body = result.outputFiles[0].text.trim().replace(/^"use strict";/, '').replace(/\s*\n\s*/g, '\n');
const license = readFileSync(new URL('../LICENSE', here), 'utf8').split('\n')[0];
const text = `/*! siren-codec (${license}), of the sources ${digest.digest('hex').slice(0, 16)} */
const code=(SIREN_BASE,SIREN_SOURCE)=>{"use strict";${body}return S};
const{open,Picture,Renderer,SirenError}=code(import.meta.url,()=>\`(\${code})("\${import.meta.url}").serve(self)\`);
export{open,Picture,Renderer,SirenError};
`;
writeFileSync(new URL('dist/siren.js', here), text);
console.log(`siren.js: ${text.length} bytes, ${gzipSync(text, { level: 9 }).length} gzipped, ${brotliCompressSync(text).length} by brotli`);
