"""Rows of ops with numbers and functions that the user gives."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from graphjit.functions import function_of
from graphjit.ops.elementwise import AtLeast
from graphjit.ops.lambda_op import LambdaOp
from graphjit.ops.rescaling import Affine
from graphjit.types import TensorType
from tests.conformance.case import Arg, Case, Layouts, Row, cases, wide, x

Array = np.ndarray[Any, Any]


def affine(op: Any, a: Array) -> Array:
    def shaped(numbers: tuple[float, ...]) -> Array:
        array = np.array(numbers)
        return array.reshape(op.shape) if len(numbers) > 1 else array[0]

    return (a - shaped(op.center)) * shaped(op.scale) + shaped(op.shift)


def waves(data: Any, power: float, mask: Any = None, training: bool = True) -> Any:
    """A function with settings, a mask, and another meaning in inference."""
    low, high = data
    valid = jnp.asarray(mask[0] if mask is not None else True)[..., None]
    total = jnp.where(valid, jnp.sin(low) * high**power, 0)
    return [total if training else total + 1, total.max(1)]


def waves_in_numpy(op: Any, low: Array, high: Array, mask: Array) -> tuple[Array, ...]:
    total = np.sin(low) * high**2.0 * mask[..., None]
    return total if op.training else total + 1, total.max(1)


def lambda_op(dtype: str) -> LambdaOp:
    types = (TensorType((2, 3, 6), dtype), TensorType((2, 6), dtype))
    power = (("power", 2.0),)
    return LambdaOp(function_of(waves), types, power, 2, "keyword", False)


def doubled(data: Any, training: bool) -> Any:
    return 2 * data if training else data


def training_op(dtype: str) -> LambdaOp:
    types = (TensorType((2, 3, 6), dtype),)
    return LambdaOp(function_of(doubled), types, training=True)


def lambda_in_numpy(op: Any, *arrays: Array) -> Any:
    if op.masks:
        return waves_in_numpy(op, *arrays)
    return 2 * arrays[0]


ROWS: list[Row] = [
    Row(
        Affine,
        (
            Case(Affine((0.25,)), (x(2, 3, 6),)),
            Case(Affine((1.0,)), (x(2, 3, 6),)),
            Case(Affine((-2.0,), (0.5,), (3.0,)), (x(2, 3, 6),)),
            *cases(
                Affine,
                [
                    {"scale": (0.5, 2.0, -1.0), "shape": (1, 3, 1)},
                    {"scale": (3.0,), "center": (1.0, 0.2, 7.0), "shape": (1, 3, 1)},
                ],
                x(2, 3, 6),
            ),
            Case(
                Affine((0.5,), (1.0, 2.0, 3.0, 4.0), shape=(1, 2, 2)),
                (x(3, 2, 2),),
                layouts=Layouts.NONE,
            ),
        ),
        affine,
        layouts=Layouts.ALL,
    ),
    Row(
        AtLeast,
        cases(AtLeast, [{"bound": 0.3}, {"bound": -1.0}], wide(2, 3, 6)),
        lambda op, a: np.where(a > op.bound, a, op.bound),
        layouts=Layouts.ALL,
    ),
    Row(
        LambdaOp,
        (
            Case(
                lambda_op("float64"),
                (
                    x(2, 3, 6),
                    Arg((2, 3, 6), "positive"),
                    Arg((2, 3), "mask", dtype="bool", differentiable=False),
                ),
                of=lambda_op,
            ),
            Case(training_op("float64"), (x(2, 3, 6),), of=training_op),
        ),
        lambda_in_numpy,
        inference=lambda _, a: a,
        smooth_results=(0,),
    ),
]
