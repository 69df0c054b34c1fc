"""Explicit vectors for kernels: sums that stay in registers.

Loops that LLVM vectorises by itself store a sum and load it again after every few terms.
Here the sums of many samples have names, as a tuple of vectors, and stay in registers over
all terms. A vector is a cache line, 16 float32 or 8 float64, which LLVM splits into what
the machine has: one register with AVX-512, two with AVX2, four with SSE2 or NEON.

Arrays are C-contiguous with rows of whole vectors. Each function is plain Python on NumPy
arrays, which is what runs where JIT is off; compiled code gets LLVM's own vector
instructions in its place. These look at no bounds, unless ``NUMBA_BOUNDSCHECK`` is set.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils, errors
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, overload, register_model

from sksparse_mlp.core.compilation import NOT_FROM_C

# Bytes of a vector, which are a cache line.
LINE = 64
CHECKS_BOUNDS = bool(config.BOUNDSCHECK)  # type: ignore[attr-defined]
_INLINED: Any = {"forceinline": True} | NOT_FROM_C


def features() -> set[str]:
    """The instructions that Numba compiles for: the processor's, or what it was told."""
    _, _, names = cpu_target.target_context.codegen().magic_tuple()
    return {name[1:] for name in names.split(",") if name.startswith("+")}


def description() -> str:
    """The registers that vectors are in, and the instructions that they come with."""
    known = {"avx512f": 512, "avx": 256, "neon": 128, "sse2": 128}
    names = [name for name in known if name in features()]
    if config.DISABLE_JIT or not names:  # type: ignore[attr-defined]
        return "none: the portable code"
    return f"{known[names[0]]} bits ({names[0]})"


# Vectors whose sums fit the registers beside what is added to them: these are 32 of one
# vector each, or 16 of half a vector.
N_TOTALS = 8 if "avx512f" in features() else 4


def lanes(array):
    """How many of the array's values are a vector."""
    return LINE // array.itemsize


def lanes_of(value):
    """How many of such values are a vector."""
    return LINE // np.asarray(value).itemsize


def splat(value):
    """A vector that repeats one value."""
    return np.repeat(value, lanes_of(value))


def load(array, row, column):
    """The vector of ``array[row]`` from ``column`` on."""
    check(array, row, column, 1)
    return array[row, column : column + lanes(array)].copy()


def store(array, row, column, vectors):
    """Write a tuple of vectors to ``array[row]`` from ``column`` on."""
    check(array, row, column, len(vectors))
    array[row, column : column + len(vectors) * lanes(array)] = np.concatenate(vectors)


def add_scaled(totals, factor, array, row, column):
    """Totals plus ``factor`` times as many vectors of ``array[row]`` from ``column`` on.

    Each product and sum is rounded once, where the machine can.
    """
    check(array, row, column, len(totals))
    starts = range(column, column + len(totals) * lanes(array), lanes(array))
    terms = (factor * load(array, row, start) for start in starts)
    return tuple(total + term for total, term in zip(totals, terms, strict=True))


def add_products(totals, vectors, array, rows, column):
    """Totals plus products of the vectors with those of each row from ``column`` on.

    There is one total per row, whose lanes are partial sums.
    """
    for k, vector in enumerate(vectors):
        start = column + k * lanes(array)
        terms = [vector * load(array, row, start) for row in rows]
        totals = tuple(total + term for total, term in zip(totals, terms, strict=True))
    return totals


def times(vectors, factor, array, row, column):
    """The vectors times ``factor``, times those of ``array[row]`` from ``column`` on."""
    check(array, row, column, len(vectors))
    starts = range(column, column + len(vectors) * lanes(array), lanes(array))
    return tuple(
        vector * factor * load(array, row, start)
        for vector, start in zip(vectors, starts, strict=True)
    )


def gather_columns(target, row, column, array, places, start, first):
    """Write as many rows of an array as a vector has lanes to as many columns.

    ``target[row + i, column + s]`` is ``array[places[start + s], first + i]``; places
    behind the last of them repeat it.
    """
    n = lanes(array)
    check(target, row + n - 1, column, 1)
    chosen = places[np.minimum(np.arange(start, start + n), places.size - 1)]
    for s, place in enumerate(chosen):
        target[row : row + n, column + s] = load(array, place, first)


