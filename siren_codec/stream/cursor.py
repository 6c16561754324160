"""Bytes read one after another, and the integers of variable length among them."""

from siren_codec.errors import FormatError

__all__ = ["Cursor", "pack_varint"]


class Cursor:
    """A place in the bytes; reading past their end is a FormatError."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self.data) - self.position

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if count > self.left:
            raise FormatError(f"expected {count} more bytes, found {self.left}")
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """Read a LEB128 integer below 2**32, in its shortest form."""
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                raise FormatError("expected an integer of at most 5 bytes, found a longer one")
        if value >= 1 << 32 or (byte == 0 and shift > 0):
            raise FormatError("expected an integer below 2**32 in its shortest form")
        return value


def pack_varint(value: int) -> bytes:
    """Return a non-negative integer in LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
