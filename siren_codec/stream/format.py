"""Field <-> bytes: the `.siren` container, as `docs/FORMAT.md` specifies it.

    magic  version  header  sections...  CRC-32

Everything is checked before anything is allocated: the magic, the version, the checksum, the
header's ranges, then the sections' order and lengths, and in `weights` the packed integers.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError, LimitError, UsageError
from siren_codec.field import Architecture, Field, Layer, PriorName
from siren_codec.limits import DEFAULT_LIMITS, QUALITIES, Limits
from siren_codec.stream import alpha, latents, prior, weights
from siren_codec.stream.cursor import Cursor, pack_varint

__all__ = [
    "CRC_LENGTH",
    "MAGIC",
    "VERSION",
    "Header",
    "Section",
    "check",
    "check_picture",
    "parse",
    "read",
    "sizes",
    "write",
]

MAGIC = b"\x89SRN"
VERSION = 1
CRC_LENGTH = 4
_DEPTHS = (8, 16)
_OMEGA_UNIT = 0.25
_WITH_PRIOR = 0x08
"""The bit of the samples' byte that says that a prior is named."""
_WITH_ALPHA = 0x10
"""The bit that says that alpha has a section of its own."""
_ANCILLARY = 0x80
_SYMBOLS_OF_ANY = 4096
"""Integers of latent grids that a picture of any size may have."""


class Section(IntEnum):
    """The ids of the sections: the format's; append only. Ids from 0x80 on are ancillary."""

    WEIGHTS = 0x01
    LATENTS = 0x02
    ALPHA = 0x03
    ICC = 0x81
    EXIF = 0x82
    XMP = 0x83


_METADATA = {Section.ICC: "icc", Section.EXIF: "exif", Section.XMP: "xmp"}


@dataclass(frozen=True)
class Header:
    """What a file says before its sections."""

    width: int
    height: int
    depth: int
    architecture: Architecture
    prior: PriorName | None = None
    alpha: bool = False
    """Whether it has a section of its own, and the network one channel less than the picture."""

    @property
    def channels(self) -> int:
        """The number of channels of the picture."""
        return self.architecture.channels + self.alpha

    @property
    def symbols(self) -> int:
        """The number of integers in the latent grids."""
        return sum(map(math.prod, latents.shapes(self.architecture, self.width, self.height)))


def write(field: Field) -> bytes:
    """Return the bytes of a `.siren` file. Raises SirenError if no reader would accept it."""
    header = Header(
        *(field.width, field.height, field.depth, field.architecture, field.prior),
        alpha=field.alpha is not None,
    )
    check(header, field.metadata)
    _check_shapes(field)
    expected = prior.expected(field.prior, field.architecture.channels)
    sections = {Section.WEIGHTS: weights.pack(tuple(field.tensors()), expected)}
    if field.latents:
        sections[Section.LATENTS] = latents.pack(field.latents, field.context, field.architecture)
    if field.alpha is not None:
        sections[Section.ALPHA] = alpha.pack(field.alpha)
    sections |= {id_: field.metadata[n] for id_, n in _METADATA.items() if n in field.metadata}
    body = MAGIC + bytes([VERSION]) + _pack_header(header)
    for section, payload in sections.items():
        body += bytes([section]) + pack_varint(len(payload)) + payload
    return body + zlib.crc32(body).to_bytes(CRC_LENGTH, "little")


def check(header: Header, metadata: Mapping[str, bytes]) -> None:
    """Raise SirenError if no reader would accept a file of such a header and metadata."""
    _check(header, DEFAULT_LIMITS, pixels=False)
    _check_metadata(metadata)
    if header.prior:
        known = prior.load(header.prior.id).architecture_for(header.architecture.channels)
        if known != header.architecture or header.prior.quality not in QUALITIES:
            raise UsageError(f"expected {known} for {header.prior}, found {header.architecture}")
    for omega in (header.architecture.first_omega_0, header.architecture.omega_0):
        if omega % _OMEGA_UNIT:
            raise UsageError(f"omega_0: expected a multiple of {_OMEGA_UNIT}, found {omega}")


