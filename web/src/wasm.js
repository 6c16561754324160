// The module of latents.c, compiled once.

import base64 from './latents.wasm.js';

let compiled = null;

export function latentsModule() {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  return compiled;
}
