"""Mutants of files: of their bytes, and of each field that `docs/FORMAT.md` names.

A file is taken apart by this module's own reading of the specification, so that any field can be
changed alone, its neighbours staying where they are and the lengths around it put right.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from siren_codec import stream
from siren_codec.errors import SirenError
from siren_codec.field import Field, Layer, QuantisedTensor
from siren_codec.stream import prior

__all__ = ["Part", "assembled", "mutant", "parts_of", "seal", "systematic", "varint"]

Generator = np.random.Generator
Kind = Literal["u8", "varint", "bytes"]


@dataclass(frozen=True)
class Part:
    """A field of a file: its name, its bytes, how it is written, and the section it lies in."""

    name: str
    data: bytes
    kind: Kind = "u8"
    section: int | None = None
    """For what a section holds, its number in the file, counted from 0."""


def varint(value: int) -> bytes:
    """Return LEB128."""
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def seal(body: bytes) -> bytes:
    """Return a file's bytes with their CRC-32."""
    return body + struct.pack("<I", zlib.crc32(body))


# The layout


class _Reader:
    """Takes parts from the bytes of a valid file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.parts: list[Part] = []
        self.section: int | None = None

    def take(self, name: str, count: int, kind: Kind = "bytes") -> bytes:
        found = self.data[self.position : self.position + count]
        assert len(found) == count, name
        self.position += count
        self.parts.append(Part(name, found, kind, self.section))
        return found

    def byte(self, name: str) -> int:
        return self.take(name, 1, "u8")[0]

    def varint(self, name: str) -> int:
        length = 1
        while self.data[self.position + length - 1] >= 0x80:
            length += 1
        groups = self.take(name, length, "varint")
        return sum((group & 0x7F) << 7 * index for index, group in enumerate(groups))


def parts_of(data: bytes) -> list[Part]:
    """Return the fields of a valid file, all but its CRC-32."""
    reader = _Reader(data[:-4])
    reader.take("magic", 4)
    reader.byte("version")
    tensors, features = _header(reader)
    number = 0
    while reader.position < len(reader.data):
        reader.section = None
        id_ = reader.byte("section id")
        length = reader.varint("section length")
        reader.section, number = number, number + 1
        _section(reader, id_, reader.position + length, tensors, features)
    return reader.parts


def _header(reader: _Reader) -> tuple[int, list[int]]:
    """Take the header (section 2); return the number of tensors and each level's of grids."""
    reader.varint("width")
    reader.varint("height")
    samples = reader.byte("samples")
    if samples & 8:
        id_ = reader.byte("prior id")
        reader.take("prior hash", 4)
        reader.byte("quality")
        network = prior.load(id_).architecture
        return len(network.tensor_shapes), [*network.features]
    layers = reader.byte("hidden layers")
    for name in ("hidden features", "first omega_0", "omega_0"):
        reader.varint(name)
    levels = reader.byte("levels")
    if not levels:
        return 2 * (layers + 1), []
    features = [reader.byte("features") for _ in range(levels)]
    reader.byte("neighbours")
    reader.byte("context features")
    return 2 * (layers + 4), features


