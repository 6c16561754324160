// Bundle element/ into dist/siren-img.js, which imports siren.js, and dist/siren-sw.js, which holds
// all it needs. (npm run build)

import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = new URL('.', import.meta.url).pathname;
const beside = {
  name: 'siren.js lies beside',
  setup({ onResolve }) {
    onResolve({ filter: /\/src\/index\.js$/ }, () => ({ path: './siren.js', external: true }));
  },
};

await bundle('siren-img.js', { format: 'esm', plugins: [beside] });
await bundle('siren-sw.js', { format: 'iife', define: { 'import.meta.url': 'self.location.href' } });

async function bundle(name, options) {
  const result = await build({
    entryPoints: [`${here}element/${name}`],
    bundle: true,
    minify: true,
    write: false,
    target: 'es2022',
    ...options,
  });
  const { text } = result.outputFiles[0];
  writeFileSync(`${here}dist/${name}`, text);
  console.log(`${name}: ${text.length} bytes, ${gzipSync(text, { level: 9 }).length} gzipped`);
}
