"""What narrow floats share has its slopes summed in float32; the rest is as it was."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from graphjit.ops import wide_sums
from graphjit.ops.embedding import EmbeddingOp
from graphjit.ops.pool import AveragePool


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool"])
def test_what_is_not_narrow_broadcasts_by_itself(dtype: str) -> None:
    x = jnp.ones(3, dtype)
    assert wide_sums.spread(x, (2, 3)) is x
    assert wide_sums.loop_constants([x])()[0] is x


def test_programs_in_float32_say_nothing_of_it() -> None:
    def step(x: Any, ids: Any) -> Any:
        return wide_sums.spread(x, (4, 3)) + wide_sums.rows_of(x[:, None], ids)

    text = str(jax.make_jaxpr(step)(jnp.ones(3), jnp.ones(3, "int32")))
    assert "custom_jvp" not in text
    assert "convert_element_type" not in text


def test_spread_in_forward_mode_and_twice() -> None:
    x = jnp.arange(3, dtype=jnp.bfloat16)
    y, moved = jax.jvp(lambda x: wide_sums.spread(x, (2, 3)), (x,), (2 * x,))
    np.testing.assert_array_equal(y, jnp.broadcast_to(x, (2, 3)))
    np.testing.assert_array_equal(moved, 2 * y)

    def cubed(x: Any) -> Any:
        return jnp.sum(wide_sums.spread(x, (2, 3)) ** 3)

    np.testing.assert_array_equal(jax.hessian(cubed)(x), np.diag([0.0, 12, 24]))


def test_rows_in_forward_mode_and_past_the_table() -> None:
    table = jnp.arange(6, dtype=jnp.bfloat16).reshape(3, 2)
    ids = jnp.asarray([2, 0, 3, -1])
    y, moved = jax.jvp(lambda t: EmbeddingOp().lower(ids, t), (table,), (2 * table,))
    wanted = np.asarray([[4, 5], [0, 1], [np.nan, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(np.asarray(y, "float32"), wanted)
    np.testing.assert_array_equal(np.asarray(moved[:2], "float32"), 2 * wanted[:2])


def test_constants_of_a_loop_keep_their_types() -> None:
    key = jax.random.key(0)
    given = [jnp.ones(2, jnp.bfloat16), None, jnp.ones(2, "int8"), key, jnp.ones(2)]
    inside = wide_sums.loop_constants(given)()
    assert [getattr(x, "dtype", None) for x in inside] == [
        getattr(x, "dtype", None) for x in given
    ]


def test_mean_of_a_large_window() -> None:
    # Added one by one in bfloat16, ones come to 256 and stay there.
    x = jnp.ones((1, 48, 48, 2), jnp.bfloat16)
    y = AveragePool((48, 48), (1, 1)).lower(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(y, "float32"), 1)
