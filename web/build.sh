#!/bin/sh
# Make src/wasm-bytes.js: WebAssembly, as base64, of the C that decodes latents, which Python's
# decoder also has, and of c/render.c. Afterwards: npm run build.
# Needs clang and wasm-ld (Debian: apt install clang lld).
set -eu
cd "$(dirname "$0")"
wasm=$(mktemp)
trap 'rm -f "$wasm"' EXIT
clang --target=wasm32 -O2 -msimd128 -mbulk-memory -ffreestanding -nostdlib -Wall -Wextra -Werror \
    -Wl,--no-entry -Wl,--export=siren_decode -Wl,--export=siren_product \
    -Wl,--export=siren_cosines -Wl,--export=siren_grid_samples -Wl,--export=__heap_base \
    -Wl,-z,stack-size=8192 -Wl,--strip-all \
    -o "$wasm" ../siren_codec/stream/c/latents.c c/render.c
{
    echo "// Made by web/build.sh."
    echo "export default '$(base64 -w0 "$wasm")';"
} > src/wasm-bytes.js
