"""What a row of the table is made of, and how its operands are drawn and run.

One case is one op with attributes and the operands to run it on. Everything that a
property needs (arrays of a dtype, the one-node graph, the float64 results) is derived
here, once, and cached.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import jax
import ml_dtypes
import numpy as np

from graphjit.builder import Builder
from graphjit.ir import Graph
from graphjit.lower import lower_flat, uses_rng
from graphjit.ops.base import Op
from graphjit.types import TensorType, is_floating
from graphjit.verify import verify

Array = np.ndarray[Any, Any]

KEY_SEED = 7


@dataclass(frozen=True)
class Arg:
    """One operand: its shape, how it is drawn, and what it is.

    Attributes:
        shape: All numbers.
        draw: "normal", "wide" (three times that), "positive", "mask", "ints",
            "ids" (from 0 to 4) or "few" (0, mostly, 1 and 2: full of ties).
        weight: A param: its dims are numbers in every graph.
        dtype: "" for the float type under test.
        differentiable: Whether gradients to it are compared.
    """

    shape: tuple[int, ...]
    draw: str = "normal"
    weight: bool = False
    dtype: str = ""
    differentiable: bool = True

    def type(self, dtype: str) -> TensorType:
        return TensorType(self.shape, self.dtype or dtype)

    def array(self, rng: np.random.Generator, dtype: str) -> Array:
        return DRAWS[self.draw](rng, self.shape).astype(np.dtype(self.dtype or dtype))


def _mask(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    mask = rng.random(shape) < 0.6
    mask.flat[0], mask.flat[-1] = True, False
    return mask


DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda rng, shape: rng.normal(0.2, 1.0, shape),
    "wide": lambda rng, shape: rng.normal(0.2, 3.0, shape),
    "positive": lambda rng, shape: rng.uniform(0.3, 2.5, shape),
    "mask": _mask,
    "ints": lambda rng, shape: rng.integers(-9, 10, shape),
    "ids": lambda rng, shape: rng.integers(0, 5, shape),
    "few": lambda rng, shape: np.maximum(rng.integers(-2, 3, shape), 0),
}


def x(*shape: int) -> Arg:
    """Data: its dims may be unknown."""
    return Arg(shape)


def wide(*shape: int) -> Arg:
    """Data that reaches far beyond 1 on both sides."""
    return Arg(shape, "wide")


def w(*shape: int) -> Arg:
    """A weight."""
    return Arg(shape, weight=True)


def above_zero(*shape: int) -> Arg:
    """A weight that is positive and not 1, such as a variance."""
    return Arg(shape, "positive", weight=True)


def ints(*shape: int) -> Arg:
    return Arg(shape, "ints", dtype="int32", differentiable=False)


def row_mask(count: int) -> Arg:
    """The row-validity mask of a padded batch: some rows of each kind."""
    return Arg((count,), "mask", dtype="bool", differentiable=False)


class Layouts(Enum):
    """What a row claims of `Op.permuted`."""

    NONE = "nothing is claimed"
    SOME = "a rule for at least one layout that moves something"
    ALL = "a rule for every permutation of the axes behind the batch"


@dataclass(frozen=True)
class Case:
    """An op with attributes, and operands for it (None: left out).

    Attributes:
        op: The op.
        args: Its operands.
        layouts: What is claimed of its layout rule; None for what the row claims.
        batched: Whether axis 0 of the data is the batch, as it is in a model.
        of: The op for a float type, where an attribute of it names one.
    """

    op: Op
    args: tuple[Arg | None, ...]
    layouts: Layouts | None = None
    batched: bool = True
    of: Callable[[str], Op] | None = None

    @property
    def id(self) -> str:
        fields = dataclasses.fields(self.op)  # type: ignore[arg-type]
        values = (f"{f.name}={_short(getattr(self.op, f.name))}" for f in fields)
        shapes = ("_" if a is None else "x".join(map(str, a.shape)) for a in self.args)
        return f"{self.op.kind}({','.join(values)})[{','.join(shapes)}]".replace(
            " ", ""
        )

    def types(self, dtype: str) -> list[TensorType | None]:
        return [None if arg is None else arg.type(dtype) for arg in self.args]

    def arrays(self, dtype: str = "float64", seed: int = 0) -> list[Array | None]:
        """The operands, the same at every call."""
        rng = np.random.default_rng([seed, zlib.crc32(self.id.encode())])
        return [None if arg is None else arg.array(rng, dtype) for arg in self.args]

    def op_for(self, dtype: str) -> Op:
        return self.op if self.of is None else self.of(dtype)

    def graph(self, dtype: str = "float64") -> Graph:
        return one_node(self.op_for(dtype), self.types(dtype))

    @functools.cached_property
    def results(self) -> list[Array]:
        """The float64 results, computed eagerly and once."""
        return run_op(self.op, self.arrays())

    @property
    def differentiable(self) -> list[int]:
        """Positions of the operands that gradients are compared for."""
        return [
            at
            for at, arg in enumerate(self.args)
            if arg is not None and arg.differentiable and not arg.dtype
        ]


def _short(value: object) -> str:
    if isinstance(value, Graph):
        return value.name
    if isinstance(value, TensorType):
        return str(value)
    text = value.value if isinstance(value, Enum) else repr(value)
    return str(text).replace("'", "")


@dataclass(frozen=True)
class Row:
    """One op of the table.

    Attributes:
        op: Its class.
        cases: What it is tried on.
        numpy: (op, *arrays) -> the result or results, as a plain NumPy statement.
        check: (op, operands, results) -> None, asserting, for what is no formula.
        inference: (op, *arrays) -> results once the op is `to_inference()`.
        frozen: (op, *arrays) -> results once the op is `to_frozen()`.
        layouts: What is claimed of its layout rule.
        exact: Whether a permuted layout gives the same bits (sums are reordered).
        smooth_results: Which results are differentiated.
        forward_mode: Whether it has a derivative in that direction too.
        tolerance: Relative, float64 against NumPy.
        half_tolerance: Relative to the largest element, bfloat16 against float64.
    """

    op: type[Op]
    cases: tuple[Case, ...]
    numpy: Callable[..., Any] | None = None
    check: Callable[[Any, list[Any], list[Any]], None] | None = None
    inference: Callable[..., Any] | None = None
    frozen: Callable[..., Any] | None = None
    layouts: Layouts = Layouts.NONE
    exact: bool = True
    smooth_results: tuple[int, ...] = (0,)
    forward_mode: bool = True
    tolerance: float = 1e-12
    half_tolerance: float = 0.05

    @property
    def kind(self) -> str:
        return self.op.kind

    @functools.cache  # noqa: B019 (rows live as long as the table)
    def jitted(self, dtype: str) -> dict[str, list[Array]]:
        """The results of every case, by its id, from one compiled function."""
        tasks = [
            (function_of(case.graph(dtype)), present(case.arrays(dtype)))
            for case in self.cases
        ]
        results = together(tasks, dtype)
        return {
            case.id: [np.asarray(item) for item in found]
            for case, found in zip(self.cases, results, strict=True)
        }


# --- running --------------------------------------------------------------------------


def one_node(op: Op, types: Sequence[TensorType | None]) -> Graph:
    """The verified graph of one node: operands as inputs, every result an output."""
    builder = Builder("one")
    values = [
        None if type_ is None else builder.input(f"in{at}", type_)
        for at, type_ in enumerate(types)
    ]
    for at, value in enumerate(builder.node(op, values, name="y")):
        builder.output(f"out{at}", value)
    return verify(builder.build())


def function_of(graph: Graph) -> Callable[..., tuple[Any, ...]]:
    """The graph's outputs as a function of its inputs; random draws from one key."""
    flat = lower_flat(graph)

    def function(*arrays: Any) -> tuple[Any, ...]:
        key = jax.random.key(KEY_SEED) if uses_rng(graph) else None
        return flat((), arrays, key).outputs

    return function