def _section(reader: _Reader, id_: int, end: int, tensors: int, features: list[int]) -> None:
    """Take a section's payload (sections 4, 6 and 10); a layer's levels leave `features`."""
    if id_ == 1:
        coder = reader.byte("coder")
        moved = sum(reader.byte("step") != 0xFF for _ in range(tensors))
        if coder == 1:
            reader.byte("planes")
            _frame(reader, end)
        else:
            for _ in range(moved):
                reader.byte("table")
            reader.take("words", end - reader.position)
    elif 0x10 <= id_ < 0x1A:
        finest = reader.byte("finest level")
        flags = reader.take("flags", -(-sum(features[finest:]) // 8))
        del features[finest:]
        if any(flags):
            reader.take("escapes", reader.varint("escapes length"))
            reader.take("words", end - reader.position)
    elif id_ == 2:
        reader.byte("form")
        _frame(reader, end)
    elif end > reader.position:
        reader.take("metadata", end - reader.position)


def _frame(reader: _Reader, end: int) -> None:
    """Take a zstd frame (RFC 8878, section 3.1.1) without checksum and dictionary."""
    reader.take("zstd magic", 4)
    descriptor = reader.byte("zstd descriptor")
    single = descriptor >> 5 & 1
    if not single:
        reader.byte("zstd window")
    size = (single, 2, 4, 8)[descriptor >> 6]
    if size:
        reader.take("zstd content size", size)
    last = False
    while not last:
        block = int.from_bytes(reader.take("zstd block header", 3), "little")
        last, kind, length = bool(block & 1), block >> 1 & 3, block >> 3
        reader.take("zstd block", 1 if kind == 1 else length)
    assert reader.position == end


def assembled(parts: Sequence[Part], *, lengths: bool = True) -> bytes:
    """Return the bytes of parts, without CRC-32; with `lengths`, those of sections are right."""
    sizes: dict[int, int] = {}
    for part in parts:
        if part.section is not None:
            sizes[part.section] = sizes.get(part.section, 0) + len(part.data)
    out, number = [], 0
    for part in parts:
        data = part.data
        if part.name == "section length":
            data = varint(sizes.get(number, 0)) if lengths else data
            number += 1
        out.append(data)
    return b"".join(out)


# Mutations

_NUMBERS = (
    *(0, 1, 2, 3, 4, 5, 7, 8, 10, 11, 16, 17, 24, 25, 63, 64, 65, 100, 101, 127, 128, 255),
    *(256, 512, 513, 1000, 16_384, 16_385, 65_535, 65_536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1),
)
"""The least and the most of everything, and one beyond."""
_BAD_VARINTS = (b"\x80\x00", b"\x80\x80\x80\x80\x10", b"\xff\xff\xff\xff\x7f", b"\x80" * 6)


def _extremes(part: Part) -> list[bytes]:
    """Return what a field is set to: 0, 1, its maximum, and what is near to what it was."""
    size = len(part.data)
    if part.kind == "varint":
        return [varint(number) for number in _NUMBERS] + [*_BAD_VARINTS]
    if part.kind == "u8":
        near = (part.data[0] + step & 0xFF for step in (1, -1, 8, 16, 32))
        return [bytes([number & 0xFF]) for number in (*_NUMBERS[:22], *near)]
    least = [b"", bytes(size), b"\xff" * size, b"\1" + bytes(max(size - 1, 0))]
    return [*least, part.data[:-1], part.data + b"\0", part.data[1:], part.data * 2]


def systematic(data: bytes) -> Iterator[bytes]:
    """Yield each prefix of a file, each flip of a bit, and each field set to its extremes.

    Each comes twice: with its CRC-32 right, and with what was there before.
    """
    body, checksum = data[:-4], data[-4:]
    for length in range(len(body) + 1):
        yield seal(body[:length])
        yield data[:length]
    for position in range(len(body)):
        for bit in range(8):
            flipped = bytearray(body)
            flipped[position] ^= 1 << bit
            yield seal(bytes(flipped))
            yield bytes(flipped) + checksum
    yield from _each_field(data)


def _each_field(data: bytes) -> Iterator[bytes]:
    parts = parts_of(data)
    for index, part in enumerate(parts):
        for value in _extremes(part):
            changed = [*parts[:index], replace(part, data=value), *parts[index + 1 :]]
            body = assembled(changed, lengths=part.name != "section length")
            yield seal(body)
            yield body + data[-4:]


def mutant(corpus: tuple[bytes, ...], seed: int, number: int) -> bytes:
    """Return a mutant of one of the files, the same for the same seed and number.

    Even ones have their CRC-32 right; the odd one after each is the same but for its CRC-32, which
    is that of the file before.
    """
    body, checksum = _body_and_checksum(corpus, seed, number // 2)
    return body + checksum if number % 2 else seal(body)


@lru_cache(maxsize=1)
def _body_and_checksum(corpus: tuple[bytes, ...], seed: int, pair: int) -> tuple[bytes, bytes]:
    rng = np.random.default_rng([seed, pair])
    original = corpus[rng.integers(len(corpus))]
    mutation = _MUTATIONS[rng.integers(len(_MUTATIONS))]
    return mutation(original, corpus, rng), original[-4:]


Mutation = Callable[[bytes, tuple[bytes, ...], Generator], bytes]


def _flip_bits(data: bytes, _: tuple[bytes, ...], rng: Generator) -> bytes:
    return _scrambled(data[:-4], rng, start=5)


def _scrambled(data: bytes, rng: Generator, start: int = 0) -> bytes:
    """Return bytes with some of them flipped, set, inserted, doubled or left out."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if len(out) <= start:
            break
        at = int(rng.integers(start, len(out)))
        length = int(rng.integers(1, 9))
        match rng.integers(6):
            case 0 | 1:
                out[at] ^= 1 << int(rng.integers(8))
            case 2:
                out[at] = int(rng.choice([0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF]))
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = rng.bytes(length)
            case _:
                out[at:at] = out[at : at + length]
    return bytes(out)


def _splice(data: bytes, corpus: tuple[bytes, ...], rng: Generator) -> bytes:
    """The beginning of one file and the end of another, often where both have the same field."""
    other = corpus[rng.integers(len(corpus))]
    if rng.integers(2):
        return data[: rng.integers(len(data))] + other[rng.integers(len(other)) : -4]
    mine, theirs = parts_of(data), parts_of(other)
    names = sorted({part.name for part in mine} & {part.name for part in theirs})
    name = names[rng.integers(len(names))]
    here = [part.name for part in mine].index(name)
    there = [part.name for part in theirs].index(name)
    return b"".join(part.data for part in mine[:here] + theirs[there:])


def _set_field(data: bytes, _: tuple[bytes, ...], rng: Generator) -> bytes:
    """One to three fields at their extremes, those of the header more often than others."""
    parts = parts_of(data)
    lengths = bool(rng.integers(4))
    for _repeat in range(int(rng.integers(1, 4))):
        head = [i for i, part in enumerate(parts) if part.section is None]
        index = int(rng.choice(head)) if rng.integers(2) else int(rng.integers(len(parts)))
        values = _extremes(parts[index])
        parts[index] = replace(parts[index], data=values[rng.integers(len(values))])
    return assembled(parts, lengths=lengths)


def _scramble_part(data: bytes, _: tuple[bytes, ...], rng: Generator) -> bytes:
    """One part of a section changed, its length put right."""
    parts = parts_of(data)
    inside = [index for index, part in enumerate(parts) if part.section is not None]
    # A part, not a byte, at random: so words and frames are met as often as all tables together.
    names = sorted({parts[index].name for index in inside})
    name = names[rng.integers(len(names))]
    index = int(rng.choice([index for index in inside if parts[index].name == name]))
    parts[index] = replace(parts[index], data=_scrambled(parts[index].data, rng))
    return assembled(parts)


def _swap_sections(data: bytes, corpus: tuple[bytes, ...], rng: Generator) -> bytes:
    """A section left out, doubled, moved, or replaced by one of another file."""
    head, sections = _sections_of(data)
    other = _sections_of(corpus[rng.integers(len(corpus))])[1]
    at = int(rng.integers(len(sections)))
    match rng.integers(5):
        case 0:
            del sections[at]
        case 1:
            sections.insert(at, sections[at])
        case 2:
            sections.append(sections.pop(at))
        case 3:
            sections[at] = other[rng.integers(len(other))]
        case _:
            payload = rng.bytes(int(rng.integers(20)))
            sections.append((int(rng.integers(256)), payload))
            sections.sort(key=lambda section: section[0] & 0x7F)
    return head + b"".join(bytes([id_]) + varint(len(x)) + x for id_, x in sections)


def _sections_of(data: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Return what comes before the sections, and each one's id and payload."""
    parts = parts_of(data)
    ids = [part.data[0] for part in parts if part.name == "section id"]
    first = [part.name for part in parts].index("section id")
    payloads = [
        b"".join(part.data for part in parts if part.section == number)
        for number in range(len(ids))
    ]
    head = b"".join(part.data for part in parts[:first])
    return head, list(zip(ids, payloads, strict=True))


def _split_layer(data: bytes, _: tuple[bytes, ...], rng: Generator) -> bytes:
    """The layers of a file, or of one of its levels, under other ids or of other levels."""
    head, sections = _sections_of(data)
    layers = [at for at, (id_, _payload) in enumerate(sections) if 0x10 <= id_ < 0x1A]
    if not layers:
        return data[:-4]
    at = int(rng.choice(layers))
    id_, payload = sections[at]
    match rng.integers(4):
        case 0:
            sections[at] = int(rng.integers(0x10, 0x1C)), payload
        case 1:
            sections[at] = id_, bytes([int(rng.integers(12))]) + payload[1:]
        case 2:
            sections.insert(at + 1, (id_ + 1, payload))
        case _:
            parted = int(rng.integers(1, len(payload) + 1))
            sections[at : at + 1] = [(id_, payload[:parted]), (id_ + 1, b"\0" + payload[parted:])]
    return head + b"".join(bytes([id_]) + varint(len(x)) + x for id_, x in sections)


def _truncate(data: bytes, _: tuple[bytes, ...], rng: Generator) -> bytes:
    return data[: rng.integers(len(data) - 4)]


def _random_bytes(data: bytes, _: tuple[bytes, ...], rng: Generator) -> bytes:
    """Random bytes after nothing, the magic, or the header of a file."""
    parts = parts_of(data)
    names = [part.name for part in parts]
    kept = (0, 1, 2, names.index("samples") + 1, names.index("section id"))
    head = b"".join(part.data for part in parts[: kept[rng.integers(len(kept))]])
    return head + rng.bytes(int(rng.integers(300)))


def _rewrite(data: bytes, _: tuple[bytes, ...], rng: Generator) -> bytes:
    """A sound file again, but of wild weights, steps, frequencies or sizes."""
    field = stream.read(data)
    tensors = list(field.tensors())
    for _repeat in range(int(rng.integers(1, 4))):
        index = int(rng.integers(len(tensors)))
        tensors[index] = _wild(tensors[index], rng, steps=field.prior is None)
    layers = [Layer(*pair) for pair in zip(tensors[::2], tensors[1::2], strict=True)]
    depth = len(field.layers)
    changed = replace(field, layers=tuple(layers[:depth]), context=tuple(layers[depth:]))
    if field.prior is None:
        omegas = [int(rng.choice([1, 30, 120, 4 * 4096])) / 4 for _ in range(2)]
        network = replace(field.architecture, first_omega_0=omegas[0], omega_0=omegas[1])
        changed = replace(changed, architecture=network)
    if field.alpha is None and rng.integers(4) == 0:
        changed = _resized(changed, rng)
    try:
        return stream.write(changed)[:-4]
    except SirenError:
        # A context network that is not exact, or a difference too large for its step.
        return data[:-4]


def _wild(tensor: QuantisedTensor, rng: Generator, *, steps: bool) -> QuantisedTensor:
    """Return a tensor of large integers, or of one everywhere, at any step."""
    shape = tensor.values.shape
    bound = int(rng.choice([1, 100, 32_767]))
    values = np.full(shape, bound) if rng.integers(3) == 0 else rng.integers(-bound, bound, shape)
    if not steps:
        return QuantisedTensor(tensor.values + values.astype(np.int32), tensor.exponent)
    return QuantisedTensor(values.astype(np.int32), int(rng.integers(-24, 8)))


def _resized(field: Field, rng: Generator) -> Field:
    """Return a Field of another size, its grids filled with zeros or cut off."""
    width, height = (int(rng.choice([1, 2, 17, 90, 260])) for _ in range(2))
    levels = []
    for level, grids in enumerate(field.latents):
        resized = np.zeros((len(grids), -(-height >> level), -(-width >> level)), np.int32)
        part = grids[:, : resized.shape[1], : resized.shape[2]]
        resized[:, : part.shape[1], : part.shape[2]] = part
        levels.append(resized)
    return replace(field, width=width, height=height, latents=tuple(levels))


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bits,
    _splice,
    _set_field,
    _set_field,
    _scramble_part,
    _scramble_part,
    _swap_sections,
    _split_layer,
    _truncate,
    _random_bytes,
    _rewrite,
)
