"""The kernels' machine code: loaded and called without numba, which only compiles it.

A kernel compiled by numba is a function of C: a place for its result, one for an exception, and
then each argument; an array is (owner, parent, items, bytes of one, data, shape, strides).
"""

import ctypes
from typing import Any

import numpy.typing as npt
from llvmlite import binding

__all__ = ["SIGNATURES", "Flat", "Kernel", "Library", "width"]

_TABLE, _FLOATS = "int64[:,::1]", "float32[::1]"

SIGNATURES = {
    "siren_tile": (
        "float64(int64[::1], float32[::1], float32[::1], float32[:,:,::1], float32[:,:,::1],"
        "float32[::1], int64[:,::1], int64[:,::1],"
        "int64[:,:,::1], float32[:,:,::1], int64[:,:,::1], float32[:,:,::1],"
        "float32[::1], int64[:,::1], int64[::1], float32[::1],"
        "float32[::1], float32[::1], float32, boolean, boolean)"
    ),
    "context_bands": (
        "float64(int64[:,::1], int64[:,::1], int64[:,:,::1], float32[::1], float32[::1],"
        "int64[:,::1], int64[::1],"
        "float32[::1], float32[::1], float32[::1], float32, boolean)"
    ),
    "soften": (
        "void(float32[::1], float32[::1], float32[::1], float32[::1], float32, float32, float32)"
    ),
    "adam": (
        "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1],"
        "float32, float32, float32, float32)"
    ),
    "add_patch": "void(float32[::1], float32[::1], int64[:,::1])",
}
"""The kernels, and their signatures in numba's notation."""

_SCALARS: dict[str, Any] = {"float32": ctypes.c_float, "boolean": ctypes.c_bool}


class Flat:
    """An array as C takes it: worth making once of what is passed again and again."""

    __slots__ = ("array", "kind", "values")

    def __init__(self, array: npt.NDArray[Any]) -> None:
        """Take an array, which stays where it is. Raises TypeError if it is not contiguous."""
        if not array.flags.c_contiguous:
            raise TypeError(f"expected a contiguous array, found strides {array.strides}")
        self.array = array
        self.kind = array.dtype.name, array.ndim
        data = array.__array_interface__["data"][0]
        self.values = (0, 0, array.size, array.itemsize, data, *array.shape, *array.strides)


class _Array:
    """An argument that is a contiguous array."""

    def __init__(self, text: str) -> None:
        name, axes = text.rstrip("]").split("[")
        self.ndim = axes.count(",") + 1
        self.kind = name, self.ndim

    @property
    def types(self) -> list[Any]:
        """What C takes for it."""
        head = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        return head + [ctypes.c_int64] * (2 * self.ndim)


def _arguments(signature: str) -> list[Any]:
    """Return the arguments of a signature: arrays, or C's own types."""
    inside = signature[signature.index("(") + 1 : -1].replace("],", "];").replace("t32,", "t32;")
    parts = [part.strip() for part in inside.replace("boolean,", "boolean;").split(";")]
    return [_SCALARS[part] if part in _SCALARS else _Array(part) for part in parts if part]


def width(signature: str) -> int:
    """Return how many arguments of C a signature stands for, with the two places before."""
    return 2 + sum(len(x.types) if isinstance(x, _Array) else 1 for x in _arguments(signature))


class Kernel:
    """A compiled function; it gives the interpreter free while it runs."""

    def __init__(self, address: int, signature: str, owner: object) -> None:
        """Call what lies at an address as long as its `owner` lives."""
        self._owner = owner
        self._arguments = _arguments(signature)
        types: list[Any] = [ctypes.c_void_p, ctypes.c_void_p]
        for argument in self._arguments:
            types += argument.types if isinstance(argument, _Array) else [argument]
        self._function = ctypes.CFUNCTYPE(ctypes.c_int32, *types)(address)

    def __call__(self, *arguments: Any) -> float:
        """Call the function with numbers and arrays, these Flat or not.

        Raises TypeError for arrays of another kind than it expects.
        """
        values: list[Any] = []
        for expected, argument in zip(self._arguments, arguments, strict=True):
            if not isinstance(expected, _Array):
                values.append(argument)
                continue
            flat = argument if type(argument) is Flat else Flat(argument)
            if flat.kind != expected.kind:
                raise TypeError(f"expected an array of {expected.kind}, found {flat.kind}")
            values += flat.values
        result, exception = ctypes.c_double(), ctypes.c_void_p()
        status = self._function(ctypes.addressof(result), ctypes.addressof(exception), *values)
        if status:
            raise RuntimeError(f"a kernel failed with status {status}")
        return result.value


class Library:
    """The machine code of all kernels, in memory."""

    def __init__(self, objects: dict[str, tuple[str, bytes]]) -> None:
        """Take each kernel's symbol and object file."""
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        machine = binding.Target.from_default_triple().create_target_machine()
        engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
        for _, code in objects.values():
            engine.add_object_file(binding.ObjectFileRef.from_data(code))
        engine.finalize_object()
        self._kernels = {
            name: Kernel(engine.get_function_address(symbol), SIGNATURES[name], engine)
            for name, (symbol, _) in objects.items()
        }

    def __getitem__(self, name: str) -> Kernel:
        """Return a kernel."""
        return self._kernels[name]
