"""A small set of `python -m tests.load_pictures --differential`."""

import differential
import pytest


@pytest.mark.parametrize(
    "case", list(differential.cases(full=False)), ids=lambda case: str(case.name)
)
def test_a_picture_of_another_library_is_read_as_it_was_written(case: differential.Case) -> None:
    assert differential.check(case) == ""


def test_a_difference_is_told_with_both_values() -> None:
    case = next(differential.cases(full=False))
    expected = case.expected.copy()
    expected[1, 2] ^= 255
    wrong = differential.Case(case.name, case.write, expected)
    assert differential.check(wrong).startswith(f"expected {expected[1, 2, 0]} at (1, 2, 0), found")
    assert differential.check(differential.Case("", lambda: b"no", expected)).startswith("refused")
