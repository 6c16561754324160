"""The central type: a picture as a function, together with all that its file holds."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from siren_codec.errors import SirenError
from siren_codec.field import evaluate
from siren_codec.field.evaluate import Sampler
from siren_codec.field.network import BYPASS_SCALE
from siren_codec.field.spline import TAPS
from siren_codec.framing import Crop, Show, Size, View
from siren_codec.limits import Limits

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["BYPASS_SCALE", "Architecture", "Field", "Layer", "PriorName", "QuantisedTensor"]

_COARSER = 3
"""So many coarser levels a latent integer is predicted from."""


@dataclass(frozen=True)
class Architecture:
    """The shape of a SIREN (Sitzmann et al. 2020, arXiv 2006.09661).

    `hidden_layers` counts the layers with a sine, the first one included: COIN's "10x28" is
    `hidden_layers=10, hidden_features=28`. A linear layer to `channels` outputs follows them.
    `features[l]` is the number of latent grids on level l, whose cells are 2**l pixels a side; ()
    is the `coordinate` model. The context network predicts each integer of a grid from
    `neighbours` of the ones before it and from `context_sources`, through two hidden layers of
    `context_features`. With grids, the last layer of either network sees, after the hidden
    features, the network's inputs too (the SIREN's times BYPASS_SCALE): a linear bypass.
    """

    channels: int
    hidden_layers: int
    hidden_features: int
    first_omega_0: float = 30.0
    omega_0: float = 30.0
    features: tuple[int, ...] = ()
    neighbours: int = 0
    context_features: int = 0

    @property
    def grids(self) -> int:
        """The number of latent grids, of all levels."""
        return sum(self.features)

    @property
    def inputs(self) -> int:
        """The number of inputs: x, y and one for each latent grid."""
        return 2 + self.grids

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """The (outputs, inputs) of the SIREN's weight matrices, first layer first."""
        hidden = (self.hidden_features,) * self.hidden_layers
        bypass = self.inputs if self.grids else 0
        last = self.channels, self.hidden_features + bypass
        return *((n_out, n_in) for n_in, n_out in pairwise((self.inputs, *hidden))), last

    @property
    def omegas(self) -> tuple[float, ...]:
        """The frequency of each layer with a sine."""
        return (self.first_omega_0,) + (self.omega_0,) * (self.hidden_layers - 1)

    @property
    def context_sources(self) -> tuple[tuple[tuple[int, int] | None, ...], ...]:
        """For each grid, the (grid, octaves) that its integers are predicted from besides itself.

        First, for the next 3 coarser levels, their grid of the same number within its level, or
        their last one; then the grid before it on its own level. None where there is none. The
        integer in row i, column j sees that of row i >> octaves, column j >> octaves.
        """
        starts = [sum(self.features[:level]) for level in range(len(self.features))]
        found: list[tuple[tuple[int, int] | None, ...]] = []
        for level, count in enumerate(self.features):
            for number in range(count):
                coarser: list[tuple[int, int] | None] = []
                for octaves in range(1, _COARSER + 1):
                    above = level + octaves
                    others = self.features[above] if above < len(self.features) else 0
                    place = starts[above] + min(number, others - 1) if others else 0
                    coarser.append((place, octaves) if others else None)
                found.append((*coarser, (starts[level] + number - 1, 0) if number else None))
        return tuple(found)

    @property
    def context_inputs(self) -> int:
        """The number of inputs of the context network."""
        return self.neighbours + _COARSER + 1

    @property
    def context_shapes(self) -> tuple[tuple[int, int], ...]:
        """The (outputs, inputs) of the context network's matrices; none without grids.

        Its two outputs are the mean and the logarithm of the scale. The first layer has a bias for
        each grid, (grids, context_features), the others have one each.
        """
        if not self.grids:
            return ()
        width, inputs = self.context_features, self.context_inputs
        return (width, inputs), (width, width), (2, width + inputs)

    @property
    def tensor_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of all tensors in the order of the file: weight, bias, layer by layer."""
        shapes: list[tuple[int, ...]] = []
        for n_out, n_in in self.shapes + self.context_shapes:
            shapes += [(n_out, n_in), (n_out,)]
        if self.grids:
            shapes[2 * len(self.shapes) + 1] = (self.grids, self.context_features)
        return tuple(shapes)

    @property
    def weight_count(self) -> int:
        """The number of the SIREN's weights, biases included."""
        return sum(n_out * (n_in + 1) for n_out, n_in in self.shapes)

    @property
    def multiply_adds(self) -> int:
        """What a sample costs: the SIREN's weights, and the cells of each grid that it sees."""
        return self.weight_count + TAPS**2 * self.grids

    @property
    def context_multiply_adds(self) -> int:
        """What an integer of a latent grid costs: the context network's weights."""
        return sum(n_out * (n_in + 1) for n_out, n_in in self.context_shapes)


