"""What an Executable adds to a hand-written jitted function, on the smallest net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import graphjit as gj
from benchmarks.measure import Report, interleaved, ratio
from benchmarks.models import mlp

__all__ = ["run"]

_TARGET = 1.3


def run(quick: bool) -> Report:
    """A two-matrix MLP on a batch of one, against jax.jit over a flat tuple."""
    report = Report("executable_overhead")
    model = mlp()
    exe = gj.jit(model)
    weights = tuple(jnp.array(array) for array in model.get_weights())
    by_hand: Callable[..., Any] = jax.jit(_by_hand)
    data = np.random.default_rng(0).normal(size=(1, 64)).astype(np.float32)
    rounds, calls = (2, 2) if quick else (25, 1000)
    for kind, x in (("jax", jax.device_put(data)), ("numpy", data)):
        streamed = interleaved(
            {"exe": lambda x=x: exe(x), "by hand": lambda x=x: by_hand(weights, x)},
            rounds,
            calls,
        )
        report.timings(streamed, f"{kind} input, calls in flight: ")
        report.add(
            f"{kind} input, calls in flight: exe / by hand",
            ratio(streamed, "exe", "by hand"),
            "ratio",
            _TARGET,
        )
        waited = interleaved(
            {
                "exe": lambda x=x: exe(x).block_until_ready(),
                "by hand": lambda x=x: by_hand(weights, x).block_until_ready(),
            },
            rounds,
            calls,
        )
        report.timings(waited, f"{kind} input, each waited for: ")
        report.add(
            f"{kind} input, each waited for: exe / by hand",
            ratio(waited, "exe", "by hand"),
            "ratio",
            _TARGET,
        )
    return report


def _by_hand(weights: tuple[Any, ...], x: Any) -> Any:
    kernel, bias, last_kernel, last_bias = weights
    hidden = jnp.maximum(x @ kernel + bias, 0)
    return jax.nn.softmax(hidden @ last_kernel + last_bias)
