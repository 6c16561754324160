"""Alpha: the section that stores it without loss, its place in a Field, and colours behind it."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from conftest import make_field

from siren_codec import stream
from siren_codec.encoding import encode_picture
from siren_codec.errors import FormatError, SirenError, UsageError
from siren_codec.fit.samples import filled, weights_of
from siren_codec.options import Options
from siren_codec.picture import Picture
from siren_codec.stream import alpha
from siren_codec.stream.alpha import Form
from siren_codec.stream.frame import compress

Plane = npt.NDArray[Any]


def disc(width: int, height: int, depth: int = 8) -> Plane:
    y, x = np.mgrid[:height, :width]
    inside = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 3) ** 2
    plane: Plane = (inside * ((1 << depth) - 1)).astype(np.uint8 if depth == 8 else np.uint16)
    return plane


def ramp(width: int, height: int, depth: int = 8) -> Plane:
    y, x = np.mgrid[:height, :width]
    top = (1 << depth) - 1
    plane: Plane = (top * (x + y) / max(width + height - 2, 1)).astype(
        np.uint8 if depth == 8 else np.uint16
    )
    return plane


PLANES = {
    f"{make.__name__} {depth} {width}x{height}": make(width, height, depth)
    for make, depth, (width, height) in itertools.product(
        (disc, ramp), (8, 16), ((1, 1), (7, 3), (8, 9), (33, 20))
    )
}


@pytest.mark.parametrize("name", PLANES)
def test_round_trip(name: str) -> None:
    plane = PLANES[name]
    height, width = plane.shape
    payload = alpha.pack(plane)
    found = alpha.unpack(payload, width, height, 8 * plane.itemsize)
    assert found.dtype == plane.dtype
    assert np.array_equal(found, plane)


def test_each_form_is_chosen_where_it_is_the_smallest() -> None:
    noise = np.random.default_rng(0).integers(0, 200, (40, 40)).astype(np.uint8)
    y, x = np.mgrid[:40, :40]
    for plane, form in (
        (disc(40, 40), Form.BITS),
        ((3 * y + 7 * (x % 5)).astype(np.uint8), Form.DIFFERENCES),
        (noise, Form.SAMPLES),
    ):
        assert alpha.pack(plane)[0] == form


def test_opaque_alpha_costs_next_to_nothing() -> None:
    assert len(alpha.pack(np.full((512, 768), 255, np.uint8))) < 40


def test_what_is_wrong_with_a_section() -> None:
    good = alpha.pack(disc(9, 4))
    for payload, message in (
        (b"", "form 1, 2 or 3"),
        (b"\0" + good[1:], "form 1, 2 or 3"),
        (b"\4" + good[1:], "form 1, 2 or 3"),
        (b"\1" + good[1:], "expected a frame of 36 bytes, found one of 8"),
        (good + b"x", "zstd"),
        (good[:-1], "zstd"),
        (b"\3" + compress(b"\xff" * 8), "bits of 0 behind a row"),
    ):
        with pytest.raises(FormatError, match=message):
            alpha.unpack(payload, 9, 4, 8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_field_with_alpha_apart(channels: int, depth: int) -> None:
    field = replace(make_field(channels=channels, depth=depth), alpha=ramp(16, 12, depth))
    assert field.channels == channels + 1
    data = stream.write(field)
    found = stream.read(data)
    assert found.alpha is not None
    assert np.array_equal(found.alpha, ramp(16, 12, depth))
    assert stream.write(found) == data
    pixels = found.render()
    assert np.array_equal(pixels[:, :, -1], ramp(16, 12, depth))
    assert np.array_equal(pixels[:, :, :-1], np.atleast_3d(replace(field, alpha=None).render()))


def test_alpha_of_another_size_is_refused() -> None:
    for plane in (ramp(16, 11), ramp(16, 12, 16)):
        with pytest.raises(UsageError, match="alpha of the picture's size"):
            stream.write(replace(make_field(), alpha=plane))


def test_every_flipped_bit_and_every_prefix_is_noticed() -> None:
    data = stream.write(replace(make_field(hidden_features=2, hidden_layers=1), alpha=disc(16, 12)))
    for length in range(len(data)):
        with pytest.raises(SirenError):
            stream.read(data[:length])
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SirenError):
            stream.read(bytes(flipped))


def test_alpha_between_pixels() -> None:
    plane = np.array([[0, 100], [200, 40], [60, 80]], np.uint8)
    field = replace(make_field(width=2, height=3), alpha=plane)
    assert field.at([0, 1, 0.5, 0.5], [0, 2, 0, 0.5])[:, -1].tolist() == [0, 80, 50, 85]
    assert field.at(-0.5, -0.5)[-1] == 0
    assert field.at(1.5, 2.5)[-1] == 80
    by = field.gradient(0.25, 0.5)[-1]
    h = 1e-4
    numeric = [
        (field.at(0.25 + h, 0.5)[-1] - field.at(0.25 - h, 0.5)[-1]) / (2 * h),
        (field.at(0.25, 0.5 + h)[-1] - field.at(0.25, 0.5 - h)[-1]) / (2 * h),
    ]
    assert by == pytest.approx(numeric)
    assert field.gradient(-0.25, 1)[-1].tolist() == [0, field.gradient(-0.2, 1)[-1, 1]]
    assert field.laplacian(0.25, 0.5)[-1] == 0


def test_alpha_at_other_sizes() -> None:
    field = replace(make_field(), alpha=disc(16, 12))
    double = field.render(scale=2)
    assert double.shape == (24, 32, 4)
    # Linear between centres: nothing leaves the range, and what is far from the edge stays.
    assert double[0, 0, 3] == 0
    assert double[12, 16, 3] == 255
    half = field.render(scale=0.5)
    expected = disc(16, 12).astype(float).reshape(6, 2, 8, 2).mean((1, 3))
    assert np.abs(half[:, :, 3] - expected).max() < 70
    assert field.render(crop=(3, 2, 5, 4))[:, :, 3].tolist() == disc(16, 12)[2:6, 3:8].tolist()


# The fit


def portrait(depth: int = 8) -> Picture:
    """A smooth picture behind a hard edge, with noise where it cannot be seen."""
    y, x = np.mgrid[:24, :32]
    colours = np.stack([7 * x, 10 * y, 127 + 4 * (x - y)], axis=2)
    hidden = np.random.default_rng(1).integers(0, 256, colours.shape)
    plane = disc(32, 24)
    colours = np.where(plane[:, :, None] > 0, np.clip(colours, 0, 255), hidden)
    pixels = np.concatenate([colours, plane[:, :, None]], axis=2).astype(np.uint8)
    return Picture(pixels if depth == 8 else pixels.astype(np.uint16) * 257)


def test_hard_edges_are_stored_apart_by_themselves() -> None:
    encoded = encode_picture(portrait(), Options(steps=6, device="cpu"))
    field = stream.read(encoded.data)
    assert field.alpha is not None
    assert field.prior is not None
    assert encoded.alpha_psnr == float("inf")
    assert np.array_equal(field.render()[:, :, 3], portrait().pixels[:, :, 3])


def test_alpha_may_be_an_output_of_the_network() -> None:
    encoded = encode_picture(portrait(16), Options(steps=20, alpha="lossy", device="cpu"))
    field = stream.read(encoded.data)
    assert field.alpha is None
    assert field.architecture.channels == 4
    assert encoded.alpha_psnr is not None
    assert 8 < encoded.alpha_psnr < 60


def test_noisy_alpha_goes_to_the_network_by_itself() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 2)).astype(np.uint8)
    encoded = encode_picture(Picture(noise), Options(steps=1, quality=10, device="cpu"))
    assert stream.read(encoded.data).alpha is None


def test_colour_that_cannot_be_seen_costs_nothing() -> None:
    """The file is about as large as that of a picture that is smooth there."""
    options = Options(steps=30, device="cpu")
    noisy = portrait()
    smooth = noisy.pixels.copy()
    smooth[smooth[:, :, 3] == 0] = 0
    sizes = [len(encode_picture(picture, options).data) for picture in (noisy, Picture(smooth))]
    assert sizes[0] == sizes[1]
    opaque = Picture(np.ascontiguousarray(noisy.pixels[:, :, :3]))
    assert sizes[0] < 0.7 * len(encode_picture(opaque, options).data)


def test_the_psnr_is_of_what_can_be_seen() -> None:
    picture = portrait()
    encoded = encode_picture(picture, Options(steps=30, device="cpu"))
    decoded = stream.read(encoded.data).render().astype(float)
    seen = picture.pixels[:, :, 3] > 0
    mse = np.mean((decoded[seen][:, :3] - picture.pixels[seen][:, :3]) ** 2)
    assert encoded.psnr == pytest.approx(10 * np.log10(255**2 / mse))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (6, 9)])
def test_nothing_to_be_seen_at_all(shape: tuple[int, int]) -> None:
    encoded = encode_picture(
        Picture(np.zeros((*shape, 4), np.uint8)), Options(steps=2, device="cpu")
    )
    assert encoded.psnr == float("inf")
    assert stream.read(encoded.data).render()[..., 3].max() == 0


def test_what_is_filled_in_is_smooth() -> None:
    picture = portrait()
    samples = torch.from_numpy(picture.pixels[:, :, :3].astype(np.float32)).permute(2, 0, 1)
    weights = weights_of(picture.pixels[:, :, 3] > 0, 3)
    found = filled(samples, weights)
    assert torch.equal(found[weights > 0], samples[weights > 0])
    assert found.min() >= 0
    assert found.max() <= 255
    rough = (samples[:, :, 1:] - samples[:, :, :-1]).abs().mean()
    assert (found[:, :, 1:] - found[:, :, :-1]).abs().mean() < 0.25 * rough
