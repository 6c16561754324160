"""The article's experiment: one photograph, fitted by sine, ReLU and tanh networks alike.

scikit-image's `camera` (512 x 512, 8 bits) is halved to 256 x 256 by the mean of each 2 x 2 pixels
(Pillow's BOX filter, not rounded) and scaled to [-1, 1]. The network has 2 inputs, four layers of
256 with the activation (the article's first layer and its `hidden_layers = 3`) and a linear output.
It sees every pixel once an epoch, in shuffled batches of 8192, for 100 epochs of Adam at a constant
learning rate; the loss is the mean squared error. Each activation tries the same learning rates
from the same random numbers, and its best final PSNR is reported, with all the others beside it.

Weights are uniform in +-bound. Sine: Sitzmann et al. 2020, section 3.2, with omega_0 = 30. ReLU:
sqrt(6 / n_in) (He et al. 2015), sqrt(3 / n_in) for the linear output. Tanh:
sqrt(6 / (n_in + n_out)) (Glorot and Bengio 2010). Biases of all three: 1 / sqrt(n_in), as torch's
linear layers have.

Definitions. Samples are taken as the network gives them, neither rounded nor clipped, and
derivatives are per pixel. PSNR = 10 log10(range^2 / mean squared error). For the image the range is
2 and all pixels count. For derivatives the reference is made of the image's own pixels: the
gradient (d/dx, d/dy) by central differences (f[+1] - f[-1]) / 2, the Laplacian by the five-point
stencil; the range is the reference's largest value less its smallest, over both components of the
gradient together, and the border of one pixel is left out. Two fields are held against it:

- exact: the derivatives of the network itself at the pixel centres, by automatic differentiation.
  No network that meets every pixel need agree: central differences of a wave of k radians a pixel
  are sin(k) / k of its slope. ReLU's exact Laplacian is 0 wherever it exists.
- differences: the reference's own stencils, applied to the network's values at the pixel centres.

The row `constant` is the image's mean everywhere, whose derivatives are 0: what nothing scores.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from benchmarks import markdown, store
from benchmarks.store import Task
from siren_codec.bench.results import Row
from siren_codec.field import Architecture
from siren_codec.field.spline import unit_coordinates, unit_per_pixel
from siren_codec.field.threads import available_cores
from siren_codec.fit.start import siren

__all__ = [
    "ACTIVATIONS",
    "Network",
    "Settings",
    "Trial",
    "camera",
    "derivatives",
    "main",
    "psnr",
    "run",
    "section",
    "tasks",
]

Float32 = npt.NDArray[np.float32]
Map = Callable[..., Iterator[Any]]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sine": torch.sin,
    "ReLU": torch.relu,
    "tanh": torch.tanh,
}
PICTURE = Path(__file__).parents[1] / "docs" / "results" / "cameraman.png"
_BAND = 2048
"""Points at once: what a core's cache holds. Each thread takes whole bands."""


@dataclass(frozen=True)
class Settings:
    """What every activation has in common; the defaults are the article's."""

    size: int = 256
    hidden_layers: int = 4
    """Layers with the activation, the first one included."""
    hidden_features: int = 256
    omega_0: float = 30.0
    """The sine's alone."""
    batch: int = 8192
    epochs: int = 100
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Network:
    """A multilayer perceptron of matrices [weight | bias], each (outputs, inputs + 1)."""

    activation: str
    omega_0: float
    """What the activation's argument is multiplied by: 1 for any but the sine."""
    layers: tuple[Tensor, ...]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (outputs, points) at (inputs, points)."""
        activate = ACTIVATIONS[self.activation]
        hidden = inputs
        for layer in self.layers[:-1]:
            scaled = layer * self.omega_0
            hidden = activate(torch.addmm(scaled[:, -1:], scaled[:, :-1], hidden))
        return torch.addmm(self.layers[-1][:, -1:], self.layers[-1][:, :-1], hidden)


@dataclass(frozen=True, eq=False)
class Fields:
    """An image and its derivatives, per pixel, all without the border of one pixel."""

    image: Float32
    """(rows, columns) samples."""
    gradient: Float32
    """(2, rows, columns): d/dx, d/dy."""
    laplacian: Float32
    """(rows, columns)."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One network fitted: how, how well and for how long."""

    activation: str
    learning_rate: float
    curve: tuple[tuple[int, float], ...]
    """(epoch, PSNR in dB of the whole image after it); the last is the final one."""
    seconds: float
    """On the clock, of the fit alone, without what measured it."""
    cpu_seconds: float
    """Of all threads together, which other work on the machine hardly changes."""
    network: Network

    @property
    def psnr(self) -> float:
        """The final PSNR of the image, in dB."""
        return self.curve[-1][1]


