"""Make the files of priors that siren.js reads, of the package's, and `src/priors.js`.

    python web/priors.py

`prior-ID.bin` has the arrays of `prior-ID.npz`, packed by zlib, which browsers unpack at once: the
six integers of the network, the features (a count and bytes), the first knot, the number of knots
(a byte); then for each tensor its exponent, the values of each knot, and the spreads. Integers have
32 bits, little-endian; of values the lowest bytes of all come first, then the next ones.
"""

import zlib
from pathlib import Path

import numpy as np

from siren_codec.stream import prior

WEB = Path(__file__).parent


def content(id_: int) -> bytes:
    """Return the content of `prior-ID.bin` before it is compressed."""
    with np.load(prior.path_of(id_), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    features = arrays["features"].astype(np.uint8).tobytes()
    parts = [
        arrays["network"].astype("<i4").tobytes(),
        bytes([len(features)]) + features,
        arrays["first_knot"].astype("<i4").tobytes(),
        bytes([len(arrays["values_0"])]),
    ]
    for index, exponent in enumerate(arrays["exponents"].tolist()):
        parts.append(np.int8(exponent).tobytes())
        for knot in arrays[f"values_{index}"]:
            planes = knot.astype("<i4").reshape(-1, 1).view(np.uint8)
            parts.append(np.ascontiguousarray(planes.T).tobytes())
        parts.append(arrays[f"spreads_{index}"].astype(np.uint8).tobytes())
    return b"".join(parts)


def main() -> None:
    """Write the files."""
    lines = ["// The priors that there are; made by web/priors.py.", "", "export const PRIORS = {"]
    for id_ in prior.IDS:
        packed = zlib.compress(content(id_), 9)
        (WEB / "dist").mkdir(exist_ok=True)
        (WEB / "dist" / f"prior-{id_}.bin").write_bytes(packed)
        hash_ = prior.load(id_).digest.hex()
        lines.append(f"  {id_}: {{ hash: '{hash_}', bytes: {len(packed)} }},")
    (WEB / "src" / "priors.js").write_text("\n".join([*lines, "};", ""]))


if __name__ == "__main__":
    main()
