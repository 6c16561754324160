"""The inner loops of matrix products, as vector instructions (LLVM).

numba's compiler turns plain loops into vector instructions, but does not keep a block of results in
registers: that takes a product from a third of the processor's speed to nine tenths of it. So these
loops are written out, in LLVM's language, for vectors of LANES numbers: whatever the processor has
makes them up. They read and write flat float32 arrays, from element `at` on, rows `stride` apart;
an array that is written overlaps no other.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np.arrayobj import make_array

from siren_codec.fit.kernels.compiler import intrinsic
from siren_codec.fit.kernels.layout import INS, LANES, OUTS, PANEL, TAPS

__all__ = ["blend", "outer_block", "product_block", "spread"]

_FLOAT = ir.FloatType()
_INT = ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)

Value = Any
"""A value of llvmlite's."""


class _Emitter:
    """Writes instructions on vectors of float32."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context = context
        self.builder = builder
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        name = f"llvm.fmuladd.v{LANES}f32"
        self._fma = cgutils.get_or_insert_function(builder.module, kind, name)

    def pointer(self, kind: Any, array: Value, at: Value) -> Value:
        """Point at an element of an array."""
        return self.offset(make_array(kind)(self.context, self.builder, array).data, at)

    def offset(self, pointer: Value, count: Value) -> Value:
        """Point at an element so many further on."""
        return self.builder.gep(pointer, [count], source_etype=_FLOAT)

    def rows(self, pointer: Value, stride: Value, count: int) -> list[Value]:
        """Point at the first elements of rows."""
        return [
            self.offset(pointer, self.builder.mul(stride, integer(row))) for row in range(count)
        ]

    def vectors(self, pointer: Value, count: int) -> list[Value]:
        """Load vectors that lie one after the other."""
        return [self.load(self.offset(pointer, integer(LANES * v))) for v in range(count)]

    def load(self, pointer: Value) -> Value:
        """Load a vector from wherever it lies."""
        return self.builder.load(self._wide(pointer), align=4, typ=_VECTOR)

    def store(self, vector: Value, pointer: Value) -> None:
        """Store a vector, wherever that is."""
        self.builder.store(vector, self._wide(pointer), align=4)

    def splat(self, pointer: Value) -> Value:
        """Load a number into all lanes of a vector."""
        number = self.builder.load(pointer, typ=_FLOAT)
        none = ir.Constant(_VECTOR, ir.Undefined)
        first = self.builder.insert_element(none, number, ir.Constant(ir.IntType(32), 0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(first, none, places)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a b + c."""
        return self.builder.call(self._fma, [a, b, c])

    def folded(self, vectors: list[Value]) -> Value:
        """Return a vector of the sums of vectors: of number k in the lanes k, k + count, ...

        Two vectors become one of which either has every other group of lanes; and again.
        """
        group = 1
        while len(vectors) > 1:
            blocks = range(0, LANES, 2 * group)
            first = [
                b + lane
                for b in blocks
                for half in (0, LANES)
                for lane in range(half, half + group)
            ]
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [
                self.builder.fadd(
                    self._shuffle(a, b, first), self._shuffle(a, b, [p + group for p in first])
                )
                for a, b in pairs
            ]
            group *= 2
        return vectors[0]

    def _shuffle(self, a: Value, b: Value, places: list[int]) -> Value:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), places)
        return self.builder.shuffle_vector(a, b, mask)

    def loop(
        self,
        count: Value,
        step: int,
        start: list[Value],
        body: Callable[[Value, list[Value]], list[Value]],
    ) -> list[Value]:
        """Carry vectors through a loop of index 0, step, ... below a count, which is above 0."""
        builder = self.builder
        before = builder.block
        inside, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.branch(inside)
        builder.position_at_end(inside)
        index = builder.phi(_INT)
        index.add_incoming(integer(0), before)
        carried = [builder.phi(_VECTOR) for _ in start]
        for value, first in zip(carried, start, strict=True):
            value.add_incoming(first, before)
        found = body(index, carried)
        following = builder.add(index, integer(step))
        index.add_incoming(following, inside)
        for value, last in zip(carried, found, strict=True):
            value.add_incoming(last, inside)
        builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
        builder.position_at_end(after)
        return found

    def _wide(self, pointer: Value) -> Value:
        return self.builder.bitcast(pointer, _VECTOR.as_pointer())


