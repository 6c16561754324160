"""What the records of pictures say, as Markdown: each section with where its figures come from."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks import first_encode, kodak, markdown
from benchmarks.markdown import DASH, number, percent, seconds, table
from benchmarks.store import is_stale, rows_of
from siren_codec import metrics
from siren_codec.bench import plots, tables
from siren_codec.bench.codecs import CODECS, by_name
from siren_codec.bench.curves import (
    Curve,
    Difference,
    Mean,
    Measured,
    Series,
    bd_rate,
    collect,
    front,
    series_of,
)
from siren_codec.bench.published import BY_IMAGE, KODAK, PUBLISHED, applies, by_image
from siren_codec.bench.results import Row
from siren_codec.errors import UsageError
from siren_codec.field import Architecture
from siren_codec.options import DEFAULT_QUALITY, Options

__all__ = [
    "best",
    "brief",
    "brief_times",
    "complete",
    "coordinate",
    "efforts",
    "held_out",
    "kodak24",
    "measures",
    "of_complete",
    "pictures",
    "times",
    "zoom",
]

OURS = Series("grid", Options.effort)
PEERS = tuple(Series(codec.name) for codec in CODECS if not codec.is_ours)
BEST = (Series("avif"), Series("avif-best"), Series("jxl"), Series("jxl-best"))


class Whole(NamedTuple):
    """The rows of ours that a mean may be made of."""

    images: list[str]
    qualities: list[float]


def complete(rows: Iterable[Row]) -> Whole:
    """Return pictures and qualities of which every picture has each quality: most files of all.

    A record may still lack some; a mean over other pictures at each quality would be none.
    """
    have: dict[float, set[str]] = {}
    for row in rows:
        have.setdefault(row["settings"]["quality"], set()).add(row["image"])
    best = Whole([], [])
    kept: list[float] = []
    for quality in sorted(have, key=lambda quality: (-len(have[quality]), quality)):
        kept = [*kept, quality]
        images = sorted(set.intersection(*(have[each] for each in kept)))
        if len(images) * len(kept) > len(best.images) * len(best.qualities):
            best = Whole(images, sorted(kept))
    return best


def of_complete() -> tuple[Measured, Whole]:
    """Return the Kodak record as far as it is complete, and what that is."""
    rows = uniform([*rows_of("kodak24"), *rows_of("jpegli")])
    whole = complete(row for row in rows if series_of(row) == OURS)
    kept = [
        row
        for row in rows
        if row["image"] in whole.images
        and (series_of(row) != OURS or row["settings"]["quality"] in whole.qualities)
    ]
    return collect(kept), whole


def uniform(rows: Sequence[Row]) -> list[Row]:
    """Leave out rows of ours but those of one version and device, of which there are most.

    So no curve has points of two codecs, and no median is of two machines.
    """

    def key(row: Row) -> tuple[str, str]:
        return (row["version"] if is_stale(row) else "", row["device"])

    counts = Counter(key(row) for row in rows if series_of(row).is_ours)
    kept = {most for most, _ in counts.most_common(1)}
    return [row for row in rows if not series_of(row).is_ours or key(row) in kept]


def _covered(whole: Whole) -> str:
    """Return which pictures and qualities figures are of, and what is missing."""
    qualities = ", ".join(f"{quality:g}" for quality in whole.qualities)
    missing = sorted(set(kodak.QUALITIES) - set(whole.qualities))
    absent = len(KODAK) - len(whole.images)
    pictures = f"{len(whole.images)} of the 24 Kodak pictures" if absent else _ALL
    text = f"{pictures} (768 x 512, or upright), `-q` {qualities}"
    lacks = [f"{absent} pictures"] if absent else []
    lacks += [f"`-q` {', '.join(map(str, missing))}"] if missing else []
    if lacks:
        text += f"; the record is not whole yet: {' and '.join(lacks)} are left out of all means"
    return text


_ALL = "All 24 [Kodak pictures](https://r0k.us/graphics/kodak/)"


def kodak24() -> str:
    """Return the section of Kodak's pictures at the default effort."""
    found, whole = of_complete()
    if not whole.images:
        return ""
    return "\n".join(
        [
            f"{_covered(whole)}. Means over the pictures of bits per pixel and of PSNR over RGB. "
            "'Against X' compares our mean rate with X's mean curve, at our mean PSNR.\n",
            _qualities(found),
            "BD-rate: the mean difference of the logarithm of the rate, over the PSNRs that both "
            "curves reach (PCHIP; points that another point of the same curve beats are left "
            "out). The first three columns are of mean curves; *mean of single pictures*, *best* "
            "and *worst* are of ours against this codec on each picture. JPEG 2000 was asked for "
            "the same PSNR on every picture, which makes its mean curve look worse than it is: "
            "for it read the mean of single pictures. Seconds are medians, of one picture: for "
            "libraries of calls within a process; for ours within a process too, and in brackets "
            "of whole commands, with the start of Python and its imports. Published points were "
            "not measured here.\n",
            _peers(found, whole),
            _sources(),
            _versions(found),
            *(
                markdown.origin(name, rows_of(name))
                for name in ("kodak24", "jpegli")
                if rows_of(name)
            ),
        ]
    )