def check_picture(*, width: int, height: int, depth: int, metadata: Mapping[str, bytes]) -> None:
    """Raise SirenError if no file can hold such a picture, whatever is fitted to it."""
    _check_samples(width, height, depth, DEFAULT_LIMITS)
    _check_metadata(metadata)


def read(
    data: bytes,
    limits: Limits = DEFAULT_LIMITS,
    *,
    first_level: int = 0,
    partial: bool = False,  # noqa: ARG001
) -> Field:
    """Return the Field of a `.siren` file. Raises FormatError or LimitError."""
    header, sections = parse(data, limits)
    architecture = header.architecture
    width, height = header.width, header.height
    expected = prior.expected(header.prior, architecture.channels)
    tensors = weights.unpack(sections[Section.WEIGHTS], architecture.tensor_shapes, expected)
    layers = tuple(
        Layer(weight, bias) for weight, bias in zip(tensors[::2], tensors[1::2], strict=True)
    )
    layers, context = layers[: len(architecture.shapes)], layers[len(architecture.shapes) :]
    grids: tuple[npt.NDArray[np.int16 | np.int32], ...] = ()
    if Section.LATENTS in sections:
        grids = latents.unpack(sections[Section.LATENTS], context, architecture, width, height)
    grids = tuple(
        np.zeros_like(level) if number < first_level else level
        for number, level in enumerate(grids)
    )
    metadata = {name: sections[id_] for id_, name in _METADATA.items() if id_ in sections}
    return Field(
        *(width, height, header.depth, architecture, layers, metadata),
        latents=grids,
        context=context,
        prior=header.prior,
        alpha=alpha.unpack(sections[Section.ALPHA], width, height, header.depth)
        if header.alpha
        else None,
        first_level=first_level,
    )


def sizes(sections: Mapping[int, bytes]) -> dict[str, int]:
    """Return the bytes that each section takes in a file, its id and length included."""
    return {
        Section(id_).name.lower() if id_ in list(Section) else f"{id_:#04x}": (
            1 + len(pack_varint(len(payload))) + len(payload)
        )
        for id_, payload in sections.items()
    }


def parse(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Header, dict[int, bytes]]:
    """Return the header and the payloads of the sections, checked but not yet unpacked."""
    if not data:
        raise FormatError("expected a .siren file, found an empty one")
    if len(data) > limits.file_bytes:
        raise LimitError(f"expected at most {limits.file_bytes} bytes, found {len(data)}")
    if data[: len(MAGIC)] != MAGIC:
        raise FormatError(f"expected a .siren file ({MAGIC!r}), found {data[: len(MAGIC)]!r}")
    if len(data) < len(MAGIC) + 1 + CRC_LENGTH:
        raise FormatError(f"truncated: expected more than {len(data)} bytes")
    if data[len(MAGIC)] != VERSION:
        raise FormatError(f"expected version {VERSION}, found {data[len(MAGIC)]}")
    stored, computed = int.from_bytes(data[-CRC_LENGTH:], "little"), zlib.crc32(data[:-CRC_LENGTH])
    if stored != computed:
        raise FormatError(f"corrupt or truncated: expected CRC {stored:08x}, found {computed:08x}")
    cursor = Cursor(data[:-CRC_LENGTH], len(MAGIC) + 1)
    header = _unpack_header(cursor)
    _check(header, limits)
    sections = dict(_unpack_sections(cursor, limits))
    if Section.WEIGHTS not in sections:
        raise FormatError("expected a weights section, found none")
    if (Section.LATENTS in sections) != bool(header.architecture.features):
        expected, found = ("one", "none") if header.architecture.features else ("none", "one")
        raise FormatError(f"latents section: expected {expected}, found {found}")
    if (Section.ALPHA in sections) != header.alpha:
        expected, found = ("one", "none") if header.alpha else ("none", "one")
        raise FormatError(f"alpha section: expected {expected}, found {found}")
    return header, sections


