#!/bin/sh
# Make src/latents.wasm.js of the C that Python's decoder also has: WebAssembly, as base64.
# Needs clang and wasm-ld (Debian: apt install clang lld). Afterwards: npm run build.
set -eu
cd "$(dirname "$0")"
wasm=$(mktemp)
trap 'rm -f "$wasm"' EXIT
clang --target=wasm32 -O3 -msimd128 -mbulk-memory -ffreestanding -nostdlib -Wall -Wextra -Werror \
    -Wl,--no-entry -Wl,--export=siren_decode -Wl,--export=__heap_base -Wl,-z,stack-size=8192 \
    -Wl,--strip-all -o "$wasm" ../siren_codec/stream/c/latents.c
{
    echo "// Made by web/build.sh of siren_codec/stream/c/latents.c."
    echo "export default '$(base64 -w0 "$wasm")';"
} > src/latents.wasm.js
