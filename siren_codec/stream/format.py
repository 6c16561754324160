"""Field <-> bytes: the `.siren` container, as `docs/FORMAT.md` specifies it.

    magic  version  header  sections...  CRC-32

Everything is checked before anything is allocated: the magic, the version, the checksum, the
header's ranges, then the sections' order and lengths, and in `weights` the packed integers. What
all other sections depend on comes first and the finest grids last, so that the beginning of a file
is a picture.
"""

import math
import zlib
from collections.abc import Mapping
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
    "is_whole",
    "layers_of",
    "parse",
    "parts",
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
    """The ids of the sections: the format's.

    The low seven bits are the order of the sections, the highest says that one is ancillary.
    """

    WEIGHTS = 0x01
    ALPHA = 0x02
    ICC = 0x83
    LAYER = 0x10
    """The first layer of the latent grids; the others have the ids after it."""
    EXIF = 0xA0
    XMP = 0xA1


_LAYERS = range(Section.LAYER, Section.LAYER + 10)
"""The ids of layers: as many as there may be levels."""

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

    def symbols(self, first_level: int = 0) -> int:
        """Return the number of integers in the latent grids from a level on."""
        shapes = latents.shapes(self.architecture, self.width, self.height)
        return sum(map(math.prod, shapes[first_level:]))


def write(field: Field) -> bytes:
    """Return the bytes of a `.siren` file. Raises SirenError if no reader would accept it."""
    header = Header(
        *(field.width, field.height, field.depth, field.architecture, field.prior),
        alpha=field.alpha is not None,
    )
    check(header, field.metadata)
    _check_shapes(field)
    expected = prior.expected(field.prior, field.architecture.channels)
    body = MAGIC + bytes([VERSION]) + _pack_header(header)
    body += _section(Section.WEIGHTS, weights.pack(tuple(field.tensors()), expected))
    if field.alpha is not None:
        body += _section(Section.ALPHA, alpha.pack(field.alpha))
    layers = []
    if field.latents:
        others = len(body) + CRC_LENGTH
        layers = latents.pack(field.latents, field.context, field.architecture, others)
    rest: dict[int, bytes] = {Section.LAYER + k: payload for k, payload in enumerate(layers)}
    rest |= {id_: field.metadata[name] for id_, name in _METADATA.items() if name in field.metadata}
    for id_ in sorted(rest, key=_order):
        body += _section(id_, rest[id_])
    return body + zlib.crc32(body).to_bytes(CRC_LENGTH, "little")


def _section(id_: int, payload: bytes) -> bytes:
    return bytes([id_]) + pack_varint(len(payload)) + payload


def _order(id_: int) -> int:
    """Return where a section lies among the others."""
    return id_ & ~_ANCILLARY


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


def is_whole(data: bytes) -> bool:
    """Return whether a file ends with the checksum of all before it: nothing is cut off."""
    stored = int.from_bytes(data[-CRC_LENGTH:], "little")
    return len(data) > CRC_LENGTH and stored == zlib.crc32(data[:-CRC_LENGTH])


def read(
    data: bytes, limits: Limits = DEFAULT_LIMITS, *, first_level: int = 0, partial: bool = False
) -> Field:
    """Return the Field of a `.siren` file. Raises FormatError or LimitError.

    Levels of latent grids below `first_level` are not decoded, as far as layers allow; the Field's
    `first_level` is the finest one that was. With `partial`, a file whose end is missing (see
    `is_whole`) is read as far as its layers are whole, the first one at least.
    """
    header, sections = parse(data, limits, partial=partial)
    architecture = header.architecture
    width, height = header.width, header.height
    layers, finest = _layers_from(first_level, layers_of(sections), architecture)
    _check_work(header, finest, limits)
    expected = prior.expected(header.prior, architecture.channels)
    tensors = weights.unpack(sections[Section.WEIGHTS], architecture.tensor_shapes, expected)
    pairs = tuple(
        Layer(weight, bias) for weight, bias in zip(tensors[::2], tensors[1::2], strict=True)
    )
    network, context = pairs[: len(architecture.shapes)], pairs[len(architecture.shapes) :]
    grids: tuple[npt.NDArray[np.int16], ...] = ()
    if layers:
        grids = latents.unpack(layers, context, architecture, width, height)
    metadata = {name: sections[id_] for id_, name in _METADATA.items() if id_ in sections}
    return Field(
        *(width, height, header.depth, architecture, network, metadata),
        latents=grids,
        context=context,
        prior=header.prior,
        alpha=alpha.unpack(sections[Section.ALPHA], width, height, header.depth)
        if header.alpha
        else None,
        first_level=finest,
        whole=not partial or is_whole(data),
    )


def layers_of(sections: Mapping[int, bytes]) -> list[bytes]:
    """Return the payloads of the layers of latent grids, coarsest first."""
    return [sections[id_] for id_ in _LAYERS if id_ in sections]


def _layers_from(
    first_level: int, layers: list[bytes], architecture: Architecture
) -> tuple[list[bytes], int]:
    """Return the layers that have to be read for the levels from one on, and their finest level."""
    levels = latents.layer_levels(layers, architecture.features)
    count = max(1, sum(each[-1] >= first_level for each in levels))
    return layers[:count], levels[:count][-1].start if levels else 0


def sizes(sections: Mapping[int, bytes]) -> dict[str, int]:
    """Return the bytes that each section takes in a file, its id and length included."""
    return {_name_of(id_): len(_section(id_, payload)) for id_, payload in sections.items()}


