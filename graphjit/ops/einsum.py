"""Sums of products over named axes: x with a kernel, by an equation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.layout import Layout
from graphjit.ops.base import (
    Array,
    Emit,
    Op,
    Permuted,
    Refusal,
    ScalesOutput,
    register_op,
)
from graphjit.ops.bias import with_bias
from graphjit.ops.elementwise import Add, Multiply
from graphjit.ops.joining import JoinsOutputs, Joint
from graphjit.ops.shape import Reshape
from graphjit.types import Dim, TensorType, broadcast_shapes, unify_dim

__all__ = ["EinsumOp", "Terms", "terms_of"]

_EQUATION: Final = re.compile(r"([a-zA-Z]*),([a-zA-Z]*)->([a-zA-Z]*)")


@dataclass(frozen=True, slots=True)
class Terms:
    """The letters of an equation ``x,kernel->result``, one for every axis."""

    x: str
    kernel: str
    result: str


def terms_of(equation: str) -> Terms:
    """The terms of an equation.

    Raises:
        ShapeError: It has another form, or the result has a letter twice or one that
            stands in neither operand.

    >>> terms_of("abc,cd->abd")
    Terms(x='abc', kernel='cd', result='abd')
    """
    found = _EQUATION.fullmatch(equation)
    if found is None:
        raise ShapeError(
            f"expected an equation like 'ab,bc->ac', received {equation!r}"
        )
    terms = Terms(*found.groups())
    for letter in terms.result:
        if letter not in terms.x + terms.kernel:
            message = f"{letter!r} of the result stands in neither operand"
            raise ShapeError(f"equation {equation!r}: {message}")
        if terms.result.count(letter) > 1:
            raise ShapeError(
                f"equation {equation!r}: {letter!r} stands twice behind ->"
            )
    return terms


@register_op("einsum", roles=("x", "kernel", "bias"))
class EinsumOp(Op, ScalesOutput, JoinsOutputs):
    """The sum over the letters that the result lacks of x * kernel, plus bias.

    Shapes:
        x, kernel: an axis for each letter of their term   bias: broadcastable to the
        result   ->  an axis for each letter behind "->"
        "abc,cd->abd": (n, t, c_in), (c_in, c_out)  ->  (n, t, c_out)
    """

    equation: str

    def infer(
        self, x: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        terms = terms_of(self.equation)
        dims: dict[str, Dim] = {}
        for role, letters, type_ in (
            ("x", terms.x, x),
            ("kernel", terms.kernel, kernel),
        ):
            if type_.rank != len(letters):
                message = f"{role}: expected rank {len(letters)} for {letters!r}"
                raise ShapeError(f"{message}, received rank {type_.rank}")
            for letter, dim in zip(letters, type_.shape, strict=True):
                try:
                    dims[letter] = unify_dim(dims.get(letter), dim)
                except ShapeError as error:
                    message = f"axis {letter!r} of {self.equation!r}: {error.message}"
                    raise ShapeError(message) from None
        result = x.with_shape(dims[letter] for letter in terms.result)
        for role, type_ in (("kernel", kernel), ("bias", bias)):
            if type_ is not None and type_.dtype != x.dtype:
                raise ShapeError(f"x is {x.dtype}, {role} is {type_.dtype}")
        if bias is not None:
            _check_bias(bias, result)
        return result

    def lower(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        y = jnp.einsum(self.equation, x, kernel)
        return with_bias(y, bias)

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        terms = terms_of(self.equation)
        sizes: dict[str, int] = {}
        for letters, type_ in zip((terms.x, terms.kernel), operands, strict=False):
            for letter, dim in zip(letters, type_.shape if type_ else (), strict=False):
                if isinstance(dim, int):
                    sizes[letter] = dim
        total = 2
        for size in sizes.values():
            total *= size
        return total

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        """Any order of x's axes: the equation names them in it, the result is plain."""
        terms = terms_of(self.equation)
        if layout.inner or len(layout.perm) != len(terms.x):
            return None
        moved = "".join(terms.x[axis] for axis in layout.perm)
        op = EinsumOp(f"{moved},{terms.kernel}->{terms.result}")
        others = [Layout.plain(0 if t is None else t.rank) for t in types[1:]]
        return Permuted(op, (layout, *others), (Layout.plain(len(terms.result)),))

    def joint(self, types: Sequence[TensorType | None]) -> Joint | None:
        """Along the first axis that the kernel alone brings: the heads of attention."""
        terms = terms_of(self.equation)
        made = [a for a in terms.result if a in terms.kernel and a not in terms.x]
        if not made or any(terms.kernel.count(letter) > 1 for letter in made):
            return None
        at = terms.result.index(made[0])
        bias = types[2] if len(types) > 2 else None
        behind = len(terms.result) - at
        if bias is not None and (bias.rank < behind or bias.shape[-behind] == 1):
            return None  # one number for all of the axis
        start = 0 if bias is None else bias.rank - behind
        return Joint((terms.kernel.index(made[0]), start), at)

    def scale_output(
        self, emit: Emit, operands: Sequence[Any], scale: Any, shift: Any
    ) -> tuple[Any, ...] | Refusal:
        x, kernel, bias = (*operands, None)[:3]
        terms = terms_of(self.equation)
        channel = terms.result[-1:]
        if not channel or terms.kernel.count(channel) != 1:
            return Refusal("the kernel has no axis for the channels of the result")
        (channels,) = emit.type_of(scale).shape
        assert isinstance(channels, int)
        shape = tuple(channels if axis == channel else 1 for axis in terms.kernel)
        scaled = emit(Multiply(), kernel, emit(Reshape(shape, keep=0), scale))
        if bias is None:
            return x, scaled, shift
        return x, scaled, emit(Add(), emit(Multiply(), bias, scale), shift)


def _check_bias(bias: TensorType, result: TensorType) -> None:
    try:
        fits = broadcast_shapes([result.shape, bias.shape]) == result.shape
    except ShapeError:
        fits = False
    if not fits:
        message = f"expected a shape that broadcasts to {result}, received {bias.shape}"
        raise ShapeError(f"bias: {message}")
