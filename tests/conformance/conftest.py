"""JAX at its strictest where that costs nothing."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    """No op promotes dtypes in silence, and none takes an old-style key."""
    with jax.numpy_dtype_promotion("strict"), jax.legacy_prng_key("error"):
        yield
