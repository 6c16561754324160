"""How long a fit of grids runs: how often it goes over the picture, without torch."""

__all__ = ["grid_visits", "parts"]

_VISITS = (5, 24, 95, 225, 450, 850, 1400, 2900, 4400)
"""How many times an effort goes over a picture of `_USUAL_PIXELS`."""
_ENOUGH_VISITS = 100
"""A small picture is seen more often than the effort asks for, up to these."""
_USUAL_PIXELS = 768 * 512
_HASTE = 0.4
"""Visits fall by this power of the pixels: time grows by what it leaves of 1."""
_PART_PIXELS = 3 << 14
"""Pixels of a part, at least, where parts of a picture take turns: half a crop of 384 x 256."""
_MOST_PARTS = 4
"""More of them help little, and cost more: all grids move at each step."""


def grid_visits(effort: int, pixels: int) -> int:
    """Return how many times an effort goes over a picture.

    A large one is seen fewer times, for its fit would take hours; a small one, whose fit takes no
    time, as often as the networks need to adapt themselves.
    """
    visits, size = _VISITS[effort - 1], pixels / _USUAL_PIXELS
    if size > 1:
        seldom: float = size**_HASTE
        return max(3, round(visits / seldom))
    return max(visits, min(_ENOUGH_VISITS, round(visits / size)))


def parts(pixels: int) -> int:
    """Return how many parts of a picture take turns, a step each."""
    return min(_MOST_PARTS, max(1, pixels // _PART_PIXELS))
