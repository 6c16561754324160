"""ICC profiles of the colours that a file names by numbers: gamma, primaries, or CICP's codes.

ICC.1:2022 (version 4.4) has the layout and the `cicp` tag, ITU-T H.273 the codes.
"""

import struct
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["SRGB_PRIMARIES", "cicp_of", "profile_of_cicp", "profile_of_gamma"]

Chromaticities = Sequence[float]
"""x and y of white, red, green and blue, in the order of PNG's cHRM."""
Curve = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

_D65, _C, _E, _DCI = (0.3127, 0.329), (0.31, 0.316), (1 / 3, 1 / 3), (0.314, 0.351)
SRGB_PRIMARIES: Chromaticities = (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB_PRIMARIES,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    10: (*_E, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    11: (*_DCI, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    22: (*_D65, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077),
}
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_POINTS = 1024
"""Of a curve that is no power."""
_SRGB = (1, 13)


def profile_of_gamma(gamma: float, chromaticities: Chromaticities, *, grey: bool) -> bytes:
    """Return a profile of samples that are light to the power of `gamma`, as PNG's gAMA says it."""
    exponent = round(65536 / gamma)
    curve = struct.pack(">4sxxxxHxxI", b"para", 0, min(exponent, 2**31 - 1))
    return _profile("Gamma and primaries of a PNG", curve, chromaticities, grey=grey)


def profile_of_cicp(code: bytes, *, grey: bool) -> bytes | None:
    """Return a profile of CICP's four numbers: b"" for sRGB, None for codes that are not known.

    They are primaries, transfer, matrix and whether the range is full.
    """
    primaries, transfer, _, _ = code
    primaries, transfer = (1 if primaries == 2 else primaries), (13 if transfer == 2 else transfer)
    if (primaries, transfer) == _SRGB:
        return b""
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        return None
    values = _CURVES[transfer](np.linspace(0, 1, _POINTS))
    table = np.rint(np.clip(values, 0, 1) * 65535).astype(">u2").tobytes()
    curve = struct.pack(">4sxxxxI", b"curv", _POINTS) + table
    # A picture's samples are RGB of the full range, whatever the file's were.
    cicp = b"" if grey else struct.pack(">4sxxxx4B", b"cicp", primaries, transfer, 0, 1)
    name = f"CICP {primaries}/{transfer}"
    return _profile(name, curve, _PRIMARIES[primaries], grey=grey, cicp=cicp)


def cicp_of(profile: bytes) -> bytes:
    """Return the four numbers of a profile's `cicp` tag, or b""."""
    count = int.from_bytes(profile[128:132], "big")
    for index in range(min(count, 100)):
        tag = profile[132 + 12 * index : 144 + 12 * index]
        if tag[:4] == b"cicp" and len(tag) == 12:
            at = int.from_bytes(tag[4:8], "big")
            value = profile[at : at + 12]
            return value[8:] if value[:4] == b"cicp" and len(value) == 12 else b""
    return b""


def _profile(
    name: str, curve: bytes, chromaticities: Chromaticities, *, grey: bool, cicp: bytes = b""
) -> bytes:
    white, columns = _to_d50(chromaticities)
    tags = {
        b"desc": _text(name),
        b"cprt": _text("No copyright"),
        b"wtpt": struct.pack(">4sxxxx3i", b"XYZ ", *_fixed(_D50)),
        b"chad": struct.pack(">4sxxxx9i", b"sf32", *_fixed(white.ravel())),
    }
    if grey:
        tags[b"kTRC"] = curve
    else:
        for letter, column in zip("rgb", columns.T, strict=True):
            tags[letter.encode() + b"XYZ"] = struct.pack(">4sxxxx3i", b"XYZ ", *_fixed(column))
            tags[letter.encode() + b"TRC"] = curve
    if cicp:
        tags[b"cicp"] = cicp
    places: dict[bytes, int] = {}
    body, start = b"", 132 + 12 * len(tags)
    for value in tags.values():
        if value not in places:
            places[value] = start + len(body)
            body += value + bytes(-len(value) % 4)
    table = struct.pack(">I", len(tags))
    for tag, value in tags.items():
        table += struct.pack(">4sII", tag, places[value], len(value))
    head = struct.pack(
        ">I4xI4s4s4s12x4s",
        start + len(body),
        0x04400000,
        b"mntr",
        b"GRAY" if grey else b"RGB ",
        b"XYZ ",
        b"acsp",
    )
    head += bytes(28) + struct.pack(">3i", *_fixed(_D50)) + bytes(48)
    return head + table + body


def _to_d50(c: Chromaticities) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return Bradford's matrix from a white to D50, and the primaries' XYZ, adapted, as columns."""

    def xyz(x: float, y: float) -> npt.NDArray[np.float64]:
        return np.array([x, y, 1 - x - y])

    if c[1] <= 0:
        raise ValueError(f"expected a white of some light, found {c[:2]}")
    white = xyz(c[0], c[1]) / c[1]
    columns = np.stack([xyz(c[2], c[3]), xyz(c[4], c[5]), xyz(c[6], c[7])], axis=1)
    columns = columns * np.linalg.solve(columns, white)
    scale = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adapt = np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD
    return adapt, adapt @ columns


def _fixed(values: npt.NDArray[np.float64]) -> list[int]:
    """Return numbers with 16 bits behind the point."""
    return [int(each) for each in np.rint(np.clip(values, -32768, 32767) * 65536)]


def _text(words: str) -> bytes:
    """Return a multiLocalizedUnicodeType of one record."""
    text = words.encode("utf-16-be")
    return struct.pack(">4sxxxxII4sII", b"mluc", 1, 12, b"enUS", len(text), 28) + text


# From a sample in 0..1 to light in 0..1: what H.273's table 3 says, the other way round.


def _power(exponent: float) -> Curve:
    return lambda v: np.asarray(v**exponent)


def _straight_first(knee: float, slope: float, offset: float, exponent: float) -> Curve:
    """Return the inverse of a curve that is straight up to a knee, and then a power."""
    return lambda v: np.where(v < knee, v / slope, ((v + offset) / (1 + offset)) ** exponent)


def _pq(v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return SMPTE ST 2084's light, of which 1 is 10,000 candela per square metre."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    root = v ** (1 / m2)
    return np.asarray((np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1))


def _hlg(v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the light of a scene by BT.2100's hybrid log-gamma."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(v <= 0.5, v**2 / 3, (np.exp((v - c) / a) + b) / 12)


_BT709 = _straight_first(0.081, 4.5, 0.099, 1 / 0.45)
_CURVES: dict[int, Curve] = {
    1: _BT709,
    4: _power(2.2),
    5: _power(2.8),
    6: _BT709,
    7: _straight_first(0.0912, 4.0, 0.1115, 1 / 0.45),
    8: _power(1.0),
    13: _straight_first(0.04045, 12.92, 0.055, 2.4),
    14: _BT709,
    15: _BT709,
    16: _pq,
    17: _power(2.6),
    18: _hlg,
}