def integer(value: int) -> Value:
    """Return a constant."""
    return ir.Constant(_INT, value)


@intrinsic
def product_block(
    typing: Any,  # noqa: ARG001
    out: Any,
    out_at: Any,  # noqa: ARG001
    out_stride: Any,  # noqa: ARG001
    weight: Any,
    weight_at: Any,  # noqa: ARG001
    out_step: Any,  # noqa: ARG001
    in_step: Any,  # noqa: ARG001
    bias: Any,
    bias_at: Any,  # noqa: ARG001
    x: Any,
    x_at: Any,  # noqa: ARG001
    x_stride: Any,  # noqa: ARG001
    ins: Any,  # noqa: ARG001
) -> Any:
    """out[o, p] = bias[o] + sum over i < ins of weight[o, i] x[i, p], for OUTS rows of a panel.

    Weights lie `out_step` apart by o, `in_step` by i.
    """
    index = types.int64
    signature = types.void(
        *(out, index, index),
        *(weight, index, index, index),
        *(bias, index),
        *(x, index, index),
        index,
    )

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Value:
        emit = _Emitter(context, builder)
        out, out_at, out_stride, weight, weight_at, out_step, in_step = args[:7]
        bias, bias_at, x, x_at, x_stride, ins = args[7:]
        kinds = signature.args
        weights = emit.rows(emit.pointer(kinds[3], weight, weight_at), out_step, OUTS)
        inputs = emit.pointer(kinds[9], x, x_at)
        biases = emit.rows(emit.pointer(kinds[7], bias, bias_at), integer(1), OUTS)
        columns = PANEL // LANES

        def body(i: Value, sums: list[Value]) -> list[Value]:
            row = emit.vectors(emit.offset(inputs, builder.mul(i, x_stride)), columns)
            place = builder.mul(i, in_step)
            found = []
            for o in range(OUTS):
                factor = emit.splat(emit.offset(weights[o], place))
                of_row = sums[o * columns : (o + 1) * columns]
                found += [emit.fma(factor, a, b) for a, b in zip(row, of_row, strict=True)]
            return found

        first = [emit.splat(pointer) for pointer in biases for _ in range(columns)]
        found = emit.loop(ins, 1, first, body)
        for o, row in enumerate(emit.rows(emit.pointer(kinds[0], out, out_at), out_stride, OUTS)):
            for v in range(columns):
                emit.store(found[o * columns + v], emit.offset(row, integer(LANES * v)))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def outer_block(
    typing: Any,  # noqa: ARG001
    sums: Any,
    sums_at: Any,  # noqa: ARG001
    g: Any,
    g_at: Any,  # noqa: ARG001
    g_stride: Any,  # noqa: ARG001
    x: Any,
    x_at: Any,  # noqa: ARG001
    x_stride: Any,  # noqa: ARG001
    points: Any,  # noqa: ARG001
) -> Any:
    """sums[o, i] += the sum of g[o, p] x[i, p] over p < points, for OUTS rows of g and INS of x.

    The sums take the lanes of one vector, one after the other; where there are more lanes, each
    has a part in several, OUTS * INS apart.
    """
    index = types.int64
    signature = types.void(sums, index, g, index, index, x, index, index, index)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Value:
        emit = _Emitter(context, builder)
        sums, sums_at, g, g_at, g_stride, x, x_at, x_stride, points = args
        kinds = signature.args
        left = emit.rows(emit.pointer(kinds[2], g, g_at), g_stride, OUTS)
        right = emit.rows(emit.pointer(kinds[5], x, x_at), x_stride, INS)
        place = emit.pointer(kinds[0], sums, sums_at)
        nothing = ir.Constant(_VECTOR, [0.0] * LANES)

        def body(p: Value, carried: list[Value]) -> list[Value]:
            inputs = [emit.load(emit.offset(row, p)) for row in right]
            found = []
            for o in range(OUTS):
                factor = emit.load(emit.offset(left[o], p))
                of_row = carried[o * INS : (o + 1) * INS]
                found += [emit.fma(factor, a, b) for a, b in zip(inputs, of_row, strict=True)]
            return found

        found = emit.loop(points, LANES, [nothing] * (OUTS * INS), body)
        emit.store(builder.fadd(emit.load(place), emit.folded(found)), place)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def blend(
    typing: Any,  # noqa: ARG001
    out: Any,
    out_at: Any,  # noqa: ARG001
    cells: Any,
    cells_at: Any,  # noqa: ARG001
    width: Any,  # noqa: ARG001
    taps: Any,
    weights: Any,
    taps_at: Any,  # noqa: ARG001
) -> Any:
    """out[r] = sum over 6 taps of weights[t] cells[taps[t], r], for r < width, rows of that width.

    The width is a multiple of LANES; the taps and their weights begin at `taps_at`.
    """
    index = types.int64
    signature = types.void(out, index, cells, index, index, taps, weights, index)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Value:
        emit = _Emitter(context, builder)
        out, out_at, cells, cells_at, width, taps, weights, taps_at = args
        kinds = signature.args
        rows, factors = _tapped(
            *(emit, kinds[2:], cells, cells_at, width, taps, weights, taps_at),
        )
        place = emit.pointer(kinds[0], out, out_at)

        def body(r: Value, _: list[Value]) -> list[Value]:
            total = ir.Constant(_VECTOR, [0.0] * LANES)
            for row, factor in zip(rows, factors, strict=True):
                total = emit.fma(factor, emit.load(emit.offset(row, r)), total)
            emit.store(total, emit.offset(place, r))
            return []

        emit.loop(width, LANES, [], body)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def spread(
    typing: Any,  # noqa: ARG001
    cells: Any,
    cells_at: Any,  # noqa: ARG001
    width: Any,  # noqa: ARG001
    taps: Any,
    weights: Any,
    taps_at: Any,  # noqa: ARG001
    gradient: Any,
    gradient_at: Any,  # noqa: ARG001
) -> Any:
    """cells[taps[t], r] += weights[t] gradient[r] for 6 taps, r < width: the adjoint of `blend`."""
    index = types.int64
    signature = types.void(cells, index, index, taps, weights, index, gradient, index)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Value:
        emit = _Emitter(context, builder)
        cells, cells_at, width, taps, weights, taps_at, gradient, gradient_at = args
        kinds = signature.args
        rows, factors = _tapped(
            *(emit, (kinds[0], *kinds[1:]), cells, cells_at, width, taps, weights, taps_at),
        )
        place = emit.pointer(kinds[6], gradient, gradient_at)

        def body(r: Value, _: list[Value]) -> list[Value]:
            vector = emit.load(emit.offset(place, r))
            for row, factor in zip(rows, factors, strict=True):
                # One after the other: beyond an edge, taps are the same cell.
                cell = emit.offset(row, r)
                emit.store(emit.fma(factor, vector, emit.load(cell)), cell)
            return []

        emit.loop(width, LANES, [], body)
        return context.get_dummy_value()

    return signature, generate


def _tapped(
    emit: _Emitter,
    kinds: Any,
    cells: Value,
    cells_at: Value,
    width: Value,
    taps: Value,
    weights: Value,
    taps_at: Value,
) -> tuple[list[Value], list[Value]]:
    """Point at the rows of 6 taps, and load their weights into vectors."""
    builder = emit.builder
    base = emit.pointer(kinds[0], cells, cells_at)
    places = make_array(kinds[3])(emit.context, builder, taps).data
    factors = emit.pointer(kinds[4], weights, taps_at)
    rows = []
    for t in range(TAPS):
        place = builder.gep(places, [builder.add(taps_at, integer(t))], source_etype=_INT)
        rows.append(emit.offset(base, builder.mul(builder.load(place, typ=_INT), width)))
    return rows, [emit.splat(emit.offset(factors, integer(t))) for t in range(TAPS)]
