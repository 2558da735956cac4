"""Derivatives of the crossentropies: those that JAX finds in the plain formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from graphjit import crossentropy, losses

LOW, HIGH = 1e-7, 1 - 1e-7
ROWS, CLASSES = 6, 5


def plain_of_distributions(y: Any, p: Any) -> Any:
    q = jnp.clip(p / jnp.sum(p, -1, keepdims=True), LOW, HIGH)
    return -jnp.sum(y * jnp.log(q), -1)


def plain_of_classes(labels: Any, p: Any) -> Any:
    chosen = labels[..., None] == jnp.arange(p.shape[-1])
    q = jnp.clip(p / jnp.sum(p, -1, keepdims=True), LOW, HIGH)
    return -jnp.sum(jnp.where(chosen, jnp.log(q), 0), -1)


def outputs() -> Any:
    """Rows that do not sum to 1; one where the label's q is clipped, at either end."""
    p = np.random.default_rng(0).uniform(0.1, 3.0, (ROWS, CLASSES))
    p[1] = [1e-12, 1, 1, 1, 1]
    p[2] = [1, 1e-12, 1e-12, 1e-12, 1e-12]
    return p


LABELS = np.array([3, 0, 0, 1, CLASSES, -1], np.int32)
TARGETS = np.random.default_rng(1).uniform(size=(ROWS, CLASSES))

FORMS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any]] = {
    "classes": (crossentropy.of_classes, plain_of_classes, LABELS),
    "distributions": (crossentropy.of_distributions, plain_of_distributions, TARGETS),
}


@pytest.mark.parametrize("form", FORMS)
def test_values_and_slopes_are_those_of_the_formula(form: str) -> None:
    own, plain, y = FORMS[form]
    weights = np.random.default_rng(2).normal(size=ROWS)

    def with_slope(function: Callable[..., Any]) -> Any:
        return jax.value_and_grad(lambda p: jnp.sum(weights * function(y, p)))

    @jax.jit
    def both(p: Any) -> Any:
        sums = [with_slope(function)(p) for function in (own, plain)]
        return sums, (own(y, p), plain(y, p))

    with jax.enable_x64(True):
        sums, values = both(jnp.asarray(outputs()))
    np.testing.assert_allclose(*values, rtol=1e-14)
    for a, b in zip(*sums, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_nothing_moves_where_the_probability_is_clipped_or_the_label_is_no_class() -> (
    None
):
    slopes = jax.grad(lambda p: jnp.sum(crossentropy.of_classes(LABELS, p)))(
        jnp.asarray(outputs(), jnp.float32)
    )
    moved = np.any(np.asarray(slopes) != 0, -1)
    np.testing.assert_array_equal(moved, [True, False, False, True, False, False])


def test_derivatives_of_second_order() -> None:
    """Forward mode over reverse mode."""
    p = np.random.default_rng(3).uniform(0.5, 2.0, (2, CLASSES))

    @jax.jit
    def second(p: Any) -> Any:
        return [
            jax.hessian(lambda p, f=function, y=y[:2]: jnp.sum(f(y, p)))(p)
            for own, plain, y in FORMS.values()
            for function in (own, plain)
        ]

    with jax.enable_x64(True):
        found = second(jnp.asarray(p))
    for own, plain in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_allclose(own, plain, rtol=1e-10, atol=1e-12)


def test_targets_may_be_differentiated() -> None:
    y, p = jnp.asarray(TARGETS, jnp.float32), jnp.asarray(outputs(), jnp.float32)

    def slopes(function: Callable[..., Any]) -> Any:
        return jax.grad(lambda y, p: jnp.sum(function(y, p)), (0, 1))(y, p)

    found, wanted = (
        slopes(f) for f in (crossentropy.of_distributions, plain_of_distributions)
    )
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_nan_stays_nan() -> None:
    p = jnp.full((1, CLASSES), jnp.nan)
    for loss, y in (
        (losses.sparse_categorical_crossentropy, LABELS[:1]),
        (losses.categorical_crossentropy, TARGETS[:1]),
    ):
        value, slope = jax.value_and_grad(lambda p: jnp.sum(loss(y, p)))(p)  # noqa: B023
        assert np.isnan(value)
        assert np.isnan(slope).all()


def test_a_step_of_a_small_net_has_no_logarithm_of_every_class() -> None:
    """What the derivative is for: the logarithm of n numbers, not of n * c."""

    def loss(logits: Any, labels: Any) -> Any:
        p = jax.nn.softmax(logits)
        return jnp.sum(losses.sparse_categorical_crossentropy(labels, p))

    text = str(jax.make_jaxpr(jax.grad(loss))(jnp.ones((ROWS, CLASSES)), LABELS))
    assert f"f32[{ROWS}] = log" in text
    assert f"f32[{ROWS},{CLASSES}] = log" not in text
