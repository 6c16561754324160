// Bundle element/ into dist/siren-img.js, which imports siren.js, and dist/siren-sw.js, which holds
// all it needs. (npm run build)

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = new URL('.', import.meta.url).pathname;
const beside = {
  name: 'siren.js lies beside',
  setup({ onResolve }) {
    onResolve({ filter: /\/src\/index\.js$/ }, () => ({ path: './siren.js', external: true }));
  },
};

await bundle('siren-img.js', ['element'], { format: 'esm', plugins: [beside] });
await bundle('siren-sw.js', ['element', 'src'], {
  format: 'iife',
  define: { 'import.meta.url': 'self.location.href' },
});

async function bundle(name, folders, options) {
  const result = await build({
    entryPoints: [`${here}element/${name}`],
    bundle: true,
    minify: true,
    write: false,
    target: 'es2022',
    ...options,
  });
  const text = `/*! siren-codec (MIT License), of the sources ${digestOf(folders)} */
${result.outputFiles[0].text}`;
  writeFileSync(`${here}dist/${name}`, text);
  console.log(`${name}: ${text.length} bytes, ${gzipSync(text, { level: 9 }).length} gzipped`);
}

// The digest of folders' sources, by which a test sees that a file is made of them.
function digestOf(folders) {
  const digest = createHash('sha256');
  for (const folder of folders) {
    const names = readdirSync(`${here}${folder}`).filter((name) => name.endsWith('.js')).sort();
    for (const name of names) digest.update(readFileSync(`${here}${folder}/${name}`));
  }
  return digest.digest('hex').slice(0, 16);
}
