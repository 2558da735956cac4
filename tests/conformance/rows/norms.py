"""Norms of each sample by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphjit.ops.norms import GroupNorm, LayerNorm, UnitNorm
from tests.conformance.case import Case, Layouts, Row, cases, w, x
from tests.conformance.formulas import Array

__all__ = ["ROWS"]


def shaped(scale: Array | None, x: Array, axes: Any, missing: float) -> Any:
    """A scale or a shift along `axes` of x."""
    if scale is None:
        return missing
    return scale.reshape([x.shape[a] if a in axes else 1 for a in range(x.ndim)])


def layer_norm(op: Any, x: Array, gamma: Any = None, beta: Any = None) -> Array:
    mean = x.mean(op.axes, keepdims=True)
    variance = ((x - mean) ** 2).mean(op.axes, keepdims=True)
    if op.form == "rms":
        variance = (x**2).mean(op.axes, keepdims=True)
    moved = x - mean if op.form == "centred" else x
    y = moved / (np.sqrt(variance + op.epsilon) + op.outer_epsilon)
    return y * shaped(gamma, x, op.axes, 1.0) + shaped(beta, x, op.axes, 0.0)


def group_norm(op: Any, x: Array, gamma: Any = None, beta: Any = None) -> Array:
    y = np.zeros(x.shape)
    last, result = np.moveaxis(x, op.axis, -1), np.moveaxis(y, op.axis, -1)
    size = last.shape[-1] // op.groups
    for sample in range(len(x)):
        for group in range(op.groups):
            channels = slice(group * size, (group + 1) * size)
            members = last[sample, ..., channels]
            root = np.sqrt(members.var() + op.epsilon)
            result[sample, ..., channels] = (members - members.mean()) / root
    return y * shaped(gamma, x, (op.axis,), 1.0) + shaped(beta, x, (op.axis,), 0.0)


def unit_norm(op: Any, x: Array) -> Array:
    length = np.sqrt((x**2).sum(op.axes, keepdims=True))
    return x / np.maximum(length, op.epsilon)


def layer(*args: Any, **attributes: Any) -> Case:
    return Case(LayerNorm(**attributes), args)


def group(*args: Any, **attributes: Any) -> Case:
    return Case(GroupNorm(**attributes), args)


ROWS: list[Row] = [
    Row(
        LayerNorm,
        (
            layer(x(2, 3, 6), w(6), w(6), axes=(2,)),
            layer(x(2, 5, 4, 6), w(4, 6), w(4, 6), axes=(2, 3), epsilon=0.2),
            layer(x(2, 5, 4, 6), w(5, 6), None, axes=(1, 3), form="scaled"),
            layer(x(2, 4, 6), None, w(4), axes=(1,), epsilon=0.05),
            layer(x(2, 3, 6), w(6), axes=(2,), form="rms", epsilon=0.3),
            layer(x(2, 3, 6), axes=(1, 2)),
            layer(x(5, 6), w(6), w(6), axes=(1,), epsilon=0.1, outer_epsilon=0.2),
        ),
        layer_norm,
        layouts=Layouts.ALL,
        exact=False,
        tolerance=1e-11,
    ),
    Row(
        GroupNorm,
        (
            group(x(2, 5, 4, 6), w(6), w(6), groups=3, axis=3),
            group(x(2, 6, 4), w(6), None, groups=2, axis=1, epsilon=0.2),
            group(x(2, 5, 4, 6), None, w(4), groups=4, axis=2, epsilon=0.05),
            group(x(3, 6), groups=1, axis=1),
        ),
        group_norm,
        layouts=Layouts.ALL,
        exact=False,
        tolerance=1e-11,
    ),
    Row(
        UnitNorm,
        cases(
            UnitNorm,
            [{"axes": (3,)}, {"axes": (1, 2)}, {"axes": (2,), "epsilon": 2.5}],
            x(2, 5, 4, 6),
        ),
        unit_norm,
        layouts=Layouts.ALL,
        exact=False,
    ),
]