def put_sums(array, place, vectors):
    """Write the sum of each vector of a tuple to ``array[place]`` and the places after it.

    There are 1, 2, 4, .. vectors, at most as many as one has lanes; the order in which the
    lanes are added does not depend on their number.
    """
    if not 0 <= place <= array.size - len(vectors):
        raise IndexError("vector is out of bounds")
    array[place : place + len(vectors)] = np.sum(vectors, axis=1)


def total_of(vector):
    """The sum of a vector's lanes, in the order of `put_sums`."""
    return np.sum(vector)


def check(array, row, column, n_vectors):
    """Refuse vectors that are not inside of a row of an array."""
    end = column + n_vectors * lanes(array)
    if not (0 <= row < array.shape[0] and column >= 0 and end <= array.shape[1]):
        raise IndexError("vector is out of bounds")


# --- what takes their place in compiled code ------------------------------------------


class Vector(types.Type):
    """Numba's type of a vector of floating-point numbers."""

    def __init__(self, element):
        super().__init__(name=f"vector of {element}")
        self.element = element
        self.size = LINE * 8 // element.bitwidth

    @property
    def llvm(self):
        element = ir.FloatType() if self.element.bitwidth == 32 else ir.DoubleType()
        return ir.VectorType(element, self.size)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector.llvm)


class _Rows:
    """Places of an array argument in the code that is generated."""

    def __init__(self, context, builder, array_type, array):
        if array_type.layout != "C":
            raise errors.TypingError(f"vectors need a contiguous array, got {array_type}")
        self.builder = builder
        self.vector = Vector(array_type.dtype)
        view = context.make_array(array_type)(context, builder, array)
        self._data = view.data
        self._width = cgutils.unpack_tuple(builder, view.shape)[-1]

    def pointer(self, row, column, n_vectors=0):
        """Where the vector is that lies ``n_vectors`` behind a row's column."""
        builder, distance = self.builder, n_vectors * self.vector.size
        place = builder.add(builder.mul(row, self._width), column)
        return builder.gep(self._data, [builder.add(place, place.type(distance))])

    def load(self, *place):
        kind = self.vector.llvm.as_pointer()
        value = self.builder.load(self.builder.bitcast(self.pointer(*place), kind))
        # Of arrays that others made it is not known where they begin.
        value.align = self.vector.element.bitwidth // 8
        return value

    def store(self, value, pointer):
        kind = value.type.as_pointer()
        stored = self.builder.store(value, self.builder.bitcast(pointer, kind))
        stored.align = self.vector.element.bitwidth // 8


def _splatted(builder, kind, value):
    undefined, index = ir.Constant(kind, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(undefined, value, ir.Constant(index, 0))
    zeros = ir.Constant(ir.VectorType(index, kind.count), None)
    return builder.shuffle_vector(first, undefined, zeros)


def _fused(builder, total, one, other):
    """``total + one * other`` in one instruction if there is one."""
    kind = total.type
    name = f"llvm.fmuladd.v{kind.count}f{LINE * 8 // kind.count}"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * 3), name
    )
    return builder.call(function, [one, other, total])


@intrinsic
def _splat(typing_context, value):
    vector = Vector(value)

    def generate(context, builder, signature, args):
        return _splatted(builder, vector.llvm, *args)

    return vector(value), generate


@intrinsic
def _load(typing_context, array, row, column):
    def generate(context, builder, signature, args):
        return _Rows(context, builder, array, args[0]).load(*args[1:])

    return Vector(array.dtype)(array, types.intp, types.intp), generate


@intrinsic
def _store(typing_context, array, row, column, vectors):
    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, array, args[0])
        for k, value in enumerate(cgutils.unpack_tuple(builder, args[3])):
            rows.store(value, rows.pointer(args[1], args[2], k))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vectors), generate


