"""Constraints: formulas in NumPy and in Keras 3, names of every Keras, refusals."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from graphjit import constraints
from graphjit.configurable import serialize
from graphjit.constraints import (
    CONSTRAINTS,
    Constraint,
    FromCallable,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    UnitNorm,
    get,
)
from graphjit.errors import CaptureError, ShapeError

os.environ.setdefault("KERAS_BACKEND", "jax")

ALL = [
    MaxNorm(),
    MaxNorm(0.5, 1),
    MaxNorm(3, (0, 1, 2)),
    MaxNorm(0.0),
    NonNeg(),
    UnitNorm(),
    UnitNorm((0, 2)),
    UnitNorm(-1),
    MinMaxNorm(),
    MinMaxNorm(0.5, 1.5, 0.7, (0, 1)),
    MinMaxNorm(4, 5, 1, -1),
]


def weight(*shape: int) -> NDArray[Any]:
    values = np.random.default_rng(0).normal(size=shape)
    values[..., 0] = 0.0  # norms of 0 too
    return values.astype(np.float32)


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def reference(constraint: Constraint, w: NDArray[Any]) -> NDArray[Any]:
    """The formulas, stated plainly in float64."""
    w = w.astype(np.float64)
    if isinstance(constraint, NonNeg):
        return np.where(w > 0, w, 0)
    axis = constraint.axis
    n = np.sqrt((w**2).sum(axis=axis, keepdims=True))
    if isinstance(constraint, MaxNorm):
        return w * np.clip(n, 0, constraint.max_value) / (n + 1e-7)
    if isinstance(constraint, UnitNorm):
        return w / (n + 1e-7)
    rate, low, high = constraint.rate, constraint.min_value, constraint.max_value
    return w * (rate * np.clip(n, low, high) + (1 - rate) * n) / (n + 1e-7)


@pytest.mark.parametrize("constraint", ALL, ids=repr)
def test_formula(constraint: Constraint) -> None:
    w = weight(2, 3, 4, 5)
    value = jax.jit(constraint.project)(w)
    assert value.shape == w.shape
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, reference(constraint, w), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("constraint", ALL, ids=repr)
def test_narrow_dtypes_keep_their_dtype(constraint: Constraint) -> None:
    w = weight(3, 4, 5).astype(np.float16)
    with jax.numpy_dtype_promotion("strict"):
        value = jax.jit(constraint.project)(w)
        bfloat16 = jax.ShapeDtypeStruct(w.shape, jnp.bfloat16)
        assert jax.eval_shape(constraint.project, bfloat16) == bfloat16
    assert value.dtype == jnp.float16
    np.testing.assert_allclose(value, reference(constraint, w), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("constraint", ALL, ids=repr)
def test_keras_agrees(constraint: Constraint) -> None:
    keras = pytest.importorskip("keras")
    theirs = keras.constraints.get(serialize(constraint))
    w = weight(3, 4, 5)
    ours, other = jax.jit(lambda w: (constraint.project(w), theirs(w)))(w)
    np.testing.assert_allclose(ours, other, rtol=1e-6, atol=1e-7)
    assert get(keras.constraints.serialize(theirs)) == constraint


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=6, max_size=6),
    st.floats(0.0, 10.0),
    st.floats(0.0, 10.0),
)
@settings(max_examples=50, deadline=None)
def test_norms_end_within_their_bounds(
    values: list[float], low: float, span: float
) -> None:
    w = jnp.asarray(values, jnp.float32).reshape(3, 2)
    high = low + span
    before = np.linalg.norm(w, axis=0)
    at_most = np.linalg.norm(MaxNorm(high).project(w), axis=0)
    assert np.all(at_most <= high * (1 + 1e-5))
    between = np.linalg.norm(MinMaxNorm(low, high).project(w), axis=0)
    # A norm near epsilon cannot be scaled up to its bound.
    assert np.all(between[before > 1e-2] >= low * (1 - 1e-4))
    assert np.all(between <= high * (1 + 1e-5))
    assert np.all(np.asarray(NonNeg().project(w)) >= 0)


# --- names and configs ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("identifier", "wanted"),
    [
        ("maxnorm", MaxNorm(2.0, 0)),
        ("max_norm", MaxNorm(2.0, 0)),
        ("MaxNorm", MaxNorm(2.0, 0)),
        ("nonneg", NonNeg()),
        ("non_neg", NonNeg()),
        ("NonNeg", NonNeg()),
        ("unitnorm", UnitNorm(0)),
        ("unit_norm", UnitNorm(0)),
        ("min_max_norm", MinMaxNorm(0.0, 1.0, 1.0, 0)),
        (UnitNorm, UnitNorm(0)),
        (MaxNorm(3), MaxNorm(3.0)),
        ({"class_name": "MaxNorm", "config": {"max_value": 3}}, MaxNorm(3.0)),
        ({"class_name": "UnitNorm", "config": {"axis": [0, 1]}}, UnitNorm((0, 1))),
        ({"name": "MaxNorm", "m": 3, "axis": 1}, MaxNorm(3.0, 1)),
        ({"name": "NonNeg"}, NonNeg()),
        ({"name": "UnitNorm", "axis": 1}, UnitNorm(1)),
        (
            {"name": "MinMaxNorm", "low": 0.1, "high": 2, "rate": 0.5, "axis": 1},
            MinMaxNorm(0.1, 2.0, 0.5, 1),
        ),
        ({"class_name": "MaxNorm", "config": {"m": 3}}, MaxNorm(3.0)),
        (None, None),
    ],
)
def test_identifiers(identifier: object, wanted: Constraint | None) -> None:
    assert get(identifier) == wanted


def test_functions_of_keras_1_and_2_are_the_classes() -> None:
    assert constraints.max_norm(3.0) == constraints.maxnorm(3) == MaxNorm(3)
    assert constraints.non_neg() == constraints.nonneg() == NonNeg()
    assert constraints.unit_norm(1) == constraints.unitnorm(axis=1) == UnitNorm(1)
    assert constraints.min_max_norm(0.5) == MinMaxNorm(0.5)


@pytest.mark.parametrize("constraint", ALL, ids=repr)
def test_configs(constraint: Constraint) -> None:
    assert get(json.loads(json.dumps(serialize(constraint)))) == constraint
    assert type(constraint).__name__ in CONSTRAINTS


def test_callables() -> None:
    def halve(w: jax.Array) -> jax.Array:
        return w / 2

    constraint = get(halve)
    assert constraint == FromCallable(halve)
    np.testing.assert_array_equal(constraint.project(jnp.ones(2)), [0.5, 0.5])
    # A NumPy result, wider than the weight, comes back in the weight's dtype.
    doubled = get(lambda w: 2 * np.ones(2)).project(jnp.ones(2, jnp.bfloat16))
    assert doubled.dtype == jnp.bfloat16
    text = (
        "FromCallable(test_callables.<locals>.halve): expected settings to save, "
        "received a Python callable\n  hint: use a named constraint, or enter a "
        "subclass of Constraint in CONSTRAINTS"
    )
    with pytest.raises(CaptureError, match=exactly(text)):
        constraint.get_config()
    text = r"^FromCallable\(.*\): expected an array of shape \(2,\), received \(\)$"
    with pytest.raises(ShapeError, match=text):
        get(lambda w: w.sum()).project(jnp.ones(2))


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        (
            "maxnrom",
            "fc: constraint: expected a known name, received 'maxnrom'\n"
            "  hint: did you mean 'maxnorm'?",
        ),
        (
            2,
            "fc: expected constraint as a name, a dict, a class or an instance, "
            "received 2",
        ),
        (
            {"name": "MaxNorm", "m": 3, "max_value": 3},
            "fc: MaxNorm: expected 'max_value' once, received twice",
        ),
        (
            {"class_name": "NonNeg", "config": {"axis": 0}},
            "fc: NonNeg: expected no settings, received 'axis'",
        ),
    ],
)
def test_refused_identifiers(identifier: object, text: str) -> None:
    with pytest.raises(CaptureError, match=exactly(text)):
        get(identifier, "fc")


@pytest.mark.parametrize(
    ("cls", "given_settings", "text"),
    [
        (MaxNorm, (-1,), "max_value: expected a number >= 0, received -1.0"),
        (MinMaxNorm, (-1,), "min_value: expected a number >= 0, received -1.0"),
        (
            MinMaxNorm,
            (2, 1),
            "max_value: expected at least min_value = 2.0, received 1.0",
        ),
        (
            UnitNorm,
            (0.5,),
            "axis: expected an int or a tuple, each an int, received 0.5",
        ),
        (
            MaxNorm,
            (1, (0, 0)),
            "axis: expected one or more different axes, received (0, 0)",
        ),
        (UnitNorm, ([],), "axis: expected one or more different axes, received ()"),
        (
            MinMaxNorm,
            (0, 1, 1, (1, 1)),
            "axis: expected one or more different axes, received (1, 1)",
        ),
    ],
)
def test_refused_settings(
    cls: type[Constraint], given_settings: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(CaptureError, match=exactly(f"{cls.__name__}: {text}")):
        cls(*given_settings)


@pytest.mark.parametrize("axis", [2, -3, (0, 2)])
def test_axes_must_exist(axis: int | tuple[int, ...]) -> None:
    last = axis[-1] if isinstance(axis, tuple) else axis
    text = f"axis: expected an axis of a weight (3, 4), received {last}"
    for constraint in (MaxNorm(1, axis), UnitNorm(axis), MinMaxNorm(0, 1, 1, axis)):
        where = type(constraint).__name__
        with pytest.raises(ShapeError, match=exactly(f"{where}: {text}")):
            constraint.project(jnp.ones((3, 4)))
