"""The container: round trips, golden files, and every way in which a file can be wrong."""

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_field
from fuzz.run import resident
from goldens import DIGESTS, GOLDEN, GOLDEN_FILES, golden, tensors_digest
from second_decoder import decode

from siren_codec import stream
from siren_codec.errors import FormatError, LimitError, SirenError, UsageError
from siren_codec.field import Architecture, Field, Layer, QuantisedTensor
from siren_codec.stream import Limits, format, latents, weights
from siren_codec.stream.format import Section

Sections = list[tuple[int, bytes]]


def varint(value: int) -> bytes:
    """Return LEB128, written here a second time."""
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def header(
    *,
    width: bytes = varint(16),
    height: bytes = varint(12),
    kind: int = 0b010,
    hidden_layers: int = 2,
    hidden_features: bytes = varint(4),
    first_omega_0: bytes = varint(120),
    omega_0: bytes = varint(80),
    levels: bytes = b"\0",
) -> bytes:
    return b"".join(
        (
            *(width, height, bytes([kind, hidden_layers]), hidden_features),
            *(first_omega_0, omega_0, levels),
        )
    )


def seal(body: bytes) -> bytes:
    """Return the body with its checksum."""
    return body + struct.pack("<I", zlib.crc32(body))


def file(sections: Sections, head: bytes | None = None) -> bytes:
    body = b"\x89SRN\x01" + (header() if head is None else head)
    for id_, payload in sections:
        body += bytes([id_]) + varint(len(payload)) + payload
    return seal(body)


FIELD = make_field(1, hidden_layers=2, hidden_features=4, first_omega_0=30, omega_0=20)
WEIGHTS = weights.pack(tuple(FIELD.tensors()))
METADATA = {"icc": b"profile" * 9, "exif": b"Exif\0\0II*\0", "xmp": b"<x/>"}


def assert_same_field(actual: Field, expected: Field) -> None:
    for name in ("width", "height", "depth", "architecture"):
        assert getattr(actual, name) == getattr(expected, name)
    assert dict(actual.metadata) == dict(expected.metadata)
    for found, wanted in zip(actual.tensors(), expected.tensors(), strict=True):
        assert found.exponent == wanted.exponent
        assert found.values.dtype == np.int32
        np.testing.assert_array_equal(found.values, wanted.values)
    assert len(actual.latents) == len(expected.latents)
    for level, other in zip(actual.latents, expected.latents, strict=True):
        assert level.dtype in (np.int16, np.int32)
        np.testing.assert_array_equal(level, other)


_GRID_ARCHITECTURE = replace(FIELD.architecture, features=(5, 1), neighbours=4, context_features=4)
GRIDS = replace(
    FIELD,
    architecture=_GRID_ARCHITECTURE,
    layers=tuple(
        Layer(*(QuantisedTensor(np.zeros(shape, np.int32), -8) for shape in (matrix, matrix[:1])))
        for matrix in _GRID_ARCHITECTURE.shapes
    ),
    latents=(np.ones((5, 12, 16), np.int32), np.full((1, 6, 8), -3, np.int32)),
    context=tuple(
        Layer(
            QuantisedTensor(np.ones(matrix, np.int32), -8),
            QuantisedTensor(np.ones(bias, np.int32), -8),
        )
        for matrix, bias in zip(
            _GRID_ARCHITECTURE.context_shapes, [(6, 4), (4,), (2,)], strict=True
        )
    ),
)

# Round trips


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("metadata", [{}, METADATA], ids=["bare", "metadata"])
def test_round_trip_of_every_form(depth: int, channels: int, metadata: Mapping[str, bytes]) -> None:
    field = make_field(2, depth=depth, channels=channels, metadata=metadata)
    data = stream.write(field)
    assert_same_field(stream.read(data), field)
    assert stream.write(stream.read(data)) == data
    np.testing.assert_array_equal(stream.read(data).render(), field.render())


@pytest.mark.parametrize(
    ("hidden_layers", "hidden_features"), [(1, 1), (1, 40), (2, 4), (10, 28), (16, 3), (2, 200)]
)
def test_round_trip_of_architectures(hidden_layers: int, hidden_features: int) -> None:
    field = make_field(3, hidden_layers=hidden_layers, hidden_features=hidden_features)
    assert_same_field(stream.read(stream.write(field)), field)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 65_535), (65_535, 1), (300, 127)])
def test_round_trip_of_sizes(width: int, height: int) -> None:
    field = make_field(4, width=width, height=height)
    assert_same_field(stream.read(stream.write(field)), field)


@pytest.mark.parametrize(
    ("first_omega_0", "omega_0"), [(0.25, 0.25), (30, 30), (4096, 4096), (3.5, 17.75), (1024, 31)]
)
def test_round_trip_of_frequencies(first_omega_0: float, omega_0: float) -> None:
    field = make_field(5, first_omega_0=first_omega_0, omega_0=omega_0)
    assert_same_field(stream.read(stream.write(field)), field)


