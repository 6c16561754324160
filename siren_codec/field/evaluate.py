"""Sampling a Field: pictures of any size, colours at points, exact derivatives.

A *sampler* turns pixel coordinates into samples: `sampler(xs, ys)` with xs (columns,) and ys
(rows,) float64 returns (channels, rows, columns) samples in units of the stored picture (0..255 or
0..65535, not clipped). Rendering asks a sampler for one block at a time, so that the memory it
needs follows the block and not the picture, and averages what each output pixel covers.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from siren_codec.errors import LimitError, UsageError
from siren_codec.field.inputs import Orders, lattice_inputs, point_inputs, seen_inputs
from siren_codec.field.network import network, network_jet
from siren_codec.field.spline import cell_centres
from siren_codec.field.threads import available_cores, one_blas_thread
from siren_codec.framing import Crop, Show, Size, View
from siren_codec.limits import Limits

if TYPE_CHECKING:
    from siren_codec.field.field import Field

__all__ = [
    "WHOLE",
    "Derivative",
    "Sampler",
    "at",
    "colour_sampler",
    "derivative_sampler",
    "first_level_shown",
    "frame",
    "gradient",
    "laplacian",
    "render",
    "render_derivative",
]

T = TypeVar("T")

Float64 = npt.NDArray[np.float64]
Samples = npt.NDArray[Any]
Sampler = Callable[[Float64, Float64], Samples]
"""What evaluates the colours at (columns,) x and (rows,) y: numpy, or torch on a GPU."""
Derivative = Literal["gradient", "laplacian"]
WHOLE = View()
"""All of a picture, as large as it is."""

BLOCK_ELEMENTS = 1 << 19
"""Activations of one layer held at once, 2 MiB in float32: enough to be worth numpy's calls, and
not more than the cores' common cache holds."""


def render(
    field: "Field",
    view: View = WHOLE,
    *,
    show: Show = "colour",
    sampler: Sampler | None = None,
    limits: Limits | None = None,
) -> npt.NDArray[Any]:
    """Return what a view shows of a picture, or of its derivatives.

    The result is uint8 or uint16, (height, width) for one channel, else (height, width, channels).
    An output pixel is the mean of the picture over what it covers: point samples where it covers
    at most one original pixel, else as many samples a side as it covers pixels, rounded up, or
    fewer where the finest levels were not read.

    The `gradient` and the `laplacian` are those of the colours, without alpha, and are scaled to
    uint8: the gradient's magnitude from black, the Laplacian around mid-grey, the 99.5th
    percentile of their magnitude at the end of the range.

    Raises UsageError for a view that does not fit, LimitError beyond the `limits`.
    """
    if show != "colour":
        return _squeezed(_as_levels(render_derivative(field, show, view, limits=limits), show))
    crop, size = frame(field, view, limits)
    dtype = np.dtype(np.uint8 if field.depth == 8 else np.uint16)
    out = np.empty((size[1], size[0], field.channels), dtype)

    def quantise(samples: Samples) -> Samples:
        return np.rint(samples, out=samples).astype(dtype)

    sampler = _with_alpha(field, sampler or colour_sampler(field), 0)
    over = _oversampling(field, crop, size)
    _render_into(out, sampler, quantise, crop, over, _block(field), field.peak)
    return _squeezed(out)


def _squeezed(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def _as_levels(values: npt.NDArray[np.float32], show: Derivative) -> npt.NDArray[np.uint8]:
    """Return the derivatives of the colours, scaled for the eye."""
    if values.shape[2] in (2, 4):
        values = values[:, :, :-1]
    values = values / np.float32(max(np.percentile(np.abs(values), 99.5), 1e-12))
    if show == "laplacian":
        values = (values + np.float32(1)) / np.float32(2)
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)


