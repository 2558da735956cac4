"""A part of a graph whose inner values are computed again for the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.core import eval_jaxpr  # pyright: ignore[reportUnknownVariableType]

from graphjit.errors import ShapeError
from graphjit.ir import Graph
from graphjit.ops.base import Array, Op, register_op
from graphjit.ops.precision import KeepsPrecision
from graphjit.ops.scan import body_flops, check_fits
from graphjit.types import TensorType

__all__ = ["Checkpoint"]


@register_op("checkpoint", roles=("operand*",))
class Checkpoint(Op, KeepsPrecision):
    """Run `body`, and keep what goes in and not what is computed inside.

    The gradient runs it once more (arXiv:1604.06174). Random numbers inside are those
    that the nodes would draw outside. It has no forward-mode derivative.

    Shapes:
        operands: those of the body's inputs  ->  those of its outputs
    """

    body: Graph

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        given = [type_ for type_ in types if type_ is not None]
        expected = len(self.body.inputs)
        if len(given) != expected or len(types) != expected:
            raise ShapeError(f"body takes {expected} operands, received {len(types)}")
        for entry, type_ in zip(self.body.inputs, given, strict=True):
            check_fits(f"body input %{entry.name}", entry.type, type_)
        table = self.body.types()
        return tuple(table[output.value] for output in self.body.outputs)

    def lower(self, *arrays: Array, run: Callable[..., Any]) -> tuple[Array, ...]:
        def inner(*inputs: Array) -> Any:
            return run(self.body, inputs)

        # As a program of its own, whose key is an argument: inside a loop the backward
        # pass may not read the forward pass's values in any other way.
        program: Any = jax.make_jaxpr(inner)(*arrays)
        return _recomputed(program.jaxpr)(program.consts, arrays)

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return body_flops(self.body)


def _recomputed(program: Any) -> Callable[..., tuple[Array, ...]]:
    """(constants, arrays) -> the program's results, computed again for the gradient."""

    def plain(constants: Any, arrays: Any) -> tuple[Array, ...]:
        results = cast("list[Array]", eval_jaxpr(program, constants, *arrays))
        return tuple(results)

    def forward(constants: Any, arrays: Any) -> Any:
        return plain(constants, arrays), (constants, arrays)

    def backward(kept: Any, slopes: Any) -> Any:
        constants, arrays = kept
        moving = [at for at, array in enumerate(arrays) if _is_float(array)]
        smooth = [at for at, slope in enumerate(slopes) if _is_float(slope)]
        gradients: list[Array | None] = [None] * len(arrays)
        if not smooth or not moving:
            return None, tuple(gradients)

        def of_moving(*given: Array) -> list[Array]:
            full = list(arrays)
            for at, array in zip(moving, given, strict=True):
                full[at] = array
            results = plain(constants, full)
            return [results[at] for at in smooth]

        def again(given: Any, pulled: Any) -> Any:
            pull = cast("Callable[..., Any]", jax.vjp(of_moving, *given)[1])
            return pull(pulled)

        found = cast(
            "tuple[Array, ...]",
            jax.lax.platform_dependent(
                [arrays[at] for at in moving],
                [slopes[at] for at in smooth],
                cpu=_once_known(again),
                default=_behind_a_barrier(again),
            ),
        )
        for at, gradient in zip(moving, found, strict=True):
            gradients[at] = gradient
        return None, tuple(gradients)

    call = cast("Any", jax.custom_vjp(plain))
    call.defvjp(forward, backward)
    return call


def _is_float(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jnp.inexact)


def _behind_a_barrier(again: Callable[..., Any]) -> Callable[..., Any]:
    """As `jax.checkpoint` keeps XLA from taking what the forward pass computed."""

    def run(given: Any, pulled: Any) -> Any:
        return again(*jax.lax.optimization_barrier((given, pulled)))

    return run


def _once_known(again: Callable[..., Any]) -> Callable[..., Any]:
    """For XLA:CPU, which drops barriers and computes all things as early as can be.

    A branch is not entered before its condition is known, and this one reads the
    slopes: of 16 blocks of two denses the step keeps 35 MB in place of 127, where
    `jax.checkpoint` keeps 125.
    """

    def run(given: Any, pulled: Any) -> Any:
        first = jnp.reshape(pulled[0], (-1,))[0]
        width = first.dtype.itemsize * 8
        bits: Any = jax.lax.bitcast_convert_type(first, f"uint{width}")
        always = (bits | 1) != 0  # XLA does not see that it is
        chosen = cast("Callable[..., Any]", jax.lax.cond)
        return chosen(always, again, _zeros, given, pulled)

    return run


def _zeros(given: Any, pulled: Any) -> Any:
    return tuple(jnp.zeros(array.shape, array.dtype) for array in given)
