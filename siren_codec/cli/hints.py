"""Options of other codecs' commands, and what serves here: cwebp, avifenc, cjxl, ImageMagick."""

from collections.abc import Mapping, Sequence

__all__ = ["DECODE", "ENCODE", "Hints", "hint"]

Hints = Mapping[tuple[str, ...], str]
"""Names that are no options of a command, and what to use in their place."""

_OVERWRITE = "use -f, --force to overwrite a file"
_THREADS = "all cores that the process may use are used; taskset limits them"
_WORDS = "use --quiet, or -v, --verbose"

ENCODE: Hints = {
    ("--speed", "-s", "-m", "-method", "--method", "-z", "--cpu-used", "-preset", "--preset"): (
        "use -e, --effort 1..9, where 9 is the slowest and best"
    ),
    ("--lossless", "-lossless", "-l", "--near-lossless", "-near_lossless"): (
        "no .siren file is lossless; use --max-error E, --target-psnr DB or -q 1..100"
    ),
    ("--distance", "-d", "--cq-level", "--crf", "--min", "--max"): (
        "use -q, --quality 1..100, where more is better, --target-psnr DB or --max-error E"
    ),
    ("-quality", "--qcolor"): "use -q, --quality 1..100",
    ("-size", "--size", "--filesize"): "use --target-size SIZE",
    ("-psnr", "--psnr"): "use --target-psnr DB",
    ("-bpp", "--bpp"): "use --target-bpp X",
    ("-mt", "--threads", "--num_threads", "--num-threads"): _THREADS,
    ("-resize", "--resize", "-scale", "--scale", "-crop", "--crop"): (
        "a .siren file is decoded at any size; use siren-decode --scale, --size or --crop"
    ),
    ("-alpha_q", "--qalpha", "--minalpha", "--maxalpha", "-noalpha"): (
        "use --alpha auto, lossless or lossy"
    ),
    ("-p", "--progressive", "-progressive", "-interlace"): (
        "files of --model grid are progressive, but for small ones; see siren-decode --partial"
    ),
    ("-depth", "--depth", "-y", "--yuv", "--chroma_subsampling", "-sampling-factor"): (
        "depth and colours are stored as IN has them"
    ),
    ("-metadata", "-strip", "--ignore-exif", "--ignore-icc", "--ignore-xmp"): (
        "ICC profile, EXIF and XMP are kept; use --strip to leave them out"
    ),
    ("--overwrite",): _OVERWRITE,
    ("-quiet", "-verbose"): _WORDS,
}
"""What siren-encode says of them."""

DECODE: Hints = {
    ("-resize", "--resize", "-scale", "-size", "-thumbnail", "-s", "--downsampling"): (
        "use --scale S or --size WxH"
    ),
    ("-crop",): "use --crop X,Y,W,H",
    ("-q", "-quality", "--quality", "--jpeg_quality", "-d", "-depth", "--bits_per_sample"): (
        "PNG, TIFF and BMP are written without loss, other formats at a quality of 95"
    ),
    ("-png", "-bmp", "-tiff", "-pam", "-ppm", "-pgm", "--output_format"): (
        "use OUT's extension, or --format"
    ),
    ("-mt", "--threads", "--num_threads", "--num-threads"): _THREADS,
    ("--allow_partial_files", "--no-strict"): "use --partial for a file that was cut short",
    ("-strip", "--strip", "--ignore-exif", "--ignore-icc", "--ignore-xmp"): (
        "what a .siren file has of metadata is kept; siren-encode --strip leaves it out"
    ),
    ("--overwrite", "-y"): _OVERWRITE,
    ("-quiet", "-verbose"): _WORDS,
}
"""What siren-decode says of them."""


def hint(hints: Hints, arguments: Sequence[str]) -> tuple[str, str] | None:
    """Return the first argument that other commands know, and what to use in its place."""
    for argument in arguments:
        if argument == "--":
            break
        name = argument.split("=", 1)[0]
        for names, instead in hints.items():
            if name in names:
                return name, instead
    return None