def render_derivative(
    field: "Field", kind: Derivative, view: View = WHOLE, *, limits: Limits | None = None
) -> npt.NDArray[np.float32]:
    """Return (height, width, channels) gradient magnitudes or Laplacians, per original pixel."""
    crop, size = frame(field, view, limits)
    out = np.empty((size[1], size[0], field.channels), np.float32)
    sampler = _with_alpha(field, derivative_sampler(field, kind), 1 if kind == "gradient" else 2)
    over = _oversampling(field, crop, size)
    _render_into(out, sampler, lambda samples: samples, crop, over, _block(field) // 4, None)
    return out


def at(field: "Field", x: npt.ArrayLike, y: npt.ArrayLike) -> Float64:
    """Return the colour at pixel coordinates (x, y), broadcast together, as (..., channels).

    Integer (x, y) is a pixel's centre; the picture covers [-1/2, width - 1/2] x
    [-1/2, height - 1/2], and points outside it, or not finite, raise UsageError. The samples are
    float64 in units of the stored picture, neither rounded nor clipped.
    """
    return _at_points(field, x, y, order=0)[..., 0]


def gradient(field: "Field", x: npt.ArrayLike, y: npt.ArrayLike) -> Float64:
    """Return d/dx and d/dy at points as (..., channels, 2), in sample units per pixel.

    Exact, by the chain rule: the derivative of a sine layer is again a SIREN (Sitzmann et al.
    2020, section 3). Points are as for `at`.
    """
    return _at_points(field, x, y, order=1)[..., 1:3]


def laplacian(field: "Field", x: npt.ArrayLike, y: npt.ArrayLike) -> Float64:
    """Return d2/dx2 + d2/dy2 at points as (..., channels), in sample units per pixel squared."""
    return _at_points(field, x, y, order=2)[..., 3]


def frame(field: "Field", view: View, limits: Limits | None = None) -> tuple[Crop, Size]:
    """Return the part of a Field and the output's size that a view means, within the limits."""
    crop, size = view.frame(field.width, field.height)
    if max(size) >= 1 << 31 or (limits is not None and size[0] * size[1] > limits.pixels):
        most = f"{limits.pixels} pixels" if limits is not None else "2147483647 a side"
        raise LimitError(f"{size[0]}x{size[1]}: expected at most {most}")
    over_x, over_y = _oversampling(field, crop, size)
    work = over_x * size[0] * over_y * size[1] * field.architecture.multiply_adds
    if limits is not None and work > limits.multiply_adds:
        raise LimitError(
            f"{size[0]}x{size[1]}: expected at most {limits.multiply_adds:.2g} "
            f"multiply-adds, found {work:.2g}"
        )
    return crop, size


def first_level_shown(width: int, height: int, features: Sequence[int], view: View) -> int:
    """Return the first of the levels that a view shows: finer ones need not be read.

    `features` are the architecture's, `width` and `height` the original's. Where an output pixel
    covers at least s x s original ones, the level is floor(log2(s)) - 1, so that each has two cells
    a side, but not beyond the coarsest with grids. Raises UsageError if the view does not fit.
    """
    (_, _, *covered), size = view.frame(width, height)
    shrink = min(covered[0] / size[0], covered[1] / size[1])
    coarsest = max((level for level, count in enumerate(features) if count), default=0)
    return min(coarsest, math.floor(math.log2(max(2.0, shrink))) - 1)


def _oversampling(field: "Field", crop: Crop, size: Size) -> tuple[int, int]:
    """Return how many samples across and down each output pixel takes.

    As many as it covers pixels; without the finest levels, two for each of the finest cells left,
    which a picture that smooth needs, and at least two.
    """
    spacing = 1 << max(0, field.first_level - 1)
    covered = crop[2] / size[0], crop[3] / size[1]
    across, down = (
        min(math.ceil(pixels), max(2, math.ceil(pixels / spacing))) for pixels in covered
    )
    return across, down


def colour_sampler(field: "Field") -> Sampler:
    """Return the sampler of the picture itself, in float32."""
    evaluate, lattice = network(field), lattice_inputs(field, np.float32)

    def sample(xs: Float64, ys: Float64) -> Samples:
        samples = evaluate(len(ys) * len(xs), lambda inputs: lattice(xs, ys, (0, 0), inputs))
        return np.reshape(samples, (-1, len(ys), len(xs)))

    return sample


def derivative_sampler(field: "Field", kind: Derivative) -> Sampler:
    """Return the sampler of the gradient's magnitude, or of the Laplacian, in float32."""
    order = 1 if kind == "gradient" else 2
    lattice, seen = lattice_inputs(field, np.float32), len(seen_inputs(field))

    def sample(xs: Float64, ys: Float64) -> Samples:
        def inputs(by: Orders) -> Samples:
            out = np.empty((seen, len(ys) * len(xs)), np.float32)
            lattice(xs, ys, by, out)
            return out

        jet = network_jet(field, inputs, order, np.float32)
        values = np.hypot(jet[1], jet[2]) if kind == "gradient" else jet[3]
        # Finite even for the wildest of weights, with room for a sum over a block.
        values = np.clip(np.nan_to_num(values), -1e30, 1e30)
        return np.reshape(values, (-1, len(ys), len(xs)))

    return sample


def _with_alpha(field: "Field", sampler: Sampler, order: int) -> Sampler:
    """Return a sampler that adds the alpha that is stored apart: 0 its value, 1 its gradient's
    magnitude, 2 its Laplacian.
    """
    alpha = field.alpha
    if alpha is None:
        return sampler

    def sample(xs: Float64, ys: Float64) -> Samples:
        value, by_x, by_y, laplacian = _alpha_jet(alpha, xs, ys[:, None])
        plane = (value, np.hypot(by_x, by_y), laplacian)[order]
        colours = sampler(xs, ys)
        return np.concatenate([colours, plane[None].astype(colours.dtype)])

    return sample


def _alpha_jet(alpha: Samples, x: Float64, y: Float64) -> list[Float64]:
    """Return [value, d/dx, d/dy, Laplacian] of an alpha plane at points that broadcast together.

    Linear between pixel centres along each axis, and constant beyond the outer ones.
    """
    rows, columns = alpha.shape
    left = np.clip(np.floor(x), 0, max(columns - 2, 0)).astype(np.intp)
    top = np.clip(np.floor(y), 0, max(rows - 2, 0)).astype(np.intp)
    right, below = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    across, down = np.clip(x - left, 0, 1), np.clip(y - top, 0, 1)
    corners = [alpha[i, j].astype(np.float64) for i in (top, below) for j in (left, right)]
    upper = corners[0] + (corners[1] - corners[0]) * across
    lower = corners[2] + (corners[3] - corners[2]) * across
    by_x = (corners[1] - corners[0]) * (1 - down) + (corners[3] - corners[2]) * down
    value = upper + (lower - upper) * down
    by_x = np.where((x < 0) | (x > columns - 1), 0, by_x)
    by_y = np.where((y < 0) | (y > rows - 1), 0, lower - upper)
    return [value, by_x, by_y, np.zeros_like(value)]


def _render_into(
    out: npt.NDArray[Any],
    sampler: Sampler,
    finish: Callable[[Samples], Samples],
    crop: Crop,
    over: tuple[int, int],
    block: int,
    peak: int | None,
) -> None:
    """Fill `out` (height, width, channels) tile by tile, a thread for each core."""
    out_height, out_width = out.shape[:2]
    over_x, over_y = over
    xs = cell_centres(crop[0], crop[2], out_width * over_x)
    ys = cell_centres(crop[1], crop[3], out_height * over_y)
    # Wide, for a row of cells is sampled in pieces, but low, for the rows of a tile are not.
    columns = min(out_width, max(1, math.isqrt(4 * block) // over_x))
    rows = min(block // (columns * over_x * over_y), _longest_side(block) // over_y)
    rows = min(out_height, max(1, rows))

    def fill(corner: tuple[int, int]) -> None:
        top, left = corner
        bottom, right = min(top + rows, out_height), min(left + columns, out_width)
        mean = _cell_mean(
            sampler,
            xs[left * over_x : right * over_x],
            ys[top * over_y : bottom * over_y],
            (bottom - top, right - left),
            block,
            peak,
        )
        for channel, plane in enumerate(finish(mean)):
            out[top:bottom, left:right, channel] = plane

    corners = list(product(range(0, out_height, rows), range(0, out_width, columns)))
    _on_all_cores(fill, corners)


def _cell_mean(
    sampler: Sampler, xs: Float64, ys: Float64, cells: Size, block: int, peak: int | None
) -> Samples:
    """Return the mean over each of `cells` (rows, columns) that xs and ys divide into.

    Cells that need more than `block` samples, or too many a side, are taken by halves: of the
    longer axis, if not several cells share it.
    """
    if len(xs) * len(ys) > block or max(len(xs), len(ys)) > _longest_side(block):
        if cells[0] == 1 and (cells[1] > 1 or len(ys) >= len(xs)):
            return _mean_of_halves(
                ys, lambda half: _cell_mean(sampler, xs, half, cells, block, peak)
            )
        if cells[1] == 1:
            return _mean_of_halves(
                xs, lambda half: _cell_mean(sampler, half, ys, cells, block, peak)
            )
    samples = sampler(xs, ys)
    if peak is not None:
        np.maximum(samples, 0, out=samples)
        np.minimum(samples, peak, out=samples)
    if samples.shape[1:] == cells:
        return samples
    rows, columns = cells
    by_cell = np.reshape(samples, (len(samples), rows, -1, columns, len(xs) // columns))
    return np.asarray(by_cell.mean(axis=(2, 4)))


def _mean_of_halves(axis: Float64, mean: Callable[[Float64], Samples]) -> Samples:
    middle = len(axis) // 2
    share = middle / len(axis)
    return mean(axis[:middle]) * share + mean(axis[middle:]) * (1 - share)


def _at_points(field: "Field", x: npt.ArrayLike, y: npt.ArrayLike, order: int) -> Float64:
    """Return (..., channels, 1 | 3 | 4): value, d/dx, d/dy, Laplacian, as far as `order` needs."""
    try:
        xs, ys = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    except (TypeError, ValueError) as error:
        raise UsageError(f"points: expected numbers that broadcast together: {error}") from None
    for name, values, length in (("x", xs, field.width), ("y", ys, field.height)):
        outside = ~((values >= -0.5) & (values <= length - 0.5))
        if outside.any():
            raise UsageError(f"{name} = {values[outside].flat[0]}: expected -0.5 to {length - 0.5}")
    flat_x, flat_y = xs.ravel(), ys.ravel()
    out = np.empty((len(flat_x), field.channels, (1, 3, 4)[order]))
    block = max(1, _block(field) // 4)

    def fill(start: int) -> None:
        part = slice(start, start + block)
        inputs = partial(point_inputs, field, flat_x[part], flat_y[part])
        jet = network_jet(field, inputs, order, np.float64)
        found = np.stack(jet, axis=-1).swapaxes(0, 1)
        out[part, : found.shape[1]] = found
        if field.alpha is not None:
            of_alpha = _alpha_jet(field.alpha, flat_x[part], flat_y[part])
            out[part, -1] = np.stack(of_alpha[: out.shape[2]], axis=-1)

    _on_all_cores(fill, range(0, len(flat_x), block))
    return out.reshape(*xs.shape, *out.shape[1:])


def _on_all_cores(task: Callable[[T], None], parts: Sequence[T]) -> None:
    """Do a task for each part, a thread for each core.

    Not by a BLAS of many threads for each small product: they wait for each other, and beside other
    work that takes many times as long.
    """
    with one_blas_thread():
        if len(parts) == 1:
            task(parts[0])
            return
        with ThreadPoolExecutor(available_cores()) as pool:
            for _ in pool.map(task, parts):
                pass


def _block(field: "Field") -> int:
    """Return how many points to evaluate at once."""
    architecture = field.architecture
    return max(512, BLOCK_ELEMENTS // max(architecture.hidden_features, architecture.inputs))


def _longest_side(block: int) -> int:
    """Return the most columns, or rows, of a block of so many points."""
    return 4 * math.isqrt(block)
