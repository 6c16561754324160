"""Is all of a JPEG there? Its Huffman codes are walked through, and nothing is decoded.

libjpeg fills up with grey what is missing, or goes on after damage, with a warning that neither
Pillow nor imagecodecs passes on. ITU-T T.81 has the codes (annexes F and G); the names are its own.
"""

import re
import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from siren_codec.errors import PictureError

__all__ = ["fault", "is_jpeg", "lost_metadata"]

_SOF_HUFFMAN, _SOF_PROGRESSIVE = (0xC0, 0xC1, 0xC2), 0xC2
_APP1, _APP2 = 0xE1, 0xE2
_ICC, _XMP_EXTENSION = b"ICC_PROFILE\0", b"http://ns.adobe.com/xmp/extension/\0"
_DHT, _EOI, _SOS, _DRI = 0xC4, 0xD9, 0xDA, 0xDD
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
_RESTARTS = range(0xD0, 0xD8)
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_PEEK = 16
"""Bits of the longest code."""
_ONE_BIT = [1] * (1 << _PEEK)
_PADDING = bytes(8192)
"""More than the codes of one MCU take: where an interval ends is looked at after each."""
_MOST_SCANS = 500

Stepper = Callable[["Table", int, range], int]
"""Given an interval's bits (24 from each byte on), their number, and the units: where it ends."""
Table = Sequence[int]
"""For the next 16 bits: the bits of the code and of what follows it, times 256, and the symbol."""


class _FaultError(Exception):
    """The codes are not those of all the blocks; the message says why."""


@dataclass(frozen=True)
class _Component:
    h: int
    v: int
    across: int
    down: int
    """Blocks, of a scan of this component alone."""


@dataclass
class _State:
    """What the markers before a scan have said."""

    components: dict[int, _Component] = field(default_factory=dict)
    mcus: int = 0
    progressive: bool = False
    tables: dict[int, Table] = field(default_factory=dict)
    restart: int = 0
    masks: dict[int, list[int]] = field(default_factory=dict)
    """By component: a bit for each coefficient of each block that is not 0 (progressive)."""
    missing_bits: dict[tuple[int, int], int] = field(default_factory=dict)
    """By component and coefficient: how many of its bits no scan has brought yet."""


@dataclass(frozen=True)
class _Scan:
    components: tuple[tuple[int, int, int], ...]
    """Each one's id and its two tables."""
    first: int
    last: int
    high: int
    low: int


def is_jpeg(head: bytes) -> bool:
    """Tell whether a file that begins so is JPEG."""
    return head.startswith(b"\xff\xd8\xff")


def fault(data: bytes) -> str:
    """Return why pixels of a JPEG are missing or damaged; "" if none are, or if nobody can tell.

    Nobody can of arithmetic coding, and of codes that damage made other valid ones.
    """
    try:
        return _walk(data)
    except _FaultError as error:
        return str(error)
    except (IndexError, KeyError, ValueError, struct.error):
        return "its segments are damaged"


def lost_metadata(data: bytes) -> tuple[str, ...]:
    """Return notices of metadata that Pillow leaves out without saying so."""
    notices, numbers, count, at = list[str](), set[int](), 0, 2
    while data[at : at + 1] == b"\xff" and data[at + 1] not in (_SOS, _EOI):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if data[at + 1] == _APP2 and segment.startswith(_ICC) and len(segment) > len(_ICC) + 2:
            numbers.add(segment[len(_ICC)])
            count = max(count, segment[len(_ICC) + 1])
        if data[at + 1] == _APP1 and segment.startswith(_XMP_EXTENSION) and not notices:
            notices.append("dropped the extension of the XMP, beyond its first 64 KB")
        at += 2 + max(length, 2)
    if numbers and numbers != set(range(1, count + 1)):
        notices.append("dropped the ICC, of which parts are missing")
    return tuple(notices)


def _walk(data: bytes) -> str:
    state, scans, at = _State(), 0, 2
    while match := _MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker == _EOI:
            break
        if marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        segment, at = data[at + 2 : at + length], at + max(length, 2)
        if marker in _SOF_HUFFMAN:
            _start_frame(state, marker, segment)
        elif marker in range(0xC0, 0xD0) and marker not in (_DHT, 0xC8, 0xCC):
            return ""
        elif marker == _DHT:
            _define_tables(state, segment)
        elif marker == _DRI:
            state.restart = int.from_bytes(segment[:2], "big")
        elif marker == _SOS:
            scans += 1
            if scans > _MOST_SCANS:
                raise PictureError(f"expected a JPEG of at most {_MOST_SCANS} scans")
            intervals, at = _intervals(data, at)
            _walk_scan(state, segment, intervals)
    return "scans are missing" if any(state.missing_bits.values()) else ""