def _qualities(found: Measured) -> str:
    rows = []
    shown = [Series(name) for name in ("jpeg", "webp", "avif", "jxl")]
    for mean in found.means[OURS]:
        rates = [_against(found.curves.get(peer, ()), mean.bpp, mean.psnr) for peer in shown]
        rows.append(
            [
                _or_default(f"{mean.quality:g}", mean.quality == DEFAULT_QUALITY),
                f"{mean.bpp:.3f}",
                f"{mean.psnr:.2f}",
                number(mean.ssim, 4),
                number(mean.ms_ssim, 4),
                *map(percent, rates),
            ]
        )
    headings = ["`-q`", "bpp", "PSNR, dB", "SSIM", "MS-SSIM"]
    headings += [f"against {peer.label}" for peer in shown]
    return table(headings, rows)


def _against(curve: Curve, bpp: float, psnr: float) -> float | None:
    """Return our rate less a curve's at our PSNR, in percent; None where it does not reach it."""
    try:
        return 100 * (bpp / metrics.rate_at(points=front(curve), psnr=psnr) - 1)
    except UsageError:
        return None


def _peers(found: Measured, whole: Whole) -> str:
    stands = {stand.peer: stand for stand in tables.standings(found, OURS)}
    present = [series for series in (OURS, *PEERS) if series in found.rows]
    rows = [_peer(found, series, stands.get(series)) for series in present]
    if applies(whole.images):
        for other in PUBLISHED:
            rows.append([f"{other.name}, published", *_two(found, other.points), *[DASH] * 5])
    headings = ["codec", "against JPEG", "ours against it", "over, dB", "mean of single pictures"]
    return table([*headings, "best", "worst", "encode, s", "decode, s"], rows)


def _two(found: Measured, curve: Curve) -> list[str]:
    """Return a curve's BD-rate against JPEG, ours against it, and the PSNRs of the latter.

    What would hold a curve against itself is left empty.
    """
    jpeg, ours = found.curves[Series("jpeg")], found.curves[OURS]
    against_jpeg = bd_rate(reference=jpeg, test=curve)
    against_it = bd_rate(reference=curve, test=ours)
    over = DASH if against_it is None else f"{against_it.low:.1f} to {against_it.high:.1f}"
    return [
        "" if curve is jpeg else _percent_of(against_jpeg),
        *(["", ""] if curve is ours else [_percent_of(against_it), over]),
    ]


def _percent_of(difference: Difference | None) -> str:
    return percent(None if difference is None else difference.percent)


def _peer(found: Measured, series: Series, stand: tables.Standing | None) -> list[str]:
    name = _detailed(f"**{series.label}**" if series == OURS else series.label, series)
    rows = found.rows[series]
    times = [seconds(tables.in_process(rows, which)) for which in _ENDS]
    cells = _two(found, found.curves[series])
    if series == OURS:
        commands = (seconds(tables.median(rows, f"{which}_s")) for which in _ENDS)
        both = (f"{one} ({other})" for one, other in zip(times, commands, strict=True))
        return [name, *cells, *[""] * 3, *both]
    if stand is None:
        return [name, *cells, *[DASH] * 3, *times]
    ends = (f"{percent(value)} ({image})" for value, image in (stand.best, stand.worst))
    return [name, *cells, percent(stand.single), *ends, *times]


_ENDS = ("encode", "decode")


