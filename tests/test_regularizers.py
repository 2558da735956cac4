"""Regularizers: formulas in NumPy and in Keras 3, gradients, names, refusals."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from graphjit import regularizers
from graphjit.configurable import serialize
from graphjit.errors import CaptureError, ShapeError
from graphjit.regularizers import (
    L1,
    L1L2,
    L2,
    REGULARIZERS,
    FromCallable,
    OrthogonalRegularizer,
    Regularizer,
    get,
)

os.environ.setdefault("KERAS_BACKEND", "jax")

ALL = [
    L1(0.3),
    L2(0.2),
    L1L2(0.3, 0.2),
    L1L2(0.0, 0.2),
    L1L2(0.3, 0.0),
    L1L2(),
    OrthogonalRegularizer(0.4),
    OrthogonalRegularizer(0.4, "columns"),
]


def weight(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def reference(regularizer: Regularizer, w: NDArray[Any]) -> float:
    """The formulas, stated plainly in float64."""
    w = w.astype(np.float64)
    if isinstance(regularizer, OrthogonalRegularizer):
        rows = w if regularizer.mode == "rows" else w.T
        total, pairs = 0.0, 0
        for i, a in enumerate(rows):
            for b in rows[:i]:
                total += abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
                pairs += 1
        return regularizer.factor * total / pairs
    l1, l2 = getattr(regularizer, "l1", 0.0), getattr(regularizer, "l2", 0.0)
    return l1 * np.abs(w).sum() + l2 * (w**2).sum()


@pytest.mark.parametrize("regularizer", ALL, ids=repr)
def test_formula(regularizer: Regularizer) -> None:
    w = weight(5, 7)
    wanted = reference(regularizer, w)
    value = jax.jit(regularizer.penalty)(w)
    assert value.shape == ()
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, wanted, rtol=1e-6)


@pytest.mark.parametrize("regularizer", ALL, ids=repr)
def test_gradient(regularizer: Regularizer) -> None:
    w, step = weight(3, 4), 1e-6
    gradient = jax.jit(jax.grad(regularizer.penalty))(w)
    numeric = np.zeros(w.shape)
    for index in np.ndindex(w.shape):
        moved = np.zeros(w.shape)
        moved[index] = step
        difference = reference(regularizer, w + moved) - reference(
            regularizer, w - moved
        )
        numeric[index] = difference / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("regularizer", ALL, ids=repr)
def test_narrow_dtypes_are_summed_in_float32(regularizer: Regularizer) -> None:
    w = weight(5, 7).astype(np.float16)
    with jax.numpy_dtype_promotion("strict"):
        value = jax.jit(regularizer.penalty)(w)
        bfloat16 = jax.ShapeDtypeStruct(w.shape, jnp.bfloat16)
        assert jax.eval_shape(regularizer.penalty, bfloat16).dtype == jnp.float32
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, reference(regularizer, w), rtol=1e-6)


@pytest.mark.parametrize("regularizer", ALL[:3], ids=repr)
@pytest.mark.parametrize("shape", [(), (2, 3, 4, 5), (0, 3)])
def test_any_shape(regularizer: Regularizer, shape: tuple[int, ...]) -> None:
    w = weight(*shape)
    wanted = reference(regularizer, w)
    np.testing.assert_allclose(jax.jit(regularizer.penalty)(w), wanted, rtol=1e-5)


def test_a_factor_of_zero_leaves_its_term_out() -> None:
    huge = jnp.asarray([1e30])
    np.testing.assert_allclose(L1L2(0.5, 0.0).penalty(huge), 5e29, rtol=1e-6)


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_at_zero_rows(mode: str) -> None:
    w = np.zeros((3, 4), np.float32)
    regularizer = OrthogonalRegularizer(1.0, mode)
    value, gradient = jax.jit(jax.value_and_grad(regularizer.penalty))(w)
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((3, 4)))


def test_orthogonal_of_one_row_has_no_penalty() -> None:
    w = np.ones((1, 4), np.float32)
    assert jax.jit(OrthogonalRegularizer().penalty)(w) == 0
    assert jax.jit(OrthogonalRegularizer(mode="columns").penalty)(w.T) == 0


@pytest.mark.parametrize("regularizer", ALL, ids=repr)
def test_keras_agrees(regularizer: Regularizer) -> None:
    keras = pytest.importorskip("keras")
    theirs = keras.regularizers.get(serialize(regularizer))
    w = weight(5, 7)
    ours, other = jax.jit(lambda w: (regularizer.penalty(w), theirs(w)))(w)
    np.testing.assert_allclose(ours, other, rtol=1e-6)
    read = get(keras.regularizers.serialize(theirs))
    assert type(read) is type(regularizer)
    # Keras keeps some factors in float32.
    config, kept = regularizer.get_config(), read.get_config()
    assert config.pop("mode", None) == kept.pop("mode", None)
    assert kept == pytest.approx(config, rel=1e-6)


# --- names and configs ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("identifier", "wanted"),
    [
        ("l1", L1(0.01)),
        ("L1", L1(0.01)),
        ("l2", L2(0.01)),
        ("l1_l2", L1L2(0.01, 0.01)),
        ("l1l2", L1L2(0.01, 0.01)),
        ("L1L2", L1L2(0.01, 0.01)),
        ("activity_l2", L2(0.01)),
        ("orthogonal_regularizer", OrthogonalRegularizer(0.01, "rows")),
        (L1L2, L1L2(0.0, 0.0)),
        (L2(0.5), L2(0.5)),
        ({"class_name": "L1L2", "config": {"l1": 0, "l2": 0.1}}, L1L2(0.0, 0.1)),
        ({"class_name": "L1L2", "config": {}}, L1L2(0.0, 0.0)),
        ({"class_name": "L2", "config": {"l2": np.float32(0.5)}}, L2(0.5)),
        ({"class_name": "l2", "config": {"l": 0.5}}, L2(0.5)),
        ({"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.1}, L1L2(0.0, 0.1)),
        ({"name": "WeightRegularizer", "l1": 0.1, "l2": 0.0}, L1L2(0.1, 0.0)),
        ({"name": "ActivityRegularizer", "l1": 0.1, "l2": 0.0}, L1L2(0.1, 0.0)),
        (None, None),
    ],
)
def test_identifiers(identifier: object, wanted: Regularizer | None) -> None:
    assert get(identifier) == wanted


def test_functions_of_keras_1_and_2() -> None:
    assert regularizers.l1() == L1(0.01)
    assert regularizers.l1(0.1) == regularizers.l1(l=0.1) == L1(0.1)
    assert regularizers.l1(l1=0.1) == L1(0.1)
    assert regularizers.l2() == L2(0.01)
    assert regularizers.l2(0.1) == regularizers.l2(l=0.1) == L2(0.1)
    assert regularizers.l2(l2=0.1) == L2(0.1)
    assert regularizers.l1_l2() == regularizers.l1l2() == L1L2(0.01, 0.01)
    assert regularizers.l1_l2(l2=0.1) == L1L2(0.01, 0.1)
    assert regularizers.orthogonal_regularizer(0.1) == OrthogonalRegularizer(0.1)


@pytest.mark.parametrize("regularizer", ALL, ids=repr)
def test_configs(regularizer: Regularizer) -> None:
    assert get(json.loads(json.dumps(serialize(regularizer)))) == regularizer
    assert type(regularizer).__name__ in REGULARIZERS


def test_callables() -> None:
    def my_penalty(w: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum(w**4)

    regularizer = get(my_penalty)
    assert regularizer == FromCallable(my_penalty)
    np.testing.assert_allclose(jax.grad(regularizer.penalty)(jnp.ones(2)), [2.0, 2.0])
    assert get(lambda w: 3.0).penalty(jnp.ones(2)) == 3.0
    text = (
        "FromCallable(test_callables.<locals>.my_penalty): expected settings to save, "
        "received a Python callable\n  hint: use a named regularizer, or enter a "
        "subclass of Regularizer in REGULARIZERS"
    )
    with pytest.raises(CaptureError, match=exactly(text)):
        regularizer.get_config()
    text = r"^FromCallable\(.*\): expected a scalar, received \(2,\)$"
    with pytest.raises(ShapeError, match=text):
        get(lambda w: w).penalty(jnp.ones(2))


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        (
            "orthogonal",
            "fc: regularizer: expected a known name, received 'orthogonal'\n"
            "  hint: did you mean 'OrthogonalRegularizer'?",
        ),
        (
            0.01,
            "fc: expected regularizer as a name, a dict, a class or an instance, "
            "received 0.01",
        ),
        (
            {"class_name": "L1", "config": {"l2": 0.1}},
            "fc: L1: expected 'l1', received 'l2'",
        ),
    ],
)
def test_refused_identifiers(identifier: object, text: str) -> None:
    with pytest.raises(CaptureError, match=exactly(text)):
        get(identifier, "fc")


def test_refused_settings() -> None:
    for cls, field in [
        (L1, "l1"),
        (L2, "l2"),
        (L1L2, "l1"),
        (L1L2, "l2"),
        (OrthogonalRegularizer, "factor"),
    ]:
        text = f"{cls.__name__}: {field}: expected a number >= 0, received -0.1"
        with pytest.raises(CaptureError, match=exactly(text)):
            cls(**{field: -0.1})
    text = "OrthogonalRegularizer: mode: expected 'rows' or 'columns', received 'cols'"
    with pytest.raises(CaptureError, match=exactly(text)):
        OrthogonalRegularizer(0.1, "cols")


def test_orthogonal_wants_a_matrix() -> None:
    text = "OrthogonalRegularizer: expected a 2-D weight, received (2, 3, 4)"
    with pytest.raises(ShapeError, match=exactly(text)):
        OrthogonalRegularizer().penalty(jnp.ones((2, 3, 4)))