def parts(data: bytes, sections: Mapping[int, bytes]) -> dict[str, int]:
    """Return the bytes of all parts of a file with these sections; they add up to it."""
    found = sizes(sections)
    rest = len(data) - CRC_LENGTH - sum(found.values())
    return {"header": rest, **found, "checksum": CRC_LENGTH}


def _name_of(id_: int) -> str:
    if id_ in _LAYERS:
        return f"layer_{id_ - Section.LAYER}"
    return Section(id_).name.lower() if id_ in list(Section) else f"{id_:#04x}"


def parse(
    data: bytes, limits: Limits = DEFAULT_LIMITS, *, partial: bool = False
) -> tuple[Header, dict[int, bytes]]:
    """Return the header and the payloads of the sections, checked but not yet unpacked.

    With `partial`, a file whose end is missing gives those of its sections that are whole.
    """
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
    whole = is_whole(data)
    if not whole and not partial:
        raise _wrong_checksum(data)
    cursor = Cursor(data[:-CRC_LENGTH] if whole else data, len(MAGIC) + 1)
    header = _unpack_header(cursor)
    _check(header, limits)
    sections = _unpack_sections(cursor, header, limits, cut=not whole)
    _check_sections(header, sections, cut=not whole)
    if not whole and _is_complete(header, sections) and _is_checksum(cursor, sections):
        raise _wrong_checksum(data)
    return header, sections


def _wrong_checksum(data: bytes) -> FormatError:
    stored, computed = int.from_bytes(data[-CRC_LENGTH:], "little"), zlib.crc32(data[:-CRC_LENGTH])
    return FormatError(f"corrupt or truncated: expected CRC {stored:08x}, found {computed:08x}")


def _is_checksum(cursor: Cursor, sections: Mapping[int, bytes]) -> bool:
    """Return whether all that is left after the sections is a checksum, and no other section."""
    if cursor.left != CRC_LENGTH:
        return False
    next_id = cursor.data[cursor.position]
    return next_id not in _METADATA or _order(next_id) <= max(map(_order, sections))


def _is_complete(header: Header, sections: Mapping[int, bytes]) -> bool:
    """Return whether the sections have all that makes the picture."""
    if Section.WEIGHTS not in sections or (header.alpha and Section.ALPHA not in sections):
        return False
    layers = layers_of(sections)
    return not header.architecture.features or (bool(layers) and layers[-1][:1] == b"\0")


def _check_sections(header: Header, sections: Mapping[int, bytes], *, cut: bool) -> None:
    """Raise FormatError if there are sections too few, or others than the header says."""
    if Section.WEIGHTS not in sections:
        raise FormatError("expected a weights section, found none")
    if (Section.ALPHA in sections) != header.alpha:
        expected, found = ("one", "none") if header.alpha else ("none", "one")
        raise FormatError(f"alpha section: expected {expected}, found {found}")
    layers = layers_of(sections)
    if bool(layers) != bool(header.architecture.features):
        expected, found = ("some", "none") if header.architecture.features else ("none", "some")
        raise FormatError(f"layers of latents: expected {expected}, found {found}")
    if any(Section.LAYER + index not in sections for index in range(len(layers))):
        raise FormatError("layers of latents: expected all ids from 0x10 on, found a gap")
    levels = latents.layer_levels(layers, header.architecture.features)
    if not cut and levels and levels[-1].start:
        raise FormatError(
            f"layers of latents: expected all levels, found none below {levels[-1].start}"
        )


def _check_shapes(field: Field) -> None:
    """Raise UsageError if the arrays of a Field are not those of its architecture."""
    architecture = field.architecture
    if field.first_level:
        raise UsageError(f"expected all levels of latents, found none below {field.first_level}")
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
    if header.symbols() > most:
        raise LimitError(f"latents: expected at most {most} integers, found {header.symbols()}")


def _check_work(header: Header, first_level: int, limits: Limits) -> None:
    """Raise LimitError if the levels from one on take too long to read."""
    work = header.symbols(first_level) * header.architecture.context_multiply_adds
    if work > limits.multiply_adds:
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


def _unpack_sections(
    cursor: Cursor, header: Header, limits: Limits, *, cut: bool
) -> dict[int, bytes]:
    """Return the sections, which come in their order, so that none comes twice.

    Of a file that is `cut` only those that are whole; the cursor is left behind them. Raises
    FormatError for critical ones that are unknown.
    """
    sections: dict[int, bytes] = {}
    last = 0
    while cursor.left:
        if cut and cursor.left <= CRC_LENGTH and _is_complete(header, sections):
            break
        if cut and not _fits(cursor):
            break
        id_, length = cursor.byte(), cursor.varint()
        _check_section(id_, length, last, limits)
        sections[id_] = cursor.take(length)
        last = id_
    return sections


def _fits(cursor: Cursor) -> bool:
    """Return whether the section that the cursor is at is whole."""
    ahead = Cursor(cursor.data, cursor.position + 1)
    try:
        length = ahead.varint()
    except FormatError:
        return False
    return length <= ahead.left


def _check_section(id_: int, length: int, last: int, limits: Limits) -> None:
    """Raise an error for a section that must not be there, after the section `last`."""
    if _order(id_) <= _order(last):
        raise FormatError(f"expected a section above {last:#04x}, found {id_:#04x}")
    if id_ < _ANCILLARY and id_ not in (Section.WEIGHTS, Section.ALPHA, *_LAYERS):
        raise FormatError(f"expected a section that version 1 knows, found {id_:#04x}")
    if id_ >= _ANCILLARY and length > limits.metadata_bytes:
        raise LimitError(
            f"section {id_:#04x}: expected at most {limits.metadata_bytes} bytes, found {length}"
        )