def _versions(found: Measured) -> str:
    """Return what each codec was."""
    lines = (
        f"{series.label}: {', '.join(dict.fromkeys(row['version'] for row in rows))}"
        for series, rows in found.rows.items()
    )
    return f"Versions: {'; '.join(lines)}.\n"


def _sources() -> str:
    lines = [f"{place}. {one.name}: {one.source}." for place, one in enumerate(PUBLISHED, 1)]
    return "Published curves, all means over the 24 pictures:\n\n" + "\n".join(lines) + "\n"


def brief() -> str:
    """Return the README's table: every codec's bits against JPEG's, and ours against its."""
    found, whole = of_complete()
    names = {each: _detailed(each.label, each) for each in PEERS}
    names = {OURS: f"**siren_codec** (`-e {OURS.effort}`)", **names}
    curves = [(name, found.curves[each]) for each, name in names.items() if each in found.rows]
    if applies(whole.images):
        curves += [(f"{one.name}, published", one.points) for one in PUBLISHED]
    rows = [[name, *_two(found, curve)[:2]] for name, curve in curves]
    headings = ["codec", "bits against JPEG", "siren_codec's bits against this codec"]
    return f"{table(headings, rows)}\n{_covered(whole)}.\n"


def _detailed(name: str, series: Series) -> str:
    detail = by_name(series.codec).detail
    return f"{name} ({detail})" if detail else name


def _or_default(value: str, is_default: bool) -> str:
    return f"{value} (default)" if is_default else value


def pictures() -> str:
    """Return our BD-rates against every codec, picture by picture."""
    found, whole = of_complete()
    if not whole.images:
        return ""
    published = by_image()
    peers = [peer for peer in PEERS if peer in found.rows]
    rows = []
    for image in sorted(found.images):
        curves = found.by_image[image]
        references = [*(curves.get(peer, ()) for peer in peers), published.get(image, ())]
        found_rates = (bd_rate(reference=one, test=curves[OURS]) for one in references)
        rows.append([image, *map(_percent_of, found_rates)])
    headings = ["ours against", *(peer.label for peer in peers), f"{BY_IMAGE}, published"]
    drawn = "\n".join(f'<img src="results/{x}.svg" width="49%" alt="{x}">' for x in kodak.FOUR)
    return (
        f"{drawn}\n\nKodak {_numbers()}, in the colours of the curves above; {BY_IMAGE} dashed, as "
        "published.\n\n"
        f"Our BD-rate against each codec, for each picture. C3 and VTM publish means only.\n\n"
        + table(headings, rows)
    )


def measures() -> str:
    """Return our BD-rates by PSNR, MS-SSIM and SSIMULACRA2."""
    found, whole = of_complete()
    if not whole.images:
        return ""
    rows = [
        [
            _detailed(peer.label, peer),
            *(_by(measure, found, peer) for measure in _MEASURES.values()),
        ]
        for peer in PEERS
        if peer in found.rows
    ]
    return (
        "Our bits against each codec's at equal PSNR, MS-SSIM and SSIMULACRA2: BD-rates of mean "
        "curves, MS-SSIM in dB, -10 log10(1 - MS-SSIM). siren_codec and JPEG 2000 minimise the "
        "squared error; the others have the eye in mind as well. SSIMULACRA2 is that of the "
        "package ssimulacra2. All are of the record of the first section.\n\n"
        + table(["ours against", *_MEASURES], rows)
    )


def _by(measure: Callable[[Mean], float | None], found: Measured, peer: Series) -> str:
    curves = [
        [(mean.bpp, value) for mean in found.means[one] if (value := measure(mean)) is not None]
        for one in (peer, OURS)
    ]
    if not all(curves):
        return DASH
    return _percent_of(bd_rate(reference=curves[0], test=curves[1]))


_MEASURES: dict[str, Callable[[Mean], float | None]] = {
    "PSNR": lambda mean: mean.psnr,
    "MS-SSIM": lambda mean: mean.ms_ssim and plots.decibels(mean.ms_ssim),
    "SSIMULACRA2": lambda mean: mean.ssimulacra2,
}