@dataclass(frozen=True, eq=False)
class QuantisedTensor:
    """Integers and their quantisation step 2**exponent: the tensor `values * 2**exponent`."""

    values: npt.NDArray[np.int32]
    exponent: int

    def __post_init__(self) -> None:
        self.values.flags.writeable = False

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def dequantise(self) -> npt.NDArray[np.float64]:
        """Return the real tensor, exact in float64, and below 2**24 steps in float32."""
        return np.ldexp(self.values.astype(np.float64), self.exponent)


@dataclass(frozen=True, eq=False)
class Layer:
    """One affine layer: a weight matrix (outputs, inputs) and a bias (outputs,).

    The context network's first layer has a bias for each grid: (grids, outputs).
    """

    weight: QuantisedTensor
    bias: QuantisedTensor


@dataclass(frozen=True)
class PriorName:
    """The weights that a file holds its differences from: those of a prior at a quality."""

    id: int
    quality: int


@dataclass(frozen=True, eq=False, repr=False)
class Field:
    """A compressed picture: a continuous function of (x, y) and what is needed to sample it.

    It comes from `siren_codec.open`, is never changed, can be pickled and copied, and may be used
    by several threads at once. A notebook shows it.

    >>> field = siren_codec.open("photo.siren")
    >>> field.width, field.channels, field.peak
    (96, 3, 255)
    """

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    depth: int
    """8 or 16 bits a sample."""
    architecture: Architecture
    layers: tuple[Layer, ...]
    """Of the SIREN, first one first."""
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    """Raw bytes of "icc", "exif" and "xmp", as far as they are there."""
    latents: tuple[npt.NDArray[np.int16 | np.int32], ...] = ()
    """Integers of each level's grids, (features, rows, columns) as `spline.level_shape` says."""
    context: tuple[Layer, ...] = ()
    """Of the context network; none without grids."""
    prior: PriorName | None = None
    """What the file holds the tensors' differences from; here they are whole."""
    alpha: npt.NDArray[Any] | None = None
    """The (height, width) samples of alpha where it is stored apart, without loss: the network then
    has one channel less than the picture.
    """
    first_level: int = 0
    """Grids of levels below it were not read, and count as 0."""
    whole: bool = True
    """Whether its file was: what a file that was cut short has lost may also be metadata."""

    def __post_init__(self) -> None:
        if self.alpha is not None:
            self.alpha.flags.writeable = False
        for grids in self.latents:
            grids.flags.writeable = False
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    @property
    def channels(self) -> int:
        """1, 2, 3 or 4: L, LA, RGB or RGBA."""
        return self.architecture.channels + (self.alpha is not None)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array that `render` makes: (height, width[, channels])."""
        return (self.height, self.width, self.channels)[: 2 if self.channels == 1 else 3]

    @property
    def peak(self) -> int:
        """The largest sample value, 255 or 65535."""
        return (1 << self.depth) - 1

    @property
    def model(self) -> str:
        """`grid` if the SIREN is fed by latent grids, else `coordinate`."""
        return "grid" if self.architecture.grids else "coordinate"

    def tensors(self) -> Iterable[QuantisedTensor]:
        """Yield the tensors in the order of the file: weight, bias, layer by layer."""
        for layer in self.layers + self.context:
            yield layer.weight
            yield layer.bias

    def render(
        self,
        size: Size | None = None,
        *,
        scale: float | None = None,
        crop: Crop | None = None,
        show: Show = "colour",
        sampler: Sampler | None = None,
        limits: Limits | None = None,
    ) -> npt.NDArray[Any]:
        """Return the picture, or a part of it, at any size.

        `size` is (width, height) of the result, or `scale` a multiple of the part's; `crop` is
        (x, y, width, height) in pixels of the original. The array is (height, width) for one
        channel, else (height, width, channels), uint8 or uint16. `show` is "colour", or "gradient"
        or "laplacian" for the derivatives as uint8; `gradient` and `laplacian` have their values.
        Where an output pixel covers more than one of the original it is their mean. Raises
        UsageError, and LimitError beyond the `limits`, if there are any.

        >>> siren_codec.open("photo.siren").render(scale=0.25, show="gradient").shape
        (16, 24, 3)
        """
        view = View(size, scale, crop)
        return evaluate.render(self, view, show=show, sampler=sampler, limits=limits)

    def to_pil(
        self,
        size: Size | None = None,
        *,
        scale: float | None = None,
        crop: Crop | None = None,
        show: Show = "colour",
    ) -> "Image":
        """Return what `render` does as a Pillow image, with the metadata in its `info`.

        Pillow has no 16-bit colour: it is given with 8 bits, and a SirenWarning says so.

        >>> siren_codec.open("photo.siren").to_pil(scale=4).size
        (384, 256)
        """
        from siren_codec import decoding

        return decoding.to_pil(self, View(size, scale, crop), show)

    def save(
        self,
        path: str | os.PathLike[str],
        size: Size | None = None,
        *,
        scale: float | None = None,
        crop: Crop | None = None,
        show: Show = "colour",
        force: bool = False,
    ) -> None:
        """Write what `render` does as a picture file, of the format that the extension says.

        16 bits and metadata are kept where the format can hold them; a SirenWarning says what is
        not. The file is whole or absent. Raises SirenError, also if it is there and `force` is not
        given.

        >>> siren_codec.open("photo.siren").save("large.jpg", scale=4)
        """
        from siren_codec import decoding

        decoding.save(self, path, View(size, scale, crop), show, force=force)

    def __repr__(self) -> str:
        mode = ("L", "LA", "RGB", "RGBA")[self.channels - 1]
        sines = f"{self.architecture.hidden_layers}x{self.architecture.hidden_features}"
        rest = "" if self.whole else ", cut short"
        return (
            f"<siren_codec.Field {self.width}x{self.height} {mode}, {self.depth} bits, "
            f"{self.model} model, SIREN {sines}{rest}>"
        )

    def _repr_png_(self) -> bytes:
        """Return a thumbnail, for notebooks."""
        from siren_codec import decoding

        return decoding.thumbnail(self)

    def _repr_html_(self) -> str | None:
        """Return the picture with zoom, for notebooks that run scripts; None if it is not whole."""
        from siren_codec import viewer

        try:
            return viewer.html(self)
        except SirenError:
            return None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "metadata": dict(self.metadata)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def at(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the colour at pixel coordinates (x, y), broadcast together, as (..., channels).

        Integer (x, y) is a pixel's centre; the picture covers [-1/2, width - 1/2] x
        [-1/2, height - 1/2], and points outside it, or not finite, raise UsageError. The samples
        are in units of the stored picture (0 to 255, or 65535), neither rounded nor clipped.

        >>> field = siren_codec.open("photo.siren")
        >>> field.at(1.2, 20.5).shape, field.at([3, 4.5], 10).shape
        ((3,), (2, 3))
        """
        return evaluate.at(self, x, y)

    def gradient(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return d/dx and d/dy at points as (..., channels, 2), in sample units per pixel.

        They are exact, by the chain rule: the derivative of a sine layer is again a SIREN (Sitzmann
        et al. 2020, section 3). Points are as for `at`.

        >>> siren_codec.open("photo.siren").gradient([3, 4.5], [10, 10]).shape
        (2, 3, 2)
        """
        return evaluate.gradient(self, x, y)

    def laplacian(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return d2/dx2 + d2/dy2 at points as (..., channels), in sample units per pixel squared.

        Points are as for `at`.
        """
        return evaluate.laplacian(self, x, y)
