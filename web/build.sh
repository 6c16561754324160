#!/bin/sh
# Make src/wasm-bytes.js: WebAssembly, as base64, of the C that decodes latents, which Python's
# decoder also has, and of c/. Afterwards: npm run build.
# Needs clang and wasm-ld (Debian: apt install clang lld).
set -eu
cd "$(dirname "$0")"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
flags='--target=wasm32 -msimd128 -mbulk-memory -ffreestanding -Wall -Wextra -Werror'
clang $flags -O2 -c -o "$made/latents.o" ../siren_codec/stream/c/latents.c
clang $flags -Os -c -o "$made/render.o" c/render.c
clang $flags -Os -c -o "$made/tables.o" c/tables.c
wasm-ld --no-entry --export=siren_decode --export=siren_product --export=siren_cosines \
    --export=siren_grid_samples --export=siren_weight_table --export=siren_residual_tables \
    --export=__heap_base -z stack-size=8192 --strip-all --gc-sections \
    -o "$made/siren.wasm" "$made/latents.o" "$made/render.o" "$made/tables.o"
{
    echo "// Made by web/build.sh."
    echo "export default '$(base64 -w0 "$made/siren.wasm")';"
} > src/wasm-bytes.js
