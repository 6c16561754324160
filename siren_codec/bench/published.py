"""Rate and distortion that others have published, of all 24 Kodak pictures.

Points are means over the 24 pictures (768 x 512) of bits per pixel and of PSNR over RGB, as their
sources give them; nothing here was measured by this project. So they stand beside a mean over the
same 24 pictures and beside nothing else. Of Cool-chic the points of single pictures are known too,
which stand beside the same picture.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["BY_IMAGE", "KODAK", "PUBLISHED", "Published", "applies", "by_image"]

KODAK = frozenset(f"kodim{number:02}" for number in range(1, 25))
"""The names that the 24 pictures go by, without extension."""


@dataclass(frozen=True)
class Published:
    """A codec's published curve."""

    name: str
    source: str
    points: tuple[tuple[float, float], ...]
    """(bits per pixel, PSNR in dB), by rising rate."""


PUBLISHED = (
    Published(
        "COIN",
        "Dupont et al. 2021, arXiv 2103.03123",
        ((0.160, 24.64), (0.307, 26.41), (0.611, 28.41), (1.209, 30.64)),
    ),
    Published(
        "RECOMBINER",
        "He et al. 2024, arXiv 2309.17182",
        ((0.130, 27.65), (0.316, 30.44), (0.972, 34.54)),
    ),
    Published(
        "BPG 4:4:4",
        "BPG 0.9.8, CompressAI's results for Kodak (Begaint et al. 2020, arXiv 2011.03029)",
        ((0.161, 28.68), (0.352, 31.59), (0.685, 34.86)),
    ),
    Published(
        "C3",
        "Kim et al. 2024, arXiv 2312.02753",
        ((0.203, 30.03), (0.514, 34.37), (1.080, 38.98)),
    ),
    Published(
        "VVC (VTM)",
        "VTM, CompressAI's results for Kodak (Begaint et al. 2020, arXiv 2011.03029)",
        ((0.112, 28.49), (0.246, 31.20), (0.491, 34.26), (0.875, 37.42)),
    ),
    Published(
        "Cool-chic 5.0.1",
        "the results in its repository, github.com/Orange-OpenSource/Cool-Chic",
        ((0.084, 27.44), (0.219, 30.86), (0.482, 34.52), (0.759, 37.25)),
    ),
)


def applies(images: Iterable[str]) -> bool:
    """Tell whether these names, without extension, are all of Kodak's and no other."""
    return frozenset(images) == KODAK


BY_IMAGE = "Cool-chic 5.0.1"
"""What `by_image` is of: results/v5.0/image-kodak.tsv of its repository, whose means these are."""


@cache
def by_image() -> dict[str, tuple[tuple[float, float], ...]]:
    """Return each Kodak picture's (bits per pixel, PSNR in dB), by rising rate."""
    text = (files("siren_codec.bench") / "cool-chic-5.0.tsv").read_text(encoding="utf-8")
    found: dict[str, list[tuple[float, float]]] = {}
    for line in text.splitlines()[1:]:
        image, bpp, psnr = line.split("\t")
        found.setdefault(image, []).append((float(bpp), float(psnr)))
    return {image: tuple(sorted(points)) for image, points in found.items()}
