"""What a bit is worth: the Lagrangian multiplier of a fit."""

__all__ = ["coordinate_lambda"]

_PRICE = 0.5


def coordinate_lambda(mse: float, bits: float) -> float:
    """Return how much mean squared error a bit is worth in a file of weights alone.

    Such a codec can also spend a bit on a larger network. On COIN's own curve (arXiv 2103.03123,
    Kodak: .307 bpp at 26.41 dB, .611 at 28.41) twice the bits gain 2 dB, that is D ~ R**-0.66, so
    -dD/dR = 0.66 D / R. Quantisation trades at a little less than this price: at 0.5 the file
    stays within 0.15 dB of the real weights, for a tenth of a bit a weight (docs/EXPERIMENTS.md).
    """
    return _PRICE * mse / bits
