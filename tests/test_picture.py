"""Arrays and Pictures."""

import numpy as np
import numpy.typing as npt
import pytest
from pictures import MAX_PIXELS, noise

from siren_codec.errors import LimitError, PictureError, UsageError
from siren_codec.picture import from_array
from siren_codec.picture.picture import broken


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 2), (3, 4, 3), (3, 4, 4), (1, 1)])
def test_arrays_that_are_pictures(dtype: type, shape: tuple[int, ...]) -> None:
    pixels = noise(shape, dtype)
    picture = from_array(pixels, max_pixels=12)
    assert picture.pixels.shape == (*shape, 1)[:3]
    assert picture.pixels.dtype == dtype
    assert picture.pixels.flags.c_contiguous
    assert picture.notices == ()
    assert dict(picture.metadata) == {}
    np.testing.assert_array_equal(picture.pixels.reshape(shape), pixels)


def test_an_array_need_not_be_contiguous() -> None:
    pixels = noise((8, 10, 3))[::-2, ::3]
    picture = from_array(pixels, max_pixels=MAX_PIXELS)
    assert picture.pixels.flags.c_contiguous
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4), np.float32),
        np.zeros((3, 4), np.int32),
        np.zeros((3, 4), np.int8),
        np.zeros((3, 4), bool),
        [[1, 2], [3, 4]],
        [["a"]],
    ],
)
def test_arrays_of_another_type(array: npt.ArrayLike) -> None:
    with pytest.raises(UsageError, match="pixels: expected uint8 or uint16, found"):
        from_array(array, max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("shape", [(), (5,), (3, 4, 0), (3, 4, 5), (1, 3, 4, 3)])
def test_arrays_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"pixels: expected \(height, width\) or"):
        from_array(np.zeros(shape, np.uint8), max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0, 3)])
def test_arrays_without_pixels(shape: tuple[int, ...]) -> None:
    with pytest.raises(PictureError, match="expected at least 1x1 pixels"):
        from_array(np.zeros(shape, np.uint8), max_pixels=MAX_PIXELS)


def test_arrays_beyond_max_pixels() -> None:
    with pytest.raises(LimitError, match="4x3: expected at most 11 pixels"):
        from_array(np.zeros((3, 4, 3), np.uint8), max_pixels=11)


def test_an_array_may_be_of_either_byte_order() -> None:
    pixels = noise((3, 4), np.uint16)
    picture = from_array(pixels.astype(pixels.dtype.newbyteorder()), max_pixels=MAX_PIXELS)
    assert picture.pixels.dtype.isnative
    np.testing.assert_array_equal(picture.pixels[:, :, 0], pixels)


def test_a_ragged_list_is_no_array() -> None:
    with pytest.raises(UsageError):
        from_array([[1, 2], [3]], max_pixels=MAX_PIXELS)


def test_what_a_library_says_in_lines_is_one() -> None:
    assert str(broken(ValueError("a (b\n)"))) == "broken picture: a (b )"
    assert str(broken(IndexError())) == "broken picture: IndexError"