def efforts() -> str:
    """Return what effort buys, on four pictures."""
    own, ours, peers = _efforts()
    if not own:
        return ""
    several, single = [], []
    for effort in sorted({row["settings"]["effort"] for row in ours}):
        rows = [row for row in ours if row["settings"]["effort"] == effort]
        whole = complete(rows)
        if len(whole.qualities) > 1:
            several.append(_effort(effort, whole, rows, peers))
        at_one = sorted(_at(_ONE_QUALITY, rows), key=lambda row: row["image"])
        rates = [_rates(row, peers) for row in at_one]
        single += [
            _at_one(row["image"], effort, row["bpp"], row["psnr"], of_row)
            for row, of_row in zip(at_one, rates, strict=True)
        ]
        if at_one:
            bpp, psnr = (statistics.fmean(row[name] for row in at_one) for name in ("bpp", "psnr"))
            means = [tables.mean_if_all(column) for column in zip(*rates, strict=True)]
            single.append(_at_one(f"**mean of {len(at_one)}**", effort, bpp, psnr, means))
    references = ["against JPEG", "AVIF", f"{BY_IMAGE}, published"]
    return "\n".join(
        [
            f"Kodak {_numbers()}: two textured pictures and two smooth ones. BD-rates, means of "
            "single pictures:\n",
            table(["`-e`", "pictures", "`-q`", "against JPEG", "WebP", *references[1:]], several),
            f"One quality, `-q {_ONE_QUALITY}`: rates at equal PSNR.\n",
            table(["picture", "`-e`", "bpp", "PSNR, dB", *references], single),
            markdown.origin("efforts", own),
            f"Effort {OURS.effort}, JPEG, WebP and AVIF are those of the Kodak record above; how "
            "long each takes is in the next section.\n",
        ]
    )


_ONE_QUALITY = 36
"""Of efforts that take too long for a curve."""


def _efforts() -> tuple[list[Row], list[Row], Mapping[str, Mapping[Series, Curve]]]:
    """Return the effort record, all rows of ours of its pictures, and curves of other codecs."""
    wide = [row for row in rows_of("kodak24") if row["image"] in kodak.FOUR]
    own = rows_of("efforts")
    peers = collect([row for row in wide if series_of(row) in PEERS])
    return own, [*own, *(row for row in wide if series_of(row) == OURS)], peers.by_image


def _at(quality: float, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["settings"]["quality"] == quality]


def _rates(row: Row, peers: Mapping[str, Mapping[Series, Curve]]) -> list[float | None]:
    """Return a row's rate against JPEG, AVIF and the published points at its PSNR."""
    curves = peers.get(row["image"], {})
    references = [curves.get(Series(name), ()) for name in ("jpeg", "avif")]
    return [_against(curve, *_point(row)) for curve in (*references, by_image()[row["image"]])]


def _at_one(
    name: str, effort: int, bpp: float, psnr: float, rates: Iterable[float | None]
) -> list[str]:
    return [name, f"{effort}", f"{bpp:.3f}", f"{psnr:.2f}", *map(percent, rates)]


def _effort(
    effort: int,
    whole: Whole,
    rows: Sequence[Row],
    peers: Mapping[str, Mapping[Series, Curve]],
) -> list[str]:
    ours = {image: [row for row in rows if row["image"] == image] for image in whole.images}

    def mean(curves: Mapping[str, Curve]) -> str:
        return _mean_of(
            [
                bd_rate(reference=curves.get(image, ()), test=[_point(row) for row in of_image])
                for image, of_image in ours.items()
            ]
        )

    by_codec: list[Mapping[str, Curve]] = [
        {image: curves.get(Series(name), ()) for image, curves in peers.items()}
        for name in ("jpeg", "webp", "avif")
    ]
    return [
        _or_default(f"{effort}", effort == OURS.effort),
        f"{len(whole.images)}",
        ", ".join(f"{quality:g}" for quality in whole.qualities),
        *map(mean, (*by_codec, by_image())),
    ]