@intrinsic
def _add_scaled(typing_context, totals, factor, array, row, column):
    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, array, args[2])
        scale = _splatted(builder, rows.vector.llvm, args[1])
        sums = [
            _fused(builder, total, scale, rows.load(args[3], args[4], k))
            for k, total in enumerate(cgutils.unpack_tuple(builder, args[0]))
        ]
        return context.make_tuple(builder, totals, sums)

    return totals(totals, array.dtype, array, types.intp, types.intp), generate


@intrinsic
def _times(typing_context, vectors, factor, array, row, column):
    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, array, args[2])
        scale = _splatted(builder, rows.vector.llvm, args[1])
        products = [
            builder.fmul(builder.fmul(vector, scale), rows.load(args[3], args[4], k))
            for k, vector in enumerate(cgutils.unpack_tuple(builder, args[0]))
        ]
        return context.make_tuple(builder, vectors, products)

    return vectors(vectors, array.dtype, array, types.intp, types.intp), generate


@intrinsic
def _add_products(typing_context, totals, vectors, array, places, column):
    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, array, args[2])
        sums, factors, places = (cgutils.unpack_tuple(builder, args[k]) for k in (0, 1, 3))
        for i, place in enumerate(places):
            for k, factor in enumerate(factors):
                value = rows.load(place, args[4], k)
                sums[i] = _fused(builder, sums[i], factor, value)
        return context.make_tuple(builder, totals, sums)

    return totals(totals, vectors, array, places, types.intp), generate


@intrinsic
def _gather_columns(typing_context, target, row, column, array, places, start, first):
    def generate(context, builder, signature, args):
        source = _Rows(context, builder, array, args[3])
        view = context.make_array(places)(context, builder, args[4])
        (size,) = cgutils.unpack_tuple(builder, view.shape)
        last = builder.sub(size, size.type(1))
        vectors = []
        for k in range(source.vector.size):
            place = builder.add(args[5], size.type(k))
            behind = builder.icmp_signed(">", place, last)
            pointer = builder.gep(view.data, [builder.select(behind, last, place)])
            vectors.append(source.load(builder.load(pointer), args[6]))
        rows = _Rows(context, builder, target, args[0])
        for k, vector in enumerate(_transposed(builder, vectors)):
            row = builder.add(args[1], size.type(k))
            rows.store(vector, rows.pointer(row, args[2]))
        return context.get_dummy_value()

    integer = types.intp
    kinds = target, integer, integer, array, places, integer, integer
    return types.void(*kinds), generate


def _transposed(builder, vectors):
    """As many vectors as they have lanes, with lanes and vectors changed for each other.

    Each round puts the lanes of vectors that are half of all apart beside each other.
    """
    size = len(vectors)
    half = size // 2
    pairs = [place + lane for lane in range(half) for place in (0, size)]
    for _ in range(half.bit_length()):
        vectors = [
            _lanes_of(builder, vectors[k], vectors[k + half], [p + part for p in pairs])
            for k in range(half)
            for part in (0, half)
        ]
    return vectors


@intrinsic
def _put_sums(typing_context, array, place, vectors):
    def generate(context, builder, signature, args):
        folded = _folded(builder, cgutils.unpack_tuple(builder, args[2]))
        sums = _lanes_of(builder, folded, folded, range(vectors.count))
        rows = _Rows(context, builder, array, args[0])
        rows.store(sums, rows.pointer(args[1].type(0), args[1]))
        return context.get_dummy_value()

    return types.void(array, types.intp, vectors), generate


def _lanes_of(builder, one, other, places):
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
    return builder.shuffle_vector(one, other, mask)


@intrinsic
def _total_of(typing_context, vector):
    def generate(context, builder, signature, args):
        folded = _folded(builder, list(args))
        return builder.extract_element(folded, ir.Constant(ir.IntType(32), 0))

    return vector.element(vector), generate