@pytest.mark.parametrize("names", [["icc"], ["exif"], ["xmp"], ["icc", "xmp"], ["xmp", "icc"]])
def test_round_trip_of_some_metadata(names: list[str]) -> None:
    field = replace(FIELD, metadata={name: METADATA[name] for name in names})
    assert dict(stream.read(stream.write(field)).metadata) == dict(field.metadata)


def test_round_trip_of_latent_grids() -> None:
    assert_same_field(stream.read(stream.write(GRIDS)), GRIDS)
    empty = replace(GRIDS, latents=tuple(np.zeros_like(level) for level in GRIDS.latents))
    data = stream.write(empty)
    assert format.parse(data)[1][Section.LAYER] == b"\0\0"
    assert_same_field(stream.read(data), empty)


def test_write_agrees_with_the_layout_of_the_specification() -> None:
    field = replace(FIELD, metadata=METADATA)
    assert stream.write(FIELD) == file([(1, WEIGHTS)])
    assert stream.write(field) == file(
        [
            (0x01, WEIGHTS),
            (0x83, METADATA["icc"]),
            (0xA0, METADATA["exif"]),
            (0xA1, METADATA["xmp"]),
        ]
    )


def test_the_constants_are_the_format_s() -> None:
    assert format.MAGIC == b"\x89SRN"
    assert format.VERSION == 1
    assert [(section.name, int(section)) for section in Section] == [
        ("WEIGHTS", 1),
        ("ALPHA", 2),
        ("ICC", 0x83),
        ("LAYER", 0x10),
        ("EXIF", 0xA0),
        ("XMP", 0xA1),
    ]


@pytest.mark.parametrize(("width", "height"), [(64, 64), (768, 512)])
def test_all_but_the_weights_takes_24_bytes_at_most(width: int, height: int) -> None:
    field = make_field(6, width=width, height=height, hidden_layers=10, hidden_features=28)
    data = stream.write(field)
    payload = len(weights.pack(tuple(field.tensors())))
    assert payload > 1000
    assert len(data) - payload <= 24


def test_sizes_of_the_sections_and_the_rest_are_the_file() -> None:
    data = file([(1, WEIGHTS), (0x83, METADATA["icc"]), (0x90, b"x" * 200)])
    _, sections = format.parse(data)
    sizes = format.sizes(sections)
    assert sizes == {"weights": len(WEIGHTS) + 2, "icc": len(METADATA["icc"]) + 2, "0x90": 203}
    assert len(data) == 4 + 1 + len(header()) + sum(sizes.values()) + 4