def best() -> str:
    """Return what AVIF and JPEG XL reach at their best effort, on four pictures."""
    slow = rows_of("best")
    if not slow:
        return ""
    usual, whole = of_complete()
    of_four = [row for rows in usual.rows.values() for row in rows if row["image"] in kodak.FOUR]
    found = collect([*of_four, *slow])
    lines = []
    for series in (*(one for one in BEST if one in found.rows), OURS):
        names = (Series("jpeg"), series, OURS)
        curves = [[of.get(name, ()) for name in names] for of in found.by_image.values()]
        against_jpeg = [bd_rate(reference=jpeg, test=curve) for jpeg, curve, _ in curves]
        ours = [bd_rate(reference=curve, test=our) for _, curve, our in curves]
        times = (tables.median(found.rows[series], f"{which}_s") for which in _ENDS)
        cells = [_mean_of(against_jpeg), "" if series == OURS else _mean_of(ours)]
        lines.append([series.label, *cells, *map(seconds, times)])
    headings = ["codec", "against JPEG", "ours against it", "encode, s", "decode, s"]
    return "\n".join(
        [
            f"Kodak {_numbers()}; ours at `-q` {', '.join(f'{q:g}' for q in whole.qualities)}. "
            "BD-rates are means of single pictures; seconds are medians, of calls for libraries "
            "and of whole commands for ours.\n",
            table(headings, lines),
            markdown.origin("best", slow),
        ]
    )


def _mean_of(found: Sequence[Difference | None]) -> str:
    """Return the mean of all pictures; a dash if one has none."""
    return percent(tables.mean_if_all([each and each.percent for each in found]))


def _numbers() -> str:
    return ", ".join(name.removeprefix("kodim") for name in kodak.FOUR)


def _point(row: Row) -> tuple[float, float]:
    return row["bpp"], row["psnr"]


def held_out() -> str:
    """Return rates on eight photographs that nothing was learned from and that are not Kodak's."""
    rows = rows_of("held-out8")
    if not rows:
        return ""
    found = collect(rows)
    peers = [peer for peer in PEERS if peer in found.rows]
    lines = []
    for row in found.rows[OURS]:
        rates = (_against(found.by_image[row["image"]][peer], *_point(row)) for peer in peers)
        lines.append(
            [row["image"], f"{row['bpp']:.3f}", f"{row['psnr']:.2f}", *map(percent, rates)]
        )
    headings = ["picture", "bpp", "PSNR, dB", *(f"against {peer.label}" for peer in peers)]
    return "\n".join(
        [
            "Eight photographs of CLIC 2025 and CID22, which the training of the prior leaves "
            "out. Settings of the encoder were chosen on some of them. "
            f"`-q` {DEFAULT_QUALITY}, effort {OURS.effort}: our bits against each codec's at our "
            "PSNR.\n",
            table(headings, lines),
            markdown.origin("held-out8", rows),
        ]
    )


def zoom() -> str:
    """Return what lies between the pixels: decoding larger, beside enlarging."""
    rows = rows_of("zoom")
    if not rows:
        return ""
    ways = ("decoded", "bicubic", "lanczos")
    lines = [
        [
            f"{row['image']}, {row['settings']['zoom']} times",
            f"{row['bpp']:.3f}",
            f"{row['psnr']:.2f}",
            *(f"{row['enlarged'][way]['psnr']:.2f}" for way in ways),
        ]
        for row in sorted(rows, key=lambda row: (row["settings"]["zoom"], row["image"]))
    ]
    lines += [
        [
            f"mean of {one.pictures}, {one.scale} times",
            f"{one.bpp:.3f}",
            f"{one.psnr_small:.2f}",
            *(f"{one.psnr[way]:.2f}" for way in ways),
        ]
        for one in tables.zooms(rows)
    ]
    headings = ["picture", "bpp of the small one", "its PSNR, dB", "decoded larger, dB"]
    quality = ", ".join(sorted({f"{row['settings']['quality']:g}" for row in rows}))
    return "\n".join(
        [
            "Each picture is reduced to 1/2 (1/4) by averaging, encoded at "
            f"`-q {quality}`, and decoded with `--scale` 2 (4). PSNR is against the original. "
            "Bicubic and Lanczos are Pillow's, and enlarge what the same file decodes to at its "
            "own size.\n",
            table([*headings, "bicubic, dB", "Lanczos, dB"], lines),
            markdown.origin("zoom", rows),
        ]
    )