def _folded(builder, level):
    """A vector that begins with the sums of the lanes of each of these."""
    for near, distance in _rounds(level[0].type.count):
        # A single vector is its own second one, for want of another.
        pairs = zip(level[::2], level[1::2] or level, strict=True)
        far = [place + distance for place in near]
        level = [
            builder.fadd(*(_lanes_of(builder, *pair, places) for places in (near, far)))
            for pair in pairs
        ]
    return level[0]


def _rounds(size):
    """Which lanes of two vectors to add to which, until each sum has one lane.

    First inside of the quarters, where moving lanes costs least, then whole quarters.
    """
    quarter = size // 4
    half = quarter // 2
    for unit in range(1, half + 1):
        yield (
            [
                start + k + vector + i
                for start in range(0, size, quarter)
                for k in range(0, half, unit)
                for vector in (0, size)
                for i in range(unit)
            ],
            half,
        )
    for _ in range(2):
        starts = (0, half * 4, size, size + half * 4)
        yield [start + i for start in starts for i in range(quarter)], quarter


@overload(lanes, jit_options=_INLINED)
def _lanes_compiled(array):
    size = Vector(array.dtype).size
    return lambda array: size


@overload(lanes_of, jit_options=_INLINED)
def _lanes_of_compiled(value):
    size = Vector(value).size
    return lambda value: size


@overload(splat, jit_options=_INLINED)
def _splat_compiled(value):
    return lambda value: _splat(value)


@overload(check, jit_options=_INLINED)
def _check_compiled(array, row, column, n_vectors):
    if not CHECKS_BOUNDS:
        return lambda array, row, column, n_vectors: None

    def compiled(array, row, column, n_vectors):
        end = np.intp(column) + n_vectors * lanes(array)
        in_row = column >= 0 and end <= array.shape[1]
        if not (in_row and np.uint64(row) < np.uint64(array.shape[0])):
            raise IndexError("vector is out of bounds")

    return compiled


@overload(load, jit_options=_INLINED)
def _load_compiled(array, row, column):
    def compiled(array, row, column):
        check(array, row, column, 1)
        return _load(array, row, column)

    return compiled


@overload(store, jit_options=_INLINED)
def _store_compiled(array, row, column, vectors):
    def compiled(array, row, column, vectors):
        check(array, row, column, len(vectors))
        _store(array, row, column, vectors)

    return compiled


@overload(add_scaled, jit_options=_INLINED)
def _add_scaled_compiled(totals, factor, array, row, column):
    def compiled(totals, factor, array, row, column):
        check(array, row, column, len(totals))
        return _add_scaled(totals, factor, array, row, column)

    return compiled


@overload(times, jit_options=_INLINED)
def _times_compiled(vectors, factor, array, row, column):
    def compiled(vectors, factor, array, row, column):
        check(array, row, column, len(vectors))
        return _times(vectors, factor, array, row, column)

    return compiled


@overload(add_products, jit_options=_INLINED)
def _add_products_compiled(totals, vectors, array, rows, column):
    def compiled(totals, vectors, array, rows, column):
        for k in range(len(rows) if CHECKS_BOUNDS else 0):
            check(array, rows[k], column, len(vectors))
        return _add_products(totals, vectors, array, rows, column)

    return compiled


@overload(total_of, jit_options=_INLINED)
def _total_of_compiled(vector):
    return lambda vector: _total_of(vector)


@overload(gather_columns, jit_options=_INLINED)
def _gather_columns_compiled(target, row, column, array, places, start, first):
    def compiled(target, row, column, array, places, start, first):
        if CHECKS_BOUNDS:
            check(target, row, column, 1)
            check(target, row + lanes(array) - 1, column, 1)
            for s in range(start, start + lanes(array)):
                check(array, places[min(s, places.size - 1)], first, 1)
        _gather_columns(target, row, column, array, places, start, first)

    return compiled


@overload(put_sums, jit_options=_INLINED)
def _put_sums_compiled(array, place, vectors):
    def compiled(array, place, vectors):
        if CHECKS_BOUNDS and not 0 <= place <= array.size - len(vectors):
            raise IndexError("vector is out of bounds")
        _put_sums(array, place, vectors)

    return compiled