def _start_frame(state: _State, marker: int, segment: bytes) -> None:
    _, height, width, count = struct.unpack_from(">BHHB", segment)
    places = range(6, 6 + 3 * count, 3)
    parts = [(segment[n], segment[n + 1] >> 4, segment[n + 1] & 15) for n in places]
    h_most, v_most = max(h for _, h, _ in parts), max(v for _, _, v in parts)
    for id_, h, v in parts:
        across, down = -(-width * h // (8 * h_most)), -(-height * v // (8 * v_most))
        state.components[id_] = _Component(h, v, across, down)
        state.missing_bits |= {(id_, k): 16 for k in range(64)}
    state.mcus = -(-width // (8 * h_most)) * -(-height // (8 * v_most))
    state.progressive = marker == _SOF_PROGRESSIVE


def _define_tables(state: _State, segment: bytes) -> None:
    at = 0
    while at + 17 <= len(segment):
        counts = segment[at + 1 : at + 17]
        symbols = segment[at + 17 : at + 17 + sum(counts)]
        state.tables[segment[at]] = _table(counts, symbols)
        at += 17 + sum(counts)


def _table(counts: bytes, symbols: bytes) -> Table:
    """Return the entries of all 16 bits, 0 where no code begins so."""
    entries = np.zeros(1 << _PEEK, np.uint32)
    start, index = 0, 0
    for length, count in enumerate(counts, 1):
        size = 1 << (_PEEK - length)
        for symbol in symbols[index : index + count]:
            entries[start : start + size] = length << 8 | symbol
            start += size
        index += count
    return list(map(int, entries))


def _dc_steps(table: Table) -> Table:
    """Return a table whose entries are the bits of a code and of the difference behind it."""
    return [entry and (entry >> 8) + (entry & 255) for entry in table]


def _ac_steps(table: Table) -> Table:
    """Return a table of codes with the bits behind them, times 128, and of coefficients passed.

    At the end of a block these are 64.
    """
    entries = np.array(table, np.int64)
    length, run, size = entries >> 8, entries >> 4 & 15, entries & 15
    passed = np.where(size, run + 1, np.where(run == 15, 16, 64))
    return list(map(int, np.where(entries, (length + size) << 7 | passed, 0)))


def _intervals(data: bytes, start: int) -> tuple[list[bytes], int]:
    """Return the bytes between a scan's restart markers, and where the scan ends."""
    intervals, at = [], start
    for match in _MARKER.finditer(data, start):
        intervals.append(data[at : match.start()].replace(b"\xff\x00", b"\xff"))
        if match[1][0] not in _RESTARTS:
            return intervals, match.start()
        if match[1][0] != _RESTARTS[(len(intervals) - 1) % 8]:
            raise _FaultError("its restart markers are out of order")
        at = match.end()
    intervals.append(data[at:].replace(b"\xff\x00", b"\xff"))
    return intervals, len(data)


def _walk_scan(state: _State, segment: bytes, intervals: Sequence[bytes]) -> None:
    count = segment[0]
    parts = tuple(
        (segment[n], segment[n + 1] >> 4, segment[n + 1] & 15) for n in range(1, 1 + 2 * count, 2)
    )
    first, last, precision = segment[1 + 2 * count : 4 + 2 * count]
    scan = _Scan(parts, first, last, precision >> 4, precision & 15)
    alone = state.components[parts[0][0]]
    units = alone.across * alone.down if count == 1 else state.mcus
    each = state.restart or units
    if -(-units // each) != len(intervals):
        raise _FaultError(
            f"expected {-(-units // each)} intervals in a scan, found {len(intervals)}"
        )
    step = _stepper(state, scan)
    for index, data in enumerate(intervals):
        padded = np.frombuffer(data + _PADDING, np.uint8).astype(np.uint32)
        windows = array("I", (padded[:-2] << 16 | padded[1:-1] << 8 | padded[2:]).tobytes())
        at = step(windows, 8 * len(data), range(index * each, min(units, (index + 1) * each)))
        if 8 * len(data) - at >= 8:
            raise _FaultError(f"{len(data) - -(-at // 8)} bytes of its scan are left over")
    band = range(first, last + 1) if state.progressive else range(64)
    for id_, k in ((id_, k) for id_, _, _ in parts for k in band):
        if scan.high and state.missing_bits[id_, k] != scan.high:
            raise _FaultError("its scans are out of order")
        state.missing_bits[id_, k] = scan.low if state.progressive else 0


def _stepper(state: _State, scan: _Scan) -> Stepper:
    """Return what walks through the units of an interval: MCUs, or blocks of one component."""
    if scan.first:
        id_, _, table = scan.components[0]
        component = state.components[id_]
        masks = state.masks.setdefault(id_, [0] * (component.across * component.down))
        codes = state.tables[0x10 | table]
        return (_AcRefined if scan.high else _AcFirst)(codes, masks, scan.first, scan.last)
    blocks = []
    for id_, dc, ac in scan.components:
        component = state.components[id_]
        count = component.h * component.v if len(scan.components) > 1 else 1
        codes_dc = _ONE_BIT if scan.high else _dc_steps(state.tables[dc])
        codes_ac = None if state.progressive else _ac_steps(state.tables[0x10 | ac])
        blocks += [(codes_dc, codes_ac)] * count
    return _Whole(blocks)


@dataclass(frozen=True)
class _Whole:
    """Blocks of a sequential scan, or DC alone: of a first scan, or a bit each of a later one."""

    blocks: Sequence[tuple[Table, Table | None]]

    def __call__(self, windows: Table, end: int, units: range) -> int:
        at = 0
        for _ in units:
            for dc, ac in self.blocks:
                entry = dc[windows[at >> 3] >> 8 - (at & 7) & 65535]
                if not entry:
                    raise _no_code(at, end)
                at += entry
                k = 1 if ac else 64
                while k < 64:
                    assert ac
                    entry = ac[windows[at >> 3] >> 8 - (at & 7) & 65535]
                    if not entry:
                        raise _no_code(at, end)
                    at += entry >> 7
                    k += entry & 127
            if at > end:
                raise _no_code(at, end)
        return at


@dataclass(frozen=True)
class _AcFirst:
    """AC coefficients of a progressive picture, of which no scan has told before."""

    codes: Table
    masks: list[int]
    first: int
    last: int

    def __call__(self, windows: Table, end: int, units: range) -> int:
        at, unit = 0, units.start
        while unit < units.stop:
            k, mask, skip = self.first, 0, 1
            while k <= self.last:
                entry = self.codes[windows[at >> 3] >> 8 - (at & 7) & 65535]
                if not entry:
                    raise _no_code(at, end)
                at += entry >> 8
                run, size = entry >> 4 & 15, entry & 15
                if size:
                    k += run
                    mask |= 1 << k
                    at += size
                elif run < 15:
                    # This block ends here, and so do others behind it.
                    skip = (1 << run) + _bits(windows, at, run)
                    at += run
                    break
                else:
                    k += 15
                k += 1
            if at > end:
                raise _no_code(at, end)
            self.masks[unit] |= mask
            unit += skip
        return at


@dataclass(frozen=True)
class _AcRefined:
    """One more bit of AC coefficients that are not 0, and codes of those that become it."""

    codes: Table
    masks: list[int]
    first: int
    last: int

    def __call__(self, windows: Table, end: int, units: range) -> int:
        at, skip = 0, 0
        band = (1 << self.last + 1) - 1
        for unit in units:
            mask, k = self.masks[unit], self.first
            while k <= self.last and not skip:
                entry = self.codes[windows[at >> 3] >> 8 - (at & 7) & 65535]
                if not entry:
                    raise _no_code(at, end)
                at += entry >> 8
                run, size = entry >> 4 & 15, entry & 15
                if not size and run < 15:
                    skip = (1 << run) + _bits(windows, at, run)
                    at += run
                    break
                at += size
                while k <= self.last:
                    if mask >> k & 1:
                        at += 1
                    elif run:
                        run -= 1
                    else:
                        break
                    k += 1
                if size and k <= self.last:
                    self.masks[unit] |= 1 << k
                k += 1
            if skip:
                at += ((mask & band) >> k).bit_count()
                skip -= 1
            if at > end:
                raise _no_code(at, end)
        return at


def _bits(windows: Table, at: int, count: int) -> int:
    """Return the next bits, 14 at most, as a number."""
    return windows[at >> 3] >> 24 - (at & 7) - count & (1 << count) - 1


def _no_code(at: int, end: int) -> _FaultError:
    return _FaultError(
        "a scan ends too early" if at > end - _PEEK else "a scan holds no valid code"
    )
