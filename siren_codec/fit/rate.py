"""What a bit is worth: the Lagrangian multiplier of a fit."""

__all__ = ["coordinate_lambda"]

_SLOPE = 0.66
_WON_BACK = 0.5


def coordinate_lambda(mse: float, bits: float) -> float:
    """Return how much mean squared error a bit is worth in a file of weights alone.

    Such a codec can also spend a bit on a larger network. On COIN's own curve (arXiv 2103.03123,
    Kodak: .307 bpp at 26.41 dB, .611 at 28.41) twice the bits gain 2 dB, that is D ~ R**-0.66, so
    -dD/dR = 0.66 D / R. Quantisation should trade at the same price. Its distortion counts half,
    for the fit with rounded weights wins back about the other half.
    """
    return _SLOPE / _WON_BACK * mse / bits
