"""What `fit` adds to a training loop written by hand with optax, on a small net."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.measure import Report, interleaved, ratio
from benchmarks.models import mlp
from graphjit.callbacks import LambdaCallback

__all__ = ["run"]

_TARGET = 1.0


def run(quick: bool) -> Report:
    """An MLP (64, 64, 10) with Adam and accuracy: an epoch of `fit` and of the loop.

    Both shuffle, gather every batch, and keep the metrics on the device until the
    epoch ends. What a call of `fit` costs besides (checks, copies) is in the figure.
    """
    report = Report("training_loop")
    rounds, batches = (2, 3) if quick else (15, 200)
    for size in (32, 256):
        loop = _ByHand(size, batches)
        candidates: dict[str, Callable[[], Any]] = {
            "fit": loop.fit,
            "fit, a batch callback": loop.fit_watched,
            "by hand": loop.by_hand,
            "train_on_batch": loop.on_batches,
        }
        timings = interleaved(candidates, rounds)
        for name, timing in timings.items():
            step_us = timing.median_ms * 1e3 / batches
            report.add(f"batch {size}: {name}, a step", step_us, "us")
        report.add(
            f"batch {size}: fit / by hand",
            ratio(timings, "fit", "by hand"),
            "ratio",
            _TARGET,
        )
    return report


class _ByHand:
    """The same net, data and optimizer, in `fit` and in a loop."""

    def __init__(self, size: int, batches: int) -> None:
        rng = np.random.default_rng(0)
        self.size, self.rows = size, size * batches
        self.x = rng.normal(size=(self.rows, 64)).astype(np.float32)
        self.y = rng.integers(0, 10, self.rows).astype(np.int32)
        self.model = mlp()
        self.model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        weights = self.model.get_weights()
        self._weights = tuple(jnp.array(array) for array in weights)
        self._optimizer = optax.adam(1e-3)
        self._step = partial(jax.jit, donate_argnums=(0, 1, 2))(self._stepped)

    def fit(self) -> Any:
        history = self.model.fit(self.x, self.y, self.size, verbose=0)
        return history.history["loss"]

    def fit_watched(self) -> Any:
        watch = LambdaCallback(on_train_batch_end=lambda batch, logs: None)
        return self.model.fit(
            self.x, self.y, self.size, verbose=0, callbacks=watch
        ).history["loss"]

    def on_batches(self) -> Any:
        for start in range(0, self.rows, self.size):
            stop = start + self.size
            result = self.model.train_on_batch(self.x[start:stop], self.y[start:stop])
        return result

    def by_hand(self) -> Any:
        weights = jax.tree.map(jnp.copy, self._weights)
        state, sums = self._optimizer.init(weights), jnp.zeros(3)
        order = np.random.default_rng(1).permutation(self.rows)
        for start in range(0, self.rows, self.size):
            rows = order[start : start + self.size]
            weights, state, sums = self._step(
                weights, state, sums, self.x[rows], self.y[rows]
            )
        return np.asarray(sums)

    def _stepped(
        self, weights: Any, state: Any, sums: Any, x: Any, y: Any
    ) -> tuple[Any, Any, Any]:
        gradient: Any = jax.grad(_loss, has_aux=True)
        slopes, measured = gradient(weights, x, y)
        deltas, state = self._optimizer.update(slopes, state, weights)
        return optax.apply_updates(weights, deltas), state, sums + measured


def _loss(weights: Any, x: Any, y: Any) -> tuple[Any, Any]:
    kernel, bias, last_kernel, last_bias = weights
    logits = jnp.maximum(x @ kernel + bias, 0) @ last_kernel + last_bias
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
    hits = (logits.argmax(-1) == y).sum().astype(jnp.float32)
    return losses.mean(), jnp.stack([losses.sum(), hits, jnp.float32(len(y))])
