"""The gradient to a bias is the sum over all places, in any dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from graphjit.ops.bias import with_bias
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.conv.pointwise_kernel import POINTWISE_DOT
from graphjit.ops.dense import DenseOp

PIXELS = (8, 56, 56)
POINTWISE = np.zeros((1, 1, 1, 16))


def plain_conv(x: Any, bias: Any) -> Any:
    return ConvOp((1, 1)).lower(x, jnp.asarray(POINTWISE, x.dtype), bias)


def pointwise_kernel(x: Any, bias: Any) -> Any:
    kernel = jnp.asarray(POINTWISE, x.dtype)
    return POINTWISE_DOT.lower(ConvOp((1, 1)), x, kernel, bias)


def dense(x: Any, bias: Any) -> Any:
    return DenseOp().lower(x, jnp.zeros((1, 16), x.dtype), bias)


@pytest.mark.parametrize("op", [plain_conv, pointwise_kernel, dense])
def test_gradient_in_bfloat16_is_that_of_float32_rounded(
    op: Callable[[Any, Any], Any],
) -> None:
    # Summed as XLA would sum bfloat16 it is 15 units of the last place off.
    slopes = np.random.default_rng(0).normal(0.02, 1, (*PIXELS, 16))
    slopes = slopes.astype(jnp.bfloat16)

    def slope(x: Any, bias: Any, slopes: Any) -> Any:
        return jax.vjp(lambda bias: op(x, bias), bias)[1](slopes)[0]

    given = np.zeros((*PIXELS, 1), slopes.dtype), np.zeros(16, slopes.dtype), slopes
    found = jax.jit(slope)(*given)
    wanted = slopes.astype("float64").sum((0, 1, 2))
    error = np.abs(np.asarray(found, "float64") - wanted).max() / np.abs(wanted).max()
    assert found.dtype == jnp.bfloat16
    assert error <= jnp.finfo(jnp.bfloat16).eps


def test_forward_mode_and_second_order() -> None:
    y, bias = jnp.ones((2, 3), jnp.bfloat16), jnp.arange(3, dtype=jnp.bfloat16)
    result, moved = jax.jvp(with_bias, (y, bias), (2 * y, bias))
    np.testing.assert_array_equal(result, y + bias)
    np.testing.assert_array_equal(moved, 2 * y + bias)

    def cubed(bias: Any) -> Any:
        return jnp.sum(with_bias(y, bias) ** 3)

    wanted = np.diag(12.0 * np.asarray(1 + bias, "float32"))
    np.testing.assert_array_equal(jax.hessian(cubed)(bias), wanted)


def test_without_a_bias_it_is_y() -> None:
    y = jnp.ones(3)
    assert with_bias(y, None) is y