def camera(size: int) -> Float32:
    """Return scikit-image's `camera` as (size, size) samples in [-1, 1], averaged over areas."""
    from skimage import data

    # As floats: Pillow would round the means of 8-bit pixels to 8 bits.
    stored = data.camera()  # type: ignore[no-untyped-call]
    picture = Image.fromarray(np.asarray(stored, np.float32))
    samples = np.asarray(picture.resize((size, size), Image.Resampling.BOX), np.float32)
    return np.asarray(samples * np.float32(2 / 255) - 1, np.float32)


def pixel_centres(size: int) -> Tensor:
    """Return the (2, size * size) unit coordinates of the pixels, row after row."""
    axis = unit_coordinates(np.arange(size, dtype=np.float64), size)
    return torch.tensor(np.stack(np.meshgrid(axis, axis)).reshape(2, -1), dtype=torch.float32)


def psnr(*, reference: Float32, found: Float32, peak_to_peak: float | None = None) -> float:
    """Return the PSNR in dB; the default range is the reference's largest less its smallest."""
    if peak_to_peak is None:
        peak_to_peak = float(reference.max() - reference.min())
    error = float(np.mean(np.square(found - reference, dtype=np.float64)))
    if not math.isfinite(error):
        return -math.inf
    return math.inf if error == 0 else 10 * math.log10(peak_to_peak**2 / error)


def initial_network(activation: str, settings: Settings) -> Network:
    """Return the network to begin with, as the module's docstring says."""
    architecture = Architecture(
        channels=1,
        hidden_layers=settings.hidden_layers,
        hidden_features=settings.hidden_features,
        first_omega_0=settings.omega_0,
        omega_0=settings.omega_0,
    )
    if activation == "sine":
        matrices = siren(architecture, seed=settings.seed, device="cpu").matrices
        return Network(activation, settings.omega_0, tuple(m.detach() for m in matrices))
    generator = torch.Generator().manual_seed(settings.seed)
    layers = []
    for index, (n_out, n_in) in enumerate(architecture.shapes):
        bound = math.sqrt(6 / (n_in + n_out))
        if activation == "ReLU":
            bound = math.sqrt((3 if index == settings.hidden_layers else 6) / n_in)
        bounds = torch.tensor([bound] * n_in + [1 / math.sqrt(n_in)])
        layers.append((torch.rand(n_out, n_in + 1, generator=generator) * 2 - 1) * bounds)
    return Network(activation, 1.0, tuple(layers))


def fit(
    activation: str,
    learning_rate: float,
    image: Float32,
    settings: Settings,
    map_: Map,
    tick: Callable[[], object],
) -> Trial:
    """Fit a network to (size, size) samples; call `tick` after each epoch."""
    network = initial_network(activation, settings)
    for layer in network.layers:
        layer.requires_grad_()
    optimiser = torch.optim.Adam(network.layers, lr=learning_rate)
    generator = torch.Generator().manual_seed(settings.seed)
    inputs, target = pixel_centres(settings.size), torch.from_numpy(image).reshape(1, -1)
    curve, seconds, cpu_seconds = [], 0.0, 0.0
    for epoch in range(1, settings.epochs + 1):
        began, cpu_began = time.perf_counter(), time.process_time()
        order = torch.randperm(target.shape[1], generator=generator)
        for index in torch.split(order, settings.batch):
            _backward(network, inputs[:, index], target[:, index], map_)
            optimiser.step()
        seconds += time.perf_counter() - began
        cpu_seconds += time.process_time() - cpu_began
        if epoch <= 10 or epoch % 5 == 0 or epoch == settings.epochs:
            found = values(network, settings.size, map_)
            curve.append((epoch, psnr(reference=image, found=found, peak_to_peak=2)))
        tick()
    return Trial(activation, learning_rate, tuple(curve), seconds, cpu_seconds, network)


