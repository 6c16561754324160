"""What a bit is worth: the Lagrangian multiplier of a fit."""

__all__ = ["MOST_BITS_PER_WEIGHT", "coordinate_lambda", "quality_lambda", "to_signed", "to_unit"]

_PRICE = 0.33
MOST_BITS_PER_WEIGHT = 6.85
"""Where `coordinate_lambda` would spend more than this on a weight, a bit is worth more."""

_RANGE = 2.0
"""How much wider [-1, 1], in which a fit works, is than [0, 1], in which errors are given."""


def to_signed(error: float) -> float:
    """Return a squared error over [-1, 1], or a price in it, given that over [0, 1]."""
    return error * _RANGE**2


def to_unit(error: float) -> float:
    """Return a squared error over [0, 1], or a price in it, given that over [-1, 1]."""
    return error / _RANGE**2


def coordinate_lambda(mse: float, bits: float) -> float:
    """Return how much mean squared error a bit is worth in a file of weights alone.

    Such a codec can also spend a bit on a larger network. On COIN's own curve (arXiv 2103.03123,
    Kodak: .307 bpp at 26.41 dB, .611 at 28.41) twice the bits gain 2 dB, that is D ~ R**-0.66, so
    -dD/dR = 0.66 D / R. Quantisation trades at half this price, which keeps the file close to the
    real weights and costs hardly anything: the optimum is flat (docs/EXPERIMENTS.md).
    """
    return _PRICE * mse / bits


def quality_lambda(quality: float) -> float:
    """Return what a bit per pixel is worth at a quality, in mean squared error over [0, 1].

    0.001 at 50, where an ordinary photograph takes about half a bit per pixel, and half as much
    for every 8 more.
    """
    return float(1e-3 * 2 ** ((50 - quality) / 8))
