// The WebAssembly module of web/build.sh, compiled once.

import base64 from './wasm-bytes.js';

let compiled = null;

export function wasmModule() {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  return compiled;
}