def values(network: Network, size: int, map_: Map) -> Float32:
    """Return (size, size) samples at the pixel centres."""

    def band(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return network(inputs)[0]

    parts = list(map_(band, torch.split(pixel_centres(size), _BAND, dim=1)))
    return np.asarray(torch.cat(parts).reshape(size, size).numpy(), np.float32)


def derivatives(network: Network, inputs: Tensor) -> Tensor:
    """Return (4, points): value, both first derivatives and the Laplacian, in unit coordinates.

    Exact, by automatic differentiation, for a network of one output at (2, points).
    """
    inputs = inputs.detach().requires_grad_()
    value = network(inputs)
    (first,) = torch.autograd.grad(value.sum(), inputs, create_graph=True)
    second = [
        torch.autograd.grad(
            first[axis].sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True
        )[0][axis]
        for axis in range(2)
    ]
    return torch.stack([value[0], first[0], first[1], second[0] + second[1]]).detach()


def exact_fields(network: Network, size: int, map_: Map) -> Fields:
    """Return the network's own values and derivatives at the pixel centres."""
    bands = torch.split(pixel_centres(size), _BAND, dim=1)
    parts = list(map_(lambda inputs: derivatives(network, inputs), bands))
    jet = np.asarray(torch.cat(parts, dim=1).reshape(4, size, size).numpy(), np.float32)
    jet = jet[:, 1:-1, 1:-1]
    unit = np.float32(unit_per_pixel(size))
    return Fields(image=jet[0], gradient=jet[1:3] * unit, laplacian=jet[3] * unit**2)


def difference_fields(image: Float32) -> Fields:
    """Return central differences and five-point Laplacians of (size, size) samples."""
    centre = image[1:-1, 1:-1]
    left, right = image[1:-1, :-2], image[1:-1, 2:]
    above, below = image[:-2, 1:-1], image[2:, 1:-1]
    gradient = np.asarray(np.stack([right - left, below - above]) / 2, np.float32)
    laplacian = left + right + above + below - 4 * centre
    return Fields(image=centre, gradient=gradient, laplacian=laplacian)


@contextmanager
def threads(count: int) -> Iterator[Map]:
    """Yield a `map` over `count` threads, each of which runs torch on one core.

    Results come, and are summed, in order: their number does not change them.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(before)


def _backward(network: Network, inputs: Tensor, target: Tensor, map_: Map) -> None:
    """Set the gradients of the mean squared error."""

    def band(part: slice) -> tuple[Tensor, ...]:
        error = (network(inputs[:, part]) - target[:, part]).square().sum()
        return torch.autograd.grad(error / target.numel(), network.layers)

    parts = [slice(start, start + _BAND) for start in range(0, target.numel(), _BAND)]
    gradients = list(map_(band, parts))
    for layer, of_bands in zip(network.layers, zip(*gradients, strict=True), strict=True):
        layer.grad = torch.stack(of_bands).sum(0)


@dataclass(frozen=True, eq=False)
class Score:
    """An activation at its best learning rate, or the image itself."""

    name: str
    trial: Trial | None
    exact: Fields
    scores: dict[str, float]
    """PSNR in dB by what it is of: `image`, `gradient_exact` and so on."""


def run_trials(image: Float32, settings: Settings, map_: Map) -> list[Trial]:
    """Fit every activation at every learning rate, with a bar on stderr."""
    plan = [(name, rate) for name in ACTIVATIONS for rate in settings.learning_rates]
    trials = []
    with tqdm(total=len(plan) * settings.epochs, unit="epoch", file=sys.stderr) as bar:
        for activation, rate in plan:
            bar.set_description(f"{activation} {rate:g}")
            trials.append(fit(activation, rate, image, settings, map_, bar.update))
            bar.set_postfix_str(f"last {trials[-1].psnr:.2f} dB")
    return trials


def best_rows(image: Float32, trials: Sequence[Trial], map_: Map) -> list[Score]:
    """Return a row for each activation, at the learning rate of the best final PSNR."""
    rows = []
    for activation in ACTIVATIONS:
        trial = max((t for t in trials if t.activation == activation), key=lambda t: t.psnr)
        exact = exact_fields(trial.network, len(image), map_)
        found = values(trial.network, len(image), map_)
        rows.append(Score(activation, trial, exact, score(image, found, exact)))
    return rows


def constant_row(image: Float32) -> Score:
    """Return the row of the image's mean."""
    found = np.full_like(image, image.mean())
    exact = difference_fields(found)
    return Score("constant", None, exact, score(image, found, exact))


def score(image: Float32, found: Float32, exact: Fields) -> dict[str, float]:
    """Return the PSNRs; the module's docstring defines them."""
    reference, differences = difference_fields(image), difference_fields(found)
    of = {
        f"{kind}_{name}": psnr(reference=getattr(reference, kind), found=getattr(fields, kind))
        for kind in ("gradient", "laplacian")
        for name, fields in (("exact", exact), ("differences", differences))
    }
    return {"image": psnr(reference=image, found=found, peak_to_peak=2), **of}


def rows_of(rows: Sequence[Score], trials: Sequence[Trial], settings: Settings) -> list[Row]:
    """Return all that was measured, a row for each trial and one for the constant."""
    same = {key: value for key, value in asdict(settings).items() if key != "threads"}
    del same["learning_rates"]
    scores = {(row.name, row.trial and row.trial.learning_rate): row.scores for row in rows}
    found: list[Row] = [
        {
            **_facts({"size": settings.size, "activation": "constant"}),
            "psnr": _finite(scores["constant", None]),
        }
    ]
    for trial in trials:
        of_trial = {"activation": trial.activation, "learning_rate": trial.learning_rate}
        best = scores.get((trial.activation, trial.learning_rate), {"image": trial.psnr})
        found.append(
            {
                **_facts({**same, **of_trial}),
                "threads": settings.threads,
                "psnr": _finite(best),
                "psnr_by_epoch": [[epoch, _number(value)] for epoch, value in trial.curve],
                "seconds": round(trial.seconds, 1),
                "cpu_seconds": round(trial.cpu_seconds, 1),
            }
        )
    # No file of the codec's is made, so no change of it makes a row stale.
    return [{**row, **store.about(), "version": None} for row in found]


def _facts(settings: dict[str, Any]) -> dict[str, Any]:
    return {"experiment": "cameraman", "settings": settings}


def draw(
    image: Float32, rows: Sequence[Score], constant: Score, trials: Sequence[Trial], path: Path
) -> None:
    """Draw every field, the PSNR by epoch and the grid of learning rates, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 12.6), dpi=100, layout="constrained")
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(2.05, 1)))
    reference = difference_fields(image)
    axes = np.asarray(left.subplots(1 + len(rows), 3))
    titles = [
        f"{name} ({blank}: {constant.scores[key]:.1f} dB)"
        for key, (name, blank) in zip(_DRAWN, _HEADINGS, strict=True)
    ]
    _draw_fields(axes[0], reference, reference, titles)
    axes[0][0].set_ylabel("the image itself", fontsize=15)
    for row, line in zip(rows, axes[1:], strict=True):
        _draw_fields(line, row.exact, reference, [f"{row.scores[key]:.1f} dB" for key in _DRAWN])
        line[0].set_ylabel(row.name, fontsize=15)
    above, below = right.subplots(2, 1)
    for colour, row in zip(_COLOURS, rows, strict=True):
        assert row.trial is not None
        label = f"{row.name}, learning rate {row.trial.learning_rate:g}"
        above.plot(*zip(*row.trial.curve, strict=True), color=colour, label=label, linewidth=2)
        points = [(t.learning_rate, t.psnr) for t in trials if t.activation == row.name]
        below.plot(*zip(*points, strict=True), "o-", color=colour, label=row.name, linewidth=2)
    above.set(title="PSNR of the image by epoch", xlabel="epoch", ylabel="PSNR, dB")
    below.set(title="final PSNR by learning rate", xlabel="learning rate of Adam", xscale="log")
    below.set_ylabel("PSNR, dB")
    for axis in (above, below):
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path)


_DRAWN = ("image", "gradient_exact", "laplacian_exact")
_HEADINGS = (("image", "its mean"), ("|gradient|", "zeros"), ("Laplacian", "zeros"))
_COLOURS = ("tab:blue", "tab:orange", "tab:green")


def _draw_fields(axes: Any, fields: Fields, reference: Fields, titles: Sequence[str]) -> None:
    """Show image, gradient magnitude and Laplacian, on the scales of the reference."""
    steepest = float(np.quantile(np.hypot(*reference.gradient), 0.99))
    sharpest = float(np.quantile(np.abs(reference.laplacian), 0.99))
    shown = (
        (fields.image, -1.0, 1.0),
        (np.hypot(*fields.gradient), 0.0, steepest),
        (fields.laplacian, -sharpest, sharpest),
    )
    for axis, (values_, low, high), title in zip(axes, shown, titles, strict=True):
        axis.imshow(values_, cmap="gray", vmin=low, vmax=high)
        axis.set(xticks=[], yticks=[])
        axis.set_title(title, fontsize=13)


def _finite(scores: dict[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in scores.items()}


def _number(value: float) -> float | None:
    """Return a number that JSON has: it knows no infinity."""
    return round(value, 4) if math.isfinite(value) else None


def tasks() -> Iterator[Task]:
    """Yield the experiment, which is made as a whole, by all cores, and its picture."""

    def make() -> list[Row]:
        return run(Settings(threads=available_cores()), PICTURE)

    yield Task(_facts({"size": Settings.size, "activation": "constant"}), make)


def run(settings: Settings, picture: Path) -> list[Row]:
    """Fit every activation at every learning rate; draw them, and return the rows."""
    image = camera(settings.size)
    with threads(settings.threads) as map_:
        trials = run_trials(image, settings, map_)
        best = best_rows(image, trials, map_)
    constant = constant_row(image)
    draw(image, best, constant, trials, picture)
    return rows_of([*best, constant], trials, settings)


SCORES = {
    "image": "image",
    "gradient_exact": "gradient, exact",
    "gradient_differences": "gradient, differences",
    "laplacian_exact": "Laplacian, exact",
    "laplacian_differences": "Laplacian, differences",
}


def section() -> str:
    """Return what the record says, as Markdown; nothing where there is none."""
    rows = store.rows_of("cameraman")
    if not rows:
        return ""
    lines = []
    for name in (*ACTIVATIONS, "constant"):
        trials = [row for row in rows if row["settings"]["activation"] == name]
        best = max(trials, key=lambda row: row["psnr"]["image"])
        rate = best["settings"].get("learning_rate")
        scores = [markdown.number(best["psnr"][key], 2) for key in SCORES]
        spent = markdown.number(best.get("seconds"), 0)
        lines.append([name, markdown.DASH if rate is None else f"{rate:g}", *scores, spent])
    headings = ["PSNR, dB", "learning rate", *SCORES.values(), "seconds"]
    rates = sorted({row["settings"].get("learning_rate", 0) for row in rows} - {0})
    finals = {
        (row["settings"]["activation"], row["settings"].get("learning_rate")): row["psnr"]["image"]
        for row in rows
    }
    grid = [
        [name, *(markdown.number(finals[name, rate], 2) for rate in rates)] for name in ACTIVATIONS
    ]
    about = (__doc__ or "").partition("\n\n")[2]
    return "\n".join(
        [
            about,
            markdown.table(headings, lines),
            "The image's PSNR in dB at every learning rate:\n",
            markdown.table(["learning rate", *(f"{rate:g}" for rate in rates)], grid),
            markdown.origin("cameraman", rows),
        ]
    )


@click.command()
def main() -> None:
    """Make the record and its picture anew, and print what it has."""
    store.make("cameraman", tasks(), click.echo)
    click.echo(section())


if __name__ == "__main__":
    main()