# Golden files


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_golden_file(name: str) -> None:
    data = golden(name)
    assert len(data) <= (8000 if name == "rgb_8_layers" else 1500)
    field = stream.read(data)
    assert weights.coder(format.parse(data)[1][Section.WEIGHTS]).name == DIGESTS[name]["coder"]
    assert tensors_digest(field) == DIGESTS[name]["digest"]


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_the_second_decoder_reads_the_same(name: str) -> None:
    """The page alone says how: integers are the same, pixels differ by one level at most."""
    found, field = decode(golden(name)), stream.read(golden(name))
    size = found.width, found.height, found.depth, found.channels
    assert size == (field.width, field.height, field.depth, field.channels)
    for mine, theirs in zip(found.tensors, field.tensors(), strict=True):
        assert mine.exponent == theirs.exponent
        np.testing.assert_array_equal(mine.values, theirs.values)
    grids = [grid for level in field.latents for grid in level]
    for values, grid in zip(found.grids, grids, strict=True):
        np.testing.assert_array_equal(values, grid)
    assert (found.alpha is None) == (field.alpha is None)
    assert found.metadata == field.metadata
    difference = found.pixels() - np.atleast_3d(field.render()).astype(int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_golden_pixels(name: str) -> None:
    pixels = np.atleast_3d(stream.read(golden(name)).render())
    expected = np.load(GOLDEN / f"{name}.npy", allow_pickle=False)
    assert pixels.dtype == expected.dtype
    assert pixels.shape == expected.shape
    difference = np.abs(pixels.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.05


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_a_golden_file_is_written_as_it_was(name: str) -> None:
    # If this fails for rgba_16_zstd alone, look at zstd's own version first: any frame is legal.
    assert stream.write(stream.read(golden(name))) == golden(name)


def test_golden_files_cover_both_families_and_both_numbers_of_planes() -> None:
    names = [name for name in GOLDEN_FILES if "prior" not in name and "alpha" not in name]
    sections = {name: format.parse(golden(name))[1][Section.WEIGHTS] for name in names}
    tables = [section[7:13] for section in sections.values() if section[0] == weights.Coder.RANGE]
    assert {table >> 6 for bytes_ in tables for table in bytes_} == {0, 1}
    assert sections["rgba_16_zstd"][1 + 2 * 3] == 1
    assert sections["grey_16_zstd_2"][1 + 2 * 4] == 2


def test_golden_metadata() -> None:
    metadata = stream.read(golden("la_8_metadata")).metadata
    assert metadata["icc"] == bytes(range(128))
    assert metadata["exif"].startswith(b"Exif\0\0MM\0*")
    assert metadata["xmp"].decode() == '<x:xmpmeta xmlns:x="adobe:ns:meta/">naïve</x:xmpmeta>'
    assert set(metadata) == {"icc", "exif", "xmp"}


def test_there_is_a_test_for_every_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.siren")} == set(GOLDEN_FILES)


# Damage


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_every_prefix_is_refused(name: str) -> None:
    data = golden(name)
    for length in range(len(data)):
        with pytest.raises(FormatError):
            stream.read(data[:length])


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_every_flipped_bit_is_noticed(name: str) -> None:
    data = golden(name)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SirenError):
            stream.read(bytes(flipped))


@pytest.mark.parametrize("name", GOLDEN_FILES)
@pytest.mark.parametrize("extra", [b"\0", b"\n", b"\xff", bytes(100)])
def test_trailing_bytes_are_refused(name: str, extra: bytes) -> None:
    with pytest.raises(FormatError):
        stream.read(golden(name) + extra)


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_every_prefix_of_the_body_is_refused_for_more_than_its_checksum(name: str) -> None:
    data = golden(name)
    # The file may end where metadata end, if nothing is missing.
    ends = ends_of(data)
    last = [end for part, end in ends.items() if part not in METADATA][-1]
    for length in range(len(data) - 4):
        if length not in ends.values() or length < last:
            with pytest.raises(FormatError):
                stream.read(seal(data[:length]))


def test_trailing_bytes_under_a_right_checksum_are_no_section() -> None:
    for extra in (b"\0", b"\x01", b"\x02", b"\x7f", b"\x90", b"\x90\x01", b"\x90\x80"):
        with pytest.raises(FormatError):
            stream.read(seal(file([(1, WEIGHTS)])[:-4] + extra))


def mutate(data: bytes, rng: np.random.Generator, *, start: int) -> bytes:
    """Return the bytes with one to three changes from `start` on: bits, bytes, cuts, copies."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, length = int(rng.integers(start, len(changed))), int(rng.integers(1, 9))
        match int(rng.integers(0, 6)):
            case 0:
                changed[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                changed[at] = int(rng.integers(0, 256))
            case 2 if len(changed) > start + 20:
                del changed[at : at + length]
            case 3:
                changed[at:at] = rng.bytes(length)
            case 4:
                changed[at:at] = changed[at : at + length]
            case _:
                changed[at] = int(rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF]))
    return bytes(changed)


def mutate_body(data: bytes, rng: np.random.Generator) -> bytes:
    return seal(mutate(data[:-4], rng, start=5))


def mutate_weights(data: bytes, rng: np.random.Generator) -> bytes:
    """Change the weights section alone, and let its length be right."""
    _, sections = format.parse(data)
    head = data[5 : len(data) - 4 - sum(format.sizes(sections).values())]
    payload = mutate(sections[Section.WEIGHTS], rng, start=0)
    return file([*({**sections, Section.WEIGHTS: payload}).items()], head)


def mutate_layer(data: bytes, rng: np.random.Generator) -> bytes:
    """Change a layer of latents alone, if there is one, and let its length be right."""
    _, sections = format.parse(data)
    layers = [id_ for id_ in sections if 0x10 <= id_ < 0x1A]
    if not layers:
        return mutate_weights(data, rng)
    id_ = layers[rng.integers(len(layers))]
    payload = mutate(sections[id_], rng, start=0)
    return file([*({**sections, id_: payload}).items()], header_of(data))


@pytest.mark.parametrize("mutation", [mutate_body, mutate_weights, mutate_layer])
def test_mutations_give_a_field_or_a_siren_error(
    mutation: Callable[[bytes, np.random.Generator], bytes],
) -> None:
    rng = np.random.default_rng(7)
    originals = [golden(name) for name in GOLDEN_FILES if name != "rgb_8_layers"]
    # To render a picture of any size is to take its mean: a large one would take its time.
    limits = Limits(pixels=1 << 14)
    outcomes, messages = Counter[str](), set[str]()
    for round_ in range(1000):
        data = mutation(originals[round_ % len(originals)], rng)
        try:
            field = stream.read(data, limits)
        except SirenError as error:
            outcomes[type(error).__name__] += 1
            messages.add(str(error))
            continue
        outcomes["Field"] += 1
        pixels = np.atleast_3d(field.render((3, 2)))
        assert pixels.shape == (2, 3, field.channels)
        assert np.isfinite(field.at(0, 0)).all()
    assert not any("\n" in message for message in messages)
    # Or the test would say little.
    assert min(outcomes["Field"], outcomes["FormatError"]) > 25


# What a file begins with


def test_an_empty_file() -> None:
    with pytest.raises(FormatError, match="found an empty one"):
        stream.read(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(50),
        b"\xff\xd8\xff\xe0" + bytes(50),
        b"\x89SRM\x01" + bytes(50),
        b"SRN",
        b"\x89",
        b"\n" * 100,
    ],
)
def test_a_foreign_file(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"expected a \.siren file"):
        stream.read(data)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_an_unknown_version(version: int) -> None:
    data = bytearray(file([(1, WEIGHTS)]))
    data[4] = version
    for each in (bytes(data), seal(bytes(data[:-4]))):
        with pytest.raises(FormatError, match=f"expected version 1, found {version}"):
            stream.read(each)


def test_the_magic_alone() -> None:
    for data in (b"\x89SRN", b"\x89SRN\x01", b"\x89SRN\x01\0\0\0"):
        with pytest.raises(FormatError, match="truncated"):
            stream.read(data)


def test_a_wrong_checksum() -> None:
    data = file([(1, WEIGHTS)])
    with pytest.raises(FormatError, match="expected CRC"):
        stream.read(data[:-4] + bytes(4))


# The header


def test_the_crafted_header_is_sound() -> None:
    assert_same_field(stream.read(file([(1, WEIGHTS)])), FIELD)


def test_a_header_that_ends_early() -> None:
    for length in range(len(header())):
        with pytest.raises(FormatError, match=r"expected \d+ more bytes, found \d+"):
            stream.read(seal(b"\x89SRN\x01" + header()[:length]))


@pytest.mark.parametrize("kind", [0b111010, 0b100010, 0x80, 0xFA])
def test_reserved_bits_of_the_sample_format(kind: int) -> None:
    with pytest.raises(FormatError, match="reserved bits of 0"):
        stream.read(file([(1, WEIGHTS)], header(kind=kind)))


INTEGERS = ["width", "height", "hidden_features", "first_omega_0", "omega_0"]
BAD_VARINTS = {
    "six bytes": (b"\x90\x80\x80\x80\x80\x00", "at most 5 bytes"),
    "endless": (b"\x80" * 20, "at most 5 bytes"),
    "two bytes for 16": (b"\x90\x00", "shortest form"),
    "two bytes for 0": (b"\x80\x00", "shortest form"),
    "five bytes for 16": (b"\x90\x80\x80\x80\x00", "shortest form"),
    "2**32": (b"\x80\x80\x80\x80\x10", "below 2\\*\\*32"),
    "2**35 - 1": (b"\xff\xff\xff\xff\x7f", "below 2\\*\\*32"),
}


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize(("data", "match"), BAD_VARINTS.values(), ids=BAD_VARINTS.keys())
def test_bad_integers(name: str, data: bytes, match: str) -> None:
    head = header(**{name: data})  # type: ignore[arg-type]
    with pytest.raises(FormatError, match=match):
        stream.read(file([(1, WEIGHTS)], head))


def test_a_bad_integer_for_a_section_s_length() -> None:
    body = b"\x89SRN\x01" + header() + b"\x01"
    for data, match in BAD_VARINTS.values():
        with pytest.raises(FormatError, match=match):
            stream.read(seal(body + data + WEIGHTS))


LARGEST = varint((1 << 32) - 1)
BEYOND_LIMITS = [
    ({"width": varint(0)}, "width: expected 1 to 65535, found 0"),
    ({"height": varint(0)}, "height: expected 1 to 65535, found 0"),
    ({"width": varint(65_536)}, "width: expected 1 to 65535, found 65536"),
    ({"height": varint(65_536)}, "height: expected 1 to 65535, found 65536"),
    ({"width": LARGEST, "height": LARGEST}, "width: expected 1 to 65535"),
    ({"hidden_layers": 0}, "hidden layers: expected 1 to 16, found 0"),
    ({"hidden_layers": 17}, "hidden layers: expected 1 to 16, found 17"),
    ({"hidden_features": varint(0)}, "hidden features: expected 1 to 512, found 0"),
    ({"hidden_features": varint(513)}, "hidden features: expected 1 to 512, found 513"),
    ({"hidden_features": LARGEST}, "hidden features: expected 1 to 512"),
    ({"first_omega_0": varint(0)}, "first omega_0: expected 0.25 to 4096.0, found 0"),
    ({"first_omega_0": varint(4 * 4096 + 1)}, "first omega_0: .* found 4096.25"),
    ({"omega_0": varint(0)}, "^omega_0: expected 0.25 to 4096.0, found 0"),
    ({"omega_0": LARGEST}, "^omega_0: expected 0.25 to 4096.0"),
    ({"levels": bytes([11, *[1] * 11, 4, 4])}, "levels: expected 0 to 10, found 11"),
    ({"levels": bytes([255, *[255] * 255, 4, 4])}, "levels: expected 0 to 10, found 255"),
    ({"levels": b"\x02\x01\x11\x04\x04"}, "features of a level: expected 0 to 16, found 17"),
    ({"levels": b"\x03\x10\x10\x01\x04\x04"}, "latent grids: .* 1 to 32, found 33"),
    ({"levels": b"\x02\x00\x00\x04\x04"}, "latent grids: expected 1 to 32, found 0"),
    ({"levels": b"\x01\x01\x00\x04"}, "neighbours: expected 1 to 24, found 0"),
    ({"levels": b"\x01\x01\x19\x04"}, "neighbours: expected 1 to 24, found 25"),
    ({"levels": b"\x01\x01\x04\x00"}, "context features: expected 1 to 64, found 0"),
    ({"levels": b"\x01\x01\x04\x41"}, "context features: expected 1 to 64, found 65"),
    (
        {"width": varint(65_535), "height": varint(1365), "levels": b"\x01\x05\x04\x04"},
        "latents: expected at most 357825196 integers, found 447276375",
    ),
    (
        {"width": varint(65_535), "height": varint(1366)},
        "65535x1366: expected at most 89478485 pixels",
    ),
]


@pytest.mark.parametrize(("parts", "match"), BEYOND_LIMITS)
def test_a_header_beyond_the_limits(parts: dict[str, bytes], match: str) -> None:
    with pytest.raises(LimitError, match=match):
        stream.read(file([(1, WEIGHTS)], header(**parts)))  # type: ignore[arg-type]


def test_a_header_at_the_limits() -> None:
    head = header(
        width=varint(65_535),
        height=varint(1365),
        first_omega_0=varint(4 * 4096),
        omega_0=varint(1),
    )
    field = stream.read(file([(1, WEIGHTS)], head))
    assert (field.width, field.height) == (65_535, 1365)
    assert field.architecture.omegas == (4096.0, 0.25)


def test_limits_are_the_caller_s() -> None:
    data = file([(1, WEIGHTS), (0x83, b"12345")])
    assert stream.read(data, Limits(pixels=16 * 12, metadata_bytes=5)).width == 16
    for limits in (
        Limits(pixels=16 * 12 - 1),
        Limits(side=15),
        Limits(hidden_layers=1),
        Limits(hidden_features=3),
        Limits(omega_0=29.75),
        Limits(metadata_bytes=4),
    ):
        with pytest.raises(LimitError):
            stream.read(data, limits)


# The sections


def test_no_weights() -> None:
    for sections in ([], [(0x83, b"icc")]):
        with pytest.raises(FormatError, match="expected a weights section, found none"):
            stream.read(file(sections))


@pytest.mark.parametrize("id_", [0x03, 0x0F, 0x1A, 0x7F])
def test_an_unknown_critical_section(id_: int) -> None:
    with pytest.raises(
        FormatError, match=f"expected a section that version 1 knows, found 0x{id_:02x}"
    ):
        stream.read(file([(1, WEIGHTS), (id_, b"")]))


@pytest.mark.parametrize("id_", [0x82, 0x84, 0x90, 0xFF])
@pytest.mark.parametrize("payload", [b"", b"new", bytes(5000)])
def test_an_unknown_ancillary_section_is_skipped(id_: int, payload: bytes) -> None:
    known: Sections = [(1, WEIGHTS), (0x83, METADATA["icc"]), (0xA1, METADATA["xmp"])]
    with_unknown = sorted([*known, (id_, payload)], key=lambda section: section[0] & 0x7F)
    field = stream.read(file(with_unknown))
    assert_same_field(field, stream.read(file(known)))


BAD_ORDERS: list[Sections] = [
    [(1, WEIGHTS), (1, WEIGHTS)],
    [(0x83, b"icc"), (1, WEIGHTS)],
    [(1, WEIGHTS), (0xA1, b"xmp"), (0xA0, b"exif")],
    [(1, WEIGHTS), (0xA0, b"exif"), (0x83, b"icc")],
    [(1, WEIGHTS), (0x83, b"icc"), (0x83, b"icc")],
    [(1, WEIGHTS), (0x90, b""), (0x90, b"")],
    [(1, WEIGHTS), (0x81, b"")],
    [(0, b""), (1, WEIGHTS)],
]


@pytest.mark.parametrize("sections", BAD_ORDERS)
def test_sections_out_of_order_or_doubled(sections: Sections) -> None:
    with pytest.raises(FormatError, match="expected a section above"):
        stream.read(file(sections))


def test_a_section_longer_than_the_file() -> None:
    body = b"\x89SRN\x01" + header() + b"\x01"
    for length in (len(WEIGHTS) + 1, 1 << 20, (1 << 32) - 1):
        with pytest.raises(
            FormatError, match=f"expected {length} more bytes, found {len(WEIGHTS)}"
        ):
            stream.read(seal(body + varint(length) + WEIGHTS))


def test_an_ancillary_section_beyond_the_limit_is_refused_by_its_length() -> None:
    body = b"\x89SRN\x01" + header() + b"\x01" + varint(len(WEIGHTS)) + WEIGHTS
    for id_ in (0x83, 0xA0, 0xA1, 0x90):
        with pytest.raises(
            LimitError, match=f"section {id_:#04x}: expected at most 16777216 bytes"
        ):
            stream.read(seal(body + bytes([id_]) + varint((16 << 20) + 1)))


def header_of(data: bytes) -> bytes:
    return data[5 : len(data) - 4 - sum(format.sizes(format.parse(data)[1]).values())]


def test_layers_are_there_if_and_only_if_the_header_has_levels() -> None:
    with pytest.raises(FormatError, match="layers of latents: expected none, found some"):
        stream.read(file([(1, WEIGHTS), (0x10, b"\0")]))
    data = golden("rgb_8_grid")
    _, sections = format.parse(data)
    head = header_of(data)
    assert head.endswith(b"\x03\x01\x00\x02\x07\x05")
    assert file([*sections.items()], head) == data
    with pytest.raises(FormatError, match="layers of latents: expected some, found none"):
        stream.read(file([(1, sections[Section.WEIGHTS])], head))


def test_all_layers_are_there() -> None:
    data = golden("rgb_8_layers")
    head, (_, sections) = header_of(data), format.parse(data)
    assert [*sections] == [1, 0x83, 0x10, 0x11, 0x12, 0x13, 0xA0, 0xA1]
    for left_out, match in (
        (0x10, "expected all ids from 0x10 on, found a gap"),
        (0x12, "expected all ids from 0x10 on, found a gap"),
        (0x13, "expected all levels, found none below 1"),
    ):
        kept = [(id_, payload) for id_, payload in sections.items() if id_ != left_out]
        with pytest.raises(FormatError, match=match):
            stream.read(file(kept, head))
    sections[0x12] = sections[0x11]
    with pytest.raises(FormatError, match="layer: expected grids on the levels 2 to 1"):
        stream.read(file([*sections.items()], head))


def test_the_integers_of_latents_are_limited_by_the_pixels() -> None:
    # 16 x 128 x 128 integers where there may be 4 x 128 x 128 + 4096.
    head = header(width=varint(128), height=varint(128), levels=b"\x01\x10\x04\x04")
    with pytest.raises(LimitError, match="latents: expected at most 69632 integers, found 262144"):
        stream.read(file([(1, WEIGHTS), (0x10, b"\0")], head))
    wide = Architecture(1, 1, 4, features=(8,), neighbours=4, context_features=4)
    format.check(format.Header(32, 32, 8, wide), {})


def test_the_work_of_reading_is_limited() -> None:
    data = stream.write(GRIDS)
    symbols = sum(level.size for level in GRIDS.latents)
    work = symbols * GRIDS.architecture.context_multiply_adds
    assert_same_field(stream.read(data, Limits(multiply_adds=work)), GRIDS)
    with pytest.raises(LimitError, match=r"latents: expected at most .* multiply-adds"):
        stream.read(data, Limits(multiply_adds=work - 1))


def test_a_file_beyond_the_limit() -> None:
    data = stream.write(GRIDS)
    with pytest.raises(LimitError, match=f"expected at most 9 bytes, found {len(data)}"):
        stream.read(data, Limits(file_bytes=9))


def test_sizes_name_the_layers() -> None:
    _, sections = format.parse(golden("rgb_8_layers"))
    names = [*format.sizes(sections)]
    assert names == ["weights", "icc", *(f"layer_{index}" for index in range(4)), "exif", "xmp"]


# From a level on, and cut off


@pytest.mark.parametrize("level", range(6))
def test_from_a_level_on(level: int) -> None:
    """What is below is zeros, and all else as it is."""
    data = golden("rgb_8_layers")
    whole, field = stream.read(data), stream.read(data, first_level=level)
    assert field.first_level == min(level, 3)
    for index, (found, expected) in enumerate(zip(field.latents, whole.latents, strict=True)):
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected * (index >= field.first_level))
    assert field.metadata == whole.metadata
    assert field.render((11, 8)).shape == (8, 11, 3)


def test_what_is_not_read_may_be_broken() -> None:
    data = golden("rgb_8_layers")
    head, (_, sections) = header_of(data), format.parse(data)
    sections[0x13] = b"\0nonsense"
    broken = file([*sections.items()], head)
    assert stream.read(broken, first_level=1).first_level == 1
    with pytest.raises(FormatError):
        stream.read(broken)


def test_all_in_one_layer_is_all_read() -> None:
    assert stream.read(golden("rgb_8_grid"), first_level=2).first_level == 0


def test_a_field_that_was_not_read_whole_is_not_written() -> None:
    with pytest.raises(UsageError, match="expected all levels of latents, found none below 2"):
        stream.write(stream.read(golden("rgb_8_layers"), first_level=2))


def ends_of(data: bytes) -> dict[str, int]:
    """Return where each section ends."""
    sizes = format.sizes(format.parse(data)[1])
    ends = np.cumsum([*sizes.values()]) + len(data) - 4 - sum(sizes.values())
    return dict(zip(sizes, ends.tolist(), strict=True))


@pytest.mark.parametrize("name", ["rgb_8_layers", "rgb_8_grid", "la_8_metadata", "la_16_alpha"])
def test_every_prefix_is_read_as_far_as_it_is_whole(name: str) -> None:
    data = golden(name)
    whole, ends = stream.read(data), ends_of(data)
    layers = [end for part, end in ends.items() if part.startswith("layer")]
    least = layers[0] if layers else ends.get("alpha", ends["weights"])
    lengths = {
        *range(0, len(data), 1 if len(data) < 1000 else 301),
        *range(len(data) - 9, len(data)),
    }
    for end in ends.values():
        lengths |= {end - 1, end, end + 1}
    for length in sorted(lengths - {len(data)}):
        cut = data[:length]
        assert not stream.is_whole(cut)
        if length < least:
            with pytest.raises(FormatError):
                stream.read(cut, partial=True)
            continue
        field = stream.read(cut, partial=True)
        missing = sum(length < end for end in layers)
        assert field.first_level == missing
        for part, payload in whole.metadata.items():
            assert field.metadata.get(part) == (payload if length >= ends[part] else None)
        for level in range(missing, len(whole.latents)):
            np.testing.assert_array_equal(field.latents[level], whole.latents[level])
        assert (field.alpha is None) == (whole.alpha is None)


def test_a_whole_file_is_read_whole_if_it_may_be_cut() -> None:
    for name in GOLDEN_FILES:
        assert stream.is_whole(golden(name))
        assert_same_field(stream.read(golden(name), partial=True), stream.read(golden(name)))


@pytest.mark.parametrize("name", ["rgb_8_layers", "rgb_8_grid", "grey_8", "la_8_metadata"])
def test_a_file_of_all_its_bytes_is_not_cut_but_corrupt(name: str) -> None:
    data = golden(name)
    with pytest.raises(FormatError, match="corrupt or truncated"):
        stream.read(data[:-4] + bytes(4), partial=True)


def test_what_is_cut_off_may_be_read_from_a_level_on() -> None:
    data = golden("rgb_8_layers")
    cut = data[: ends_of(data)["layer_1"] + 9]
    assert stream.read(cut, partial=True, first_level=3).first_level == 3
    assert stream.read(cut, partial=True, first_level=1).first_level == 2


def test_other_faults_are_no_cuts() -> None:
    data = bytearray(golden("rgb_8_layers"))
    ends = ends_of(bytes(data))
    data[ends["icc"]] = 0x11
    with pytest.raises(FormatError, match="found a gap"):
        stream.read(bytes(data[: ends["layer_0"] + 9]), partial=True)
    data[ends["icc"]] = 0x1F
    with pytest.raises(FormatError, match="expected a section that version 1 knows, found 0x1f"):
        stream.read(bytes(data[: ends["layer_0"] + 9]), partial=True)


def test_limits_hold_for_what_is_read() -> None:
    data = golden("rgb_8_layers")
    whole = stream.read(data)
    work = sum(level.size for level in whole.latents[2:])
    work *= whole.architecture.context_multiply_adds
    limits = Limits(multiply_adds=work)
    cut = data[: ends_of(data)["layer_1"]]
    assert stream.read(data, limits, first_level=2).first_level == 2
    assert stream.read(cut, limits, partial=True).first_level == 2
    tighter = Limits(multiply_adds=work - 1)
    for each, options in ((data, {"first_level": 2}), (cut, {"partial": True})):
        with pytest.raises(LimitError, match="multiply-adds"):
            stream.read(each, tighter, **options)
    for options in ({"first_level": 3}, {"partial": True}):
        with pytest.raises(LimitError, match="pixels"):
            stream.read(data, Limits(pixels=88 * 64 - 1), **options)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_levels_that_are_not_read_take_no_memory() -> None:
    """A picture of 80 megapixels, of which a coarse level is read."""
    architecture = replace(_GRID_ARCHITECTURE, features=(1, 1, 0, 0, 0, 0, 0, 1))
    context = tuple(
        Layer(*(QuantisedTensor(np.zeros(shape, np.int32), -8) for shape in pair))
        for pair in zip(architecture.context_shapes, [(3, 4), (4,), (2,)], strict=True)
    )
    before = resident()
    found = latents.unpack([b"\7\0"], context, architecture, 10_000, 8_000)
    assert sum(level.nbytes for level in found) > 190 << 20
    assert resident() - before < 20 << 20


def test_weights_of_another_architecture() -> None:
    for parts in ({"hidden_layers": 3}, {"hidden_features": varint(5)}, {"kind": 0b011}):
        with pytest.raises(FormatError):
            stream.read(file([(1, WEIGHTS)], header(**parts)))


# What is not written


@pytest.mark.parametrize("name", ["first_omega_0", "omega_0"])
@pytest.mark.parametrize("omega", [30.1, 0.3, 29.999])
def test_a_frequency_that_is_no_multiple_of_a_quarter(name: str, omega: float) -> None:
    architecture = replace(FIELD.architecture, **{name: omega})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"expected a multiple of 0\.25"):
        stream.write(replace(FIELD, architecture=architecture))


@pytest.mark.parametrize("omega", [0.0, -30.0, 4096.25, float("nan"), float("inf")])
def test_a_frequency_beyond_the_limits_is_not_written(omega: float) -> None:
    with pytest.raises(LimitError, match="omega_0"):
        stream.write(replace(FIELD, architecture=replace(FIELD.architecture, omega_0=omega)))


def test_sizes_beyond_the_limits_are_not_written() -> None:
    for parts in ({"width": 0}, {"height": 65_536}, {"width": -1}):
        with pytest.raises(LimitError):
            stream.write(replace(FIELD, **parts))  # type: ignore[arg-type]
    with pytest.raises(LimitError, match="hidden layers"):
        stream.write(make_field(hidden_layers=17, hidden_features=2))
    with pytest.raises(LimitError, match="hidden features"):
        stream.write(make_field(hidden_layers=1, hidden_features=513))


def test_metadata_beyond_the_limit_is_not_written() -> None:
    with pytest.raises(LimitError, match="icc: expected at most 16777216 bytes, found 16777217"):
        stream.write(replace(FIELD, metadata={"icc": bytes((16 << 20) + 1)}))


def _with_value(value: int) -> Field:
    first, *others = FIELD.layers
    weight = QuantisedTensor(np.full_like(first.weight.values, value), first.weight.exponent)
    return replace(FIELD, layers=(Layer(weight, first.bias), *others))


def _with_exponent(exponent: int) -> Field:
    first, *others = FIELD.layers
    weight = QuantisedTensor(first.weight.values, exponent)
    return replace(FIELD, layers=(Layer(weight, first.bias), *others))


UNREADABLE = {
    "5 channels": make_field(channels=5),
    "a depth of 12": replace(FIELD, depth=12),
    "a level of latents": replace(FIELD, architecture=replace(FIELD.architecture, features=(1,))),
    "a layer too few": replace(FIELD, layers=FIELD.layers[:-1]),
    "layers of another width": replace(FIELD, layers=make_field().layers),
    "an exponent of 8": _with_exponent(8),
    "an exponent of -25": _with_exponent(-25),
    "a magnitude of 32768": _with_value(32768),
    "latents without levels": replace(FIELD, latents=GRIDS.latents),
    "levels without latents": replace(GRIDS, latents=()),
    "neighbours without levels": replace(
        FIELD, architecture=replace(FIELD.architecture, neighbours=3)
    ),
    "context features without levels": replace(
        FIELD, architecture=replace(FIELD.architecture, context_features=3)
    ),
    "25 neighbours": replace(GRIDS, architecture=replace(_GRID_ARCHITECTURE, neighbours=25)),
    "a level too few": replace(GRIDS, latents=GRIDS.latents[:1]),
    "a grid too few": replace(GRIDS, latents=(GRIDS.latents[0][1:], GRIDS.latents[1])),
    "grids of another size": replace(GRIDS, width=18),
    "a context too few": replace(GRIDS, context=GRIDS.context[:2]),
    "a context among the layers": replace(
        GRIDS, layers=GRIDS.layers + GRIDS.context[:1], context=GRIDS.context[1:]
    ),
    "a latent of 32768": replace(
        GRIDS, latents=(GRIDS.latents[0] * np.int32(-32768), GRIDS.latents[1])
    ),
}


@pytest.mark.parametrize("field", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_read_refuses_is_not_written(field: Field) -> None:
    with pytest.raises(SirenError):
        stream.write(field)