def _check_shapes(field: Field) -> None:
    """Raise UsageError if the arrays of a Field are not those of its architecture."""
    architecture = field.architecture
    tensors = tuple(tensor.values.shape for tensor in field.tensors())
    if tensors != architecture.tensor_shapes or len(field.layers) != len(architecture.shapes):
        raise UsageError(f"expected tensors as the architecture says, found {tensors}")
    grids = [level.shape for level in field.latents]
    if grids != latents.shapes(architecture, field.width, field.height):
        raise UsageError(f"expected latents as the architecture says, found {grids}")
    plane = field.alpha
    if plane is not None and (
        plane.shape != (field.height, field.width) or 8 * plane.itemsize != field.depth
    ):
        raise UsageError(f"expected alpha of the picture's size, found {plane.shape}")


def _pack_header(header: Header) -> bytes:
    kind = header.channels - 1 | _DEPTHS.index(header.depth) << 2
    if header.alpha:
        kind |= _WITH_ALPHA
    if header.prior:
        kind |= _WITH_PRIOR
        name = prior.load(header.prior.id)
        rest = bytes([name.id]) + name.digest + bytes([header.prior.quality])
    else:
        rest = _pack_architecture(header.architecture)
    return pack_varint(header.width) + pack_varint(header.height) + bytes([kind]) + rest


def _pack_architecture(architecture: Architecture) -> bytes:
    return b"".join(
        (
            bytes([architecture.hidden_layers]),
            pack_varint(architecture.hidden_features),
            pack_varint(round(architecture.first_omega_0 / _OMEGA_UNIT)),
            pack_varint(round(architecture.omega_0 / _OMEGA_UNIT)),
            bytes([len(architecture.features), *architecture.features]),
            bytes([architecture.neighbours, architecture.context_features])
            if architecture.features
            else b"",
        )
    )


def _unpack_header(cursor: Cursor) -> Header:
    width, height = cursor.varint(), cursor.varint()
    kind = cursor.byte()
    if kind >> 5:
        raise FormatError(f"expected reserved bits of 0 in the sample format, found {kind:#04x}")
    channels, depth = (kind & 3) + 1, _DEPTHS[kind >> 2 & 1]
    with_alpha = bool(kind & _WITH_ALPHA)
    if with_alpha:
        if channels not in (2, 4):
            raise FormatError(f"alpha apart: expected 2 or 4 channels, found {channels}")
        channels -= 1
    if kind & _WITH_PRIOR:
        name = _unpack_prior(cursor)
        architecture = prior.load(name.id).architecture_for(channels)
        if architecture is None:
            raise FormatError(f"prior {name.id}: expected 1 or 3 channels, found {channels}")
        return Header(width, height, depth, architecture, name, with_alpha)
    return Header(width, height, depth, _unpack_architecture(cursor, channels), None, with_alpha)


def _unpack_prior(cursor: Cursor) -> PriorName:
    id_, digest, quality = cursor.byte(), cursor.take(4), cursor.byte()
    known = prior.load(id_).digest
    if digest != known:
        raise FormatError(f"prior {id_}: expected the hash {known.hex()}, found {digest.hex()}")
    name = PriorName(id_, quality)
    if name.quality not in QUALITIES:
        raise FormatError(
            f"quality: expected {QUALITIES[0]} to {QUALITIES[-1]}, found {name.quality}"
        )
    return name


def _unpack_architecture(cursor: Cursor, channels: int) -> Architecture:
    hidden_layers, hidden_features = cursor.byte(), cursor.varint()
    first_omega_0, omega_0 = cursor.varint() * _OMEGA_UNIT, cursor.varint() * _OMEGA_UNIT
    features = tuple(cursor.take(cursor.byte()))
    neighbours, context_features = cursor.take(2) if features else (0, 0)
    return Architecture(
        channels=channels,
        hidden_layers=hidden_layers,
        hidden_features=hidden_features,
        first_omega_0=first_omega_0,
        omega_0=omega_0,
        features=features,
        neighbours=neighbours,
        context_features=context_features,
    )


