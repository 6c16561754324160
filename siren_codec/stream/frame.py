"""Bytes <-> one zstd frame of which every byte is accounted for."""

import zstandard

from siren_codec.errors import FormatError

__all__ = ["compress", "decompress"]

_LEVEL = 19


def compress(raw: bytes) -> bytes:
    """Return a frame that declares its size, without checksum."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(raw)


def decompress(frame: bytes, length: int) -> bytes:
    """Return the content of one whole zstd frame that declares exactly `length` bytes.

    The declaration is checked before anything is allocated: zstandard's own `max_output_size` is
    ignored for a frame that declares its size.
    """
    try:
        declared = zstandard.get_frame_parameters(frame).content_size
        if declared != length or length == 0:
            raise FormatError(f"zstd: expected a frame of {length} bytes, found one of {declared}")
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        raw: bytes = decompressor.decompress(
            frame, read_across_frames=False, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise FormatError(f"zstd: {error}") from None
    if len(raw) != length:
        raise FormatError(f"zstd: expected {length} bytes, found {len(raw)}")
    _check_frame(frame)
    return raw


def _check_frame(frame: bytes) -> None:
    """Refuse what a frame may hold beside its content: RFC 8878, sections 3.1.1.1 and 3.1.1.2."""
    parameters = zstandard.get_frame_parameters(frame)
    if parameters.has_checksum or parameters.dict_id:
        raise FormatError("zstd: expected a frame without checksum and dictionary")
    position, last = zstandard.frame_header_size(frame), False
    while not last:
        header = int.from_bytes(frame[position : position + 3], "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        if size == 0:
            raise FormatError("zstd: expected blocks that hold something, found an empty one")
        position += 3 + (1 if kind == 1 else size)