def times() -> str:
    """Return how long whole encodes and decodes take, of Kodak's pictures and of a large one."""
    lines = []
    for size, effort, rows in _timed():
        qualities = sorted({row["settings"]["quality"] for row in rows})
        cells = [seconds(tables.median(rows, f"{which}_s")) for which in _ENDS]
        held = [tables.most(rows, name) for name in _PEAKS]
        inside = [seconds(tables.in_process(rows, which)) for which in _ENDS]
        about = [size, f"{effort}", ", ".join(f"{q:g}" for q in qualities), f"{len(rows)}"]
        lines.append([*about, *cells, *inside, *(number(peak, 0) for peak in held)])
    headings = ["pixels", "`-e`", "`-q`", "files", "encode, s", "decode, s"]
    headings += ["encode in process, s", "decode in process, s", "encode, MiB", "decode, MiB"]
    text = (
        "Medians of whole commands, `siren-encode` and `siren-decode`, from start to end; within a "
        "process the start of Python and its imports are left out. Memory is the largest peak. The "
        "picture of 12 megapixels is made of Kodak's 24 and six of them again, six rows of five."
        f"\n\n{table(headings, lines)}"
    )
    # That of efforts 1 to 9 stands above.
    origins = (markdown.origin(name, rows_of(name)) for name in ("times", "large") if rows_of(name))
    others = "The other efforts are of the effort record above.\n"
    return "\n".join(filter(None, [text, *origins, others, first_encode.section()]))


def brief_times() -> str:
    """Return the README's table: pixels, effort, seconds of both ends, and what the effort buys."""
    _, ours, peers = _efforts()
    at_one, timed, lines = _at(_ONE_QUALITY, ours), _timed(), []
    for size, effort, rows in timed:
        cells = [seconds(tables.median(rows, f"{which}_s")) for which in _ENDS]
        of_four = [row for row in at_one if row["settings"]["effort"] == effort]
        saved = ""
        if rows[0]["image"] in kodak.FOUR:
            saved = percent(tables.mean_if_all([_rates(row, peers)[0] for row in of_four]))
        about = [size, _or_default(f"{effort}", effort == OURS.effort)]
        lines.append([*about, *cells, saved])
    headings = ["pixels", "`-e`", "siren-encode, s", "siren-decode, s", "bits against JPEG"]
    devices = dict.fromkeys(row["device"] for _, _, rows in timed for row in rows)
    return (
        f"{table(headings, lines)}\nWhole commands on {'; '.join(devices)}. Bits at equal PSNR: "
        f"Kodak {_numbers()} at `-q {_ONE_QUALITY}`.\n\n{first_encode.sentence()}"
    )


_TIMED = ("times", "efforts", "large")
"""The records of which seconds are told; what `times` has of an effort comes before `efforts`."""


def _timed() -> list[tuple[str, int, list[Row]]]:
    """Return (pixels, effort, rows), small pictures first."""
    groups: dict[tuple[int, int, int], list[Row]] = {}
    for name in _TIMED:
        known = set(groups)
        for row in rows_of(name):
            key = (row["width"] * row["height"], row["width"], row["settings"]["effort"])
            if key not in known:
                groups.setdefault(key, []).append(row)
    return [
        (f"{width} x {area // width}", effort, groups[area, width, effort])
        for area, width, effort in sorted(groups)
    ]


_PEAKS = ("peak_mib", "decode_peak_mib")


def coordinate() -> str:
    """Return the coordinate model's table: a SIREN alone, of 10 layers of 28."""
    rows = rows_of("coordinate")
    if not rows:
        return ""
    jpegs = collect([row for row in rows_of("kodak24") if row["codec"] == "jpeg"]).rows
    lines = []
    for row in sorted(rows, key=lambda row: row["image"]):
        width = row["settings"]["quality"]
        shapes = Architecture(3, 10, width).shapes
        weights = sum(n_out * (n_in + 1) for n_out, n_in in shapes)
        same = [jpeg for jpeg in jpegs[Series("jpeg")] if jpeg["image"] == row["image"]]
        jpeg = min(same, key=lambda jpeg: jpeg["bytes"])
        lines.append(
            [
                row["image"],
                f"{row['bytes']:,}",
                f"{row['bpp']:.3f}",
                f"{8 * row['bytes'] / weights:.2f}",
                f"{row['psnr']:.2f}",
                seconds(row["encode_s"]),
                f"{jpeg['psnr']:.2f} dB, {jpeg['bytes']:,} bytes",
            ]
        )
    headings = ["picture", "bytes", "bpp", "bits a weight", "PSNR, dB", "encode, s"]
    return "\n".join(
        [
            "A SIREN alone, 10 layers of 28: one of COIN's networks. Bits a weight count the "
            "whole file; COIN stores 16. The last column is the smallest JPEG that was "
            "measured.\n",
            table([*headings, "JPEG"], lines),
            markdown.origin("coordinate", rows),
        ]
    )