def x64(*dtypes: str) -> Any:
    """The scope in which 64-bit types exist, where one of `dtypes` is such."""
    return jax.enable_x64(any(dtype.endswith("64") for dtype in dtypes))


def type_of(array: Any) -> TensorType:
    return TensorType(tuple(array.shape), np.dtype(array.dtype).name)


def present(arrays: Sequence[Array | None]) -> list[Array]:
    """The operands that are not left out: the inputs of the one-node graph."""
    return [array for array in arrays if array is not None]


def together(tasks: Sequence[tuple[Callable[..., Any], Any]], dtype: str) -> Any:
    """Each function on its arguments, compiled as one: XLA's start-up is most of it."""
    functions = [function for function, _ in tasks]

    def all_of_them(arguments: Any) -> list[Any]:
        pairs = zip(functions, arguments, strict=True)
        return [function(*given) for function, given in pairs]

    compiled = jax.jit(all_of_them)
    with x64(dtype):
        return compiled([given for _, given in tasks])


def run_op(op: Op, arrays: Sequence[Any]) -> list[Array]:
    """The results of one op on arrays, run eagerly, as NumPy arrays."""
    types = [None if array is None else type_of(array) for array in arrays]
    with x64(*(t.dtype for t in types if t is not None)):
        results = function_of(one_node(op, types))(*present(arrays))
        return [np.asarray(result) for result in results]


def as_tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def close(found: Any, wanted: Any, tolerance: float, what: str = "") -> None:
    """Assert that the error is small next to the largest wanted element.

    Integers and booleans must be equal.
    """
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape, what
    if not is_floating(found.dtype.name):
        np.testing.assert_array_equal(found, wanted, err_msg=what)
        return
    if found.dtype == ml_dtypes.bfloat16:
        found = found.astype(np.float32)
    scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
    np.testing.assert_allclose(
        np.asarray(found, np.float64),
        np.asarray(wanted, np.float64),
        rtol=0,
        atol=tolerance * scale,
        err_msg=what,
    )


def cases(
    op: type[Any], attributes: Iterable[dict[str, Any]], *args: Arg | None, **more: Any
) -> tuple[Case, ...]:
    """The op with each set of attributes, on the same operands."""
    return tuple(Case(op(**settings), args, **more) for settings in attributes)