def _check(header: Header, limits: Limits, *, pixels: bool = True) -> None:
    """Raise LimitError if anything in the header is out of its range."""
    architecture = header.architecture
    _check_samples(header.width, header.height, header.depth, limits)
    _check_ranges(
        ("hidden layers", architecture.hidden_layers, 1, limits.hidden_layers),
        ("hidden features", architecture.hidden_features, 1, limits.hidden_features),
        ("first omega_0", architecture.first_omega_0, _OMEGA_UNIT, limits.omega_0),
        ("omega_0", architecture.omega_0, _OMEGA_UNIT, limits.omega_0),
        ("channels", header.channels, 1, 4),
        *_latent_ranges(architecture, limits),
    )
    if pixels and header.width * header.height > limits.pixels:
        raise LimitError(f"{header.width}x{header.height}: expected at most {limits.pixels} pixels")
    most = limits.symbols_per_pixel * header.width * header.height + _SYMBOLS_OF_ANY
    if header.symbols > most:
        raise LimitError(f"latents: expected at most {most} integers, found {header.symbols}")
    work = header.symbols * architecture.context_multiply_adds
    if pixels and work > limits.multiply_adds:
        raise LimitError(
            f"latents: expected at most {limits.multiply_adds:.2g} multiply-adds, found {work:.2g}"
        )


def _check_samples(width: int, height: int, depth: int, limits: Limits) -> None:
    """Raise LimitError if the sides or the depth of a picture are out of their ranges."""
    _check_ranges(("width", width, 1, limits.side), ("height", height, 1, limits.side))
    if depth not in _DEPTHS:
        raise LimitError(f"depth: expected 8 or 16, found {depth}")


def _check_ranges(*ranges: tuple[str, float, float, float]) -> None:
    """Raise LimitError if any (name, value, least, most) is out of its range."""
    for name, value, least, most in ranges:
        if not least <= value <= most:
            raise LimitError(f"{name}: expected {least} to {most}, found {value}")


def _check_metadata(metadata: Mapping[str, bytes]) -> None:
    """Raise SirenError if metadata are unknown or too long."""
    for name, payload in metadata.items():
        if name not in _METADATA.values():
            raise UsageError(f"metadata: expected icc, exif or xmp, found {name}")
        if len(payload) > DEFAULT_LIMITS.metadata_bytes:
            raise LimitError(
                f"{name}: expected at most {DEFAULT_LIMITS.metadata_bytes} bytes, "
                f"found {len(payload)}"
            )


def _latent_ranges(architecture: Architecture, limits: Limits) -> list[tuple[str, int, int, int]]:
    """Return (name, value, least, most) of what the header says about latent grids."""
    levels = len(architecture.features)
    some = int(levels > 0)
    return [
        ("levels", levels, 0, limits.levels),
        *(("features of a level", count, 0, limits.features) for count in architecture.features),
        ("latent grids", architecture.grids, some, limits.grids),
        ("neighbours", architecture.neighbours, some, some * len(latents.NEIGHBOURS)),
        ("context features", architecture.context_features, some, some * limits.context_features),
    ]


def _unpack_sections(cursor: Cursor, limits: Limits) -> Iterator[tuple[int, bytes]]:
    """Yield (id, payload); ids ascend, so that none comes twice; unknown critical ones fail."""
    last = 0
    while cursor.left:
        id_, length = cursor.byte(), cursor.varint()
        if id_ <= last:
            raise FormatError(f"expected a section above {last:#04x}, found {id_:#04x}")
        if id_ < _ANCILLARY and id_ not in list(Section):
            raise FormatError(f"expected a section that version 1 knows, found {id_:#04x}")
        if id_ >= _ANCILLARY and length > limits.metadata_bytes:
            raise LimitError(
                f"section {id_:#04x}: expected at most {limits.metadata_bytes} bytes, "
                f"found {length}"
            )
        yield id_, cursor.take(length)
        last = id_
