"""What the README promises of Python, written as a user would, and checked as strictly."""

import sys
from pathlib import Path

import numpy as np

import siren_codec


def told(progress: siren_codec.Progress) -> None:
    if progress.step == progress.steps:
        print(f"{progress.psnr:.0f} dB after {progress.seconds:.0f} s")


def main(picture: Path) -> None:
    encoded = siren_codec.encode_file(picture, quality=30, effort=1, steps=20, progress=told)
    print(encoded, encoded.bpp, encoded.sections["weights"], encoded.missed)
    field = siren_codec.open(picture.with_suffix(".siren"))
    print(field, field.shape, field.at(1.2, 3.5), field.gradient([3, 4.5], [10, 10]).shape)
    twice = siren_codec.decode(encoded.data, scale=np.float64(2), crop=(0, 0, 12, 12))
    print(twice.shape, field.render((7, 5), show="laplacian").dtype)
    field.save(picture.with_suffix(".jpg"), scale=0.5)
    field.to_pil(scale=3).close()
    crop, size = siren_codec.View(scale=3, crop=(0, 0, 10, 8)).frame(field.width, field.height)
    print(crop, size)
    for each in siren_codec.decode_many([picture.with_suffix(".siren")], picture.parent / "out"):
        print(each.status, each.output, each.error)
    try:
        siren_codec.decode(b"no picture", limits=siren_codec.Limits(pixels=10**6))
    except siren_codec.FormatError as error:
        print(error)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
