"""Targets, interruption and checkpoints: a fit that is steered, stopped and taken up again."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from siren_codec import stream
from siren_codec.encoding import Encoded, encode_picture
from siren_codec.errors import FitError, LimitError
from siren_codec.fit import checkpoint as checkpoints
from siren_codec.fit.checkpoint import Checkpoint
from siren_codec.fit.memory import left_for_tiles
from siren_codec.fit.samples import Samples
from siren_codec.fit.target import Measured, Steering, Target, first_quality
from siren_codec.options import Options
from siren_codec.picture import Picture

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def picture() -> Picture:
    """A photograph of 48 x 32."""
    data = pytest.importorskip("skimage.data")
    small = data.astronaut()[:128, 192:384].reshape(32, 4, 48, 4, 3).mean((1, 3))
    return Picture(np.asarray(np.rint(small), np.uint8))


@pytest.fixture(scope="module")
def corner(picture: Picture) -> Picture:
    """A part of it of 32 x 24, for what has nothing to do with the size."""
    return Picture(np.ascontiguousarray(picture.pixels[:24, 8:40]))


def encode(picture: Picture, **options: object) -> Encoded:
    return encode_picture(picture, Options(device="cpu", **options))  # type: ignore[arg-type]


# Targets


@pytest.mark.parametrize(("size", "steps"), [(500, 20), (900, 4)])
def test_a_size_is_met_and_never_exceeded(picture: Picture, size: int, steps: int) -> None:
    encoded = encode(picture, target_size=size, steps=steps)
    assert 0.98 * size <= len(encoded.data) <= size
    assert encoded.missed is None


def test_a_rate_is_met(picture: Picture) -> None:
    encoded = encode(picture, target_bpp=2.5, steps=20)
    bpp = 8 * len(encoded.data) / (48 * 32)
    assert bpp == pytest.approx(2.5, rel=0.02)
    assert encoded.missed is None


@pytest.mark.parametrize("psnr", [22.0, 28.0])
def test_a_psnr_is_met(picture: Picture, psnr: float) -> None:
    encoded = encode(picture, target_psnr=psnr, steps=20)
    assert encoded.psnr == pytest.approx(psnr, abs=0.1)
    assert encoded.missed is None


@pytest.mark.parametrize(("most", "dtype"), [(20, np.uint8), (6000, np.uint16)])
def test_a_largest_error_is_met_and_never_exceeded(
    picture: Picture, most: int, dtype: type
) -> None:
    scale = np.iinfo(dtype).max // 255
    grey = Picture(picture.pixels[:, :, 1:2].astype(dtype) * dtype(scale))
    encoded = encode(grey, max_error=most, steps=10)
    decoded = np.atleast_3d(stream.read(encoded.data).render())
    found = np.abs(decoded.astype(int) - grey.pixels).max()
    assert 0.8 * most < found <= most
    assert encoded.max_error == found
    assert encoded.missed is None


def test_errors_are_weighed_until_the_end_and_then_no_longer(
    picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, calls = Picture(np.ascontiguousarray(picture.pixels[:16, :24])), list[str]()

    def note(name: str) -> Callable[..., None]:
        real = getattr(Samples, name)

        def call(*arguments: object) -> None:
            calls.append(name)
            real(*arguments)

        return call

    for name in ("weigh", "weigh_evenly"):
        monkeypatch.setattr(Samples, name, note(name))
    assert encode(small, max_error=1, steps=2).missed is not None
    assert calls == ["weigh"] * 12 + ["weigh_evenly"]
    calls.clear()
    encode(small, target_size=20, steps=2)
    assert calls == ["weigh_evenly"]


def test_what_is_weighed() -> None:
    pixels = np.full((2, 3, 4), 100, np.uint8)
    pixels[0, 0, 3] = 0
    samples = Samples(pixels, pixels[:, :, 3] > 0, levels=1, device="cpu")
    even = samples.at(0).weights
    decoded = pixels.copy()
    decoded[0, 0, 0] += 50  # Cannot be seen.
    decoded[1, 1, 1] += 4
    decoded[1, 2, 2] -= 8
    for times in (1, 2):
        samples.weigh(decoded, 2 * 4 / 255)
        weights = samples.at(0).weights
        assert even is not None
        assert weights is not None
        assert weights.mean() == pytest.approx(float(even.mean()), rel=1e-5)
        usual = float(weights[0, 0, 1])
        assert float(weights[1, 1, 1]) / usual == pytest.approx(2**times, rel=1e-4)
        assert float(weights[2, 1, 2]) / usual == pytest.approx(17**times, rel=1e-4)
        assert weights[:3, 0, 0].tolist() == [0, 0, 0]
    samples.weigh_evenly()
    assert samples.at(0).weights is even


def test_metadata_and_alpha_count(picture: Picture) -> None:
    alpha = np.full((*picture.pixels.shape[:2], 1), 255, np.uint8)
    with_more = Picture(
        np.concatenate([picture.pixels, alpha], axis=2), {"icc": bytes(range(256)) * 2}
    )
    encoded = encode(with_more, target_size=1200, steps=10)
    assert 0.98 * 1200 <= len(encoded.data) <= 1200
    assert stream.read(encoded.data).metadata["icc"] == bytes(range(256)) * 2


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"target_size": 20}, "expected 20 to 20 bytes, found"),
        ({"target_bpp": 100.0}, "expected .* bytes, found"),
        ({"target_psnr": 90.0}, "expected 90 dB, found"),
    ],
)
def test_a_target_out_of_reach_is_said(
    corner: Picture, target: dict[str, float], message: str
) -> None:
    encoded = encode(corner, steps=4, **target)
    assert encoded.missed is not None
    assert message.split(" .* ")[0] in encoded.missed
    assert stream.read(encoded.data).width == 32


def test_steering_goes_to_the_aim() -> None:
    """In a world where the measure follows the quality at once."""
    target = Target(lambda _: 0.0, Measured.SIZE, 12.0, 11.9, 12.1)
    steering = Steering(target, 90.0)
    for _ in range(12):
        steering.turn(8.0 + 0.06 * steering.quality)
    assert 8.0 + 0.06 * steering.quality == pytest.approx(12.02, abs=0.02)


def test_what_a_target_misses() -> None:
    size = Target(lambda _: 0.0, Measured.SIZE, 5.0, 4.0, 6.0)
    assert [size.misses(x) for x in (3.5, 4.0, 5.5, 6.0)] == [0.5, 0, 0, 0]
    assert size.misses(6.1) > size.misses(-100.0)
    psnr = Target(lambda _: 0.0, Measured.PSNR, 5.0, 4.0, 6.0)
    assert psnr.misses(6.5) == 0.5
    error = Target(lambda _: 0.0, Measured.ERROR, 5.0, 4.0, 6.0)
    assert [error.misses(x) for x in (4.0, 6.0, 6.5)] == [0, 0, 0.5]
    assert error.misses(3.9) > error.misses(100.0)
    assert error.most_error == pytest.approx(2 * 10**-0.2)


def test_the_first_guess_follows_the_target(picture: Picture) -> None:
    guesses = [
        first_quality(picture.pixels, Target(lambda _: 0.0, Measured.SIZE, math.log2(size), 0, 0))
        for size in (300, 500, 800)
    ]
    assert guesses[0] + 5 < guesses[1] < guesses[2] - 5
    low, high = (
        first_quality(picture.pixels, Target(lambda _: 0.0, Measured.PSNR, psnr, 0, 0))
        for psnr in (22, 34)
    )
    assert low + 20 < high


# Interruption


@pytest.mark.parametrize("model", ["grid", "coordinate"])
@pytest.mark.parametrize("after", [1, 8, 19])
def test_a_fit_can_be_stopped_at_any_step(corner: Picture, model: str, after: int) -> None:
    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        return count == after

    options = Options(device="cpu", steps=20, model=model)
    encoded = encode_picture(corner, options, stop=stop)
    assert encoded.interrupted
    assert count == after
    assert stream.read(encoded.data).width == 32


def test_what_was_done_is_not_lost(corner: Picture) -> None:
    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        return count == 20

    early = encode_picture(corner, Options(device="cpu", steps=25, start="zero"), stop=stop)
    short = encode(corner, steps=1, start="zero")
    assert early.interrupted
    assert not short.interrupted
    assert early.psnr > short.psnr + 0.5


# Checkpoints


class CutError(Exception):
    pass


def cut_short(picture: Picture, options: Options, path: Path, after: int) -> None:
    """Begin a fit that saves after every step, and end it by force."""
    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        if count > after:
            raise CutError
        return False

    with pytest.raises(CutError):
        encode_picture(picture, options, stop=stop, checkpoint=path)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_SECONDS", 0.0)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    "options",
    [{}, {"start": "zero"}, {"model": "coordinate"}, {"target_size": 400}],
    ids=["prior", "zero", "coordinate", "target"],
)
def test_a_fit_goes_on_as_if_nothing_had_happened(
    corner: Picture, tmp_path: Path, options: dict[str, object]
) -> None:
    chosen = Options(device="cpu", steps=20, **options)  # type: ignore[arg-type]
    path = tmp_path / "fit.checkpoint"
    cut_short(corner, chosen, path, 12)
    steps = []
    resumed = encode_picture(
        corner, chosen, progress=lambda p: steps.append(p.step), checkpoint=path
    )
    assert steps[0] == 13
    assert not path.exists()
    whole = encode_picture(corner, chosen)
    assert resumed.psnr == pytest.approx(whole.psnr, abs=0.05)


@pytest.mark.usefixtures("often")
def test_a_stopped_fit_can_be_taken_up_again(corner: Picture, tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    options = Options(device="cpu", steps=20)
    seen: list[int] = []
    stopped = encode_picture(
        corner,
        options,
        progress=lambda p: seen.append(p.step),
        stop=lambda: len(seen) == 10,
        checkpoint=path,
    )
    assert stopped.interrupted
    assert path.exists()
    resumed = encode_picture(corner, options, checkpoint=path)
    assert resumed.psnr == pytest.approx(encode_picture(corner, options).psnr, abs=0.05)


@pytest.mark.usefixtures("often")
def test_a_checkpoint_of_another_fit_is_refused(corner: Picture, tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    options = Options(device="cpu", steps=20)
    cut_short(corner, options, path, 5)
    other = Picture(corner.pixels[::-1])
    for wrong, chosen, name in (
        (other, options, "picture"),
        (corner, Options(device="cpu", steps=21), "steps"),
        (corner, Options(device="cpu", steps=20, quality=51), "quality"),
        (corner, Options(device="cpu", steps=20, seed=1), "seed"),
    ):
        with pytest.raises(FitError, match=f"another fit: expected {name}"):
            encode_picture(wrong, chosen, checkpoint=path)
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4" + bytes(30)])
def test_a_file_that_is_no_checkpoint_is_left_alone(
    corner: Picture, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(FitError, match=r"notes\.txt: expected a checkpoint"):
        encode_picture(corner, Options(device="cpu", steps=2), checkpoint=path)
    assert path.read_bytes() == content


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    with path.open("wb") as file:
        np.savez(file, facts=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FitError, match="expected a checkpoint"):
        Checkpoint(path, {}).load()


# Memory


@pytest.fixture
def large(picture: Picture) -> Picture:
    """96 x 64: the picture four times."""
    return Picture(np.tile(picture.pixels, (2, 2, 1)))


def test_smaller_tiles_give_the_same_fit(large: Picture) -> None:
    whole = encode(large, steps=2)
    tiled = encode(large, steps=2, memory=2_000_000)
    assert tiled.psnr == pytest.approx(whole.psnr, abs=0.01)


def test_a_picture_that_is_too_large_for_the_memory_is_refused(large: Picture) -> None:
    with pytest.raises(LimitError, match=r"6144 pixels: expected 0\.00172 GB .* found 0\.0005$"):
        encode(large, steps=100, memory=500_000)
    # Without the analysis network it takes less.
    with pytest.raises(LimitError, match=r"6144 pixels: expected 0\.000768 GB"):
        encode(large, steps=100, start="prior", memory=500_000)


@pytest.mark.parametrize("side", [512, 2048, 20_000])
def test_the_analysis_network_takes_memory_by_its_largest_part(side: int) -> None:
    def least(*, refine: bool) -> int:
        with pytest.raises(LimitError) as caught:
            left_for_tiles(side, side, grids=True, refine=refine, device="cpu", memory=1)
        return round(float(str(caught.value).split()[3]) * 1e9)

    part = min(side, 2048 + 2 * 256) ** 2
    at_the_start = 80 * side**2 + 200 * part
    assert least(refine=False) == pytest.approx(125 * side**2, rel=0.01)
    assert least(refine=True) == pytest.approx(max(at_the_start, 125 * side**2), rel=0.01)
