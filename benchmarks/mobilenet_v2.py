"""MobileNetV2 inference: the executable, the plain lowering, and Keras on JAX."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import jax
import numpy as np

import graphjit as gj
from benchmarks import models
from benchmarks.measure import Report, interleaved, ratio

__all__ = ["run", "undrawn"]


def run(quick: bool) -> Report:
    """224 × 224, batch 1; the outputs are compared before anything is timed."""
    report = Report("mobilenet_v2")
    size, classes = (32, 10) if quick else (224, 1000)
    shape = (size, size, 3)
    model = models.mobilenet_v2(classes=classes, input_shape=shape)
    model.set_weights(models.lively_weights(model))
    data = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    x = jax.device_put(data)
    exe = gj.jit(model)
    candidates: dict[str, Callable[[], Any]] = {"exe": lambda: exe(x)}
    candidates["plain"] = _plain(model, x)
    peer, note = _keras(model, x, classes)
    if peer is None:
        report.notes.append(note)
    else:
        candidates["keras"] = peer
    reference = np.asarray(exe(x))
    for name, call in candidates.items():
        error = np.abs(np.asarray(call()) - reference).max() / np.abs(reference).max()
        if not error < 1e-4:
            raise RuntimeError(f"{name} and exe differ by {error:.1e}: nothing timed")
        if name != "exe":
            report.add(f"largest difference of exe and {name}", float(error), "of max")
    timings = interleaved(candidates, rounds=2 if quick else 25)
    report.timings(timings)
    report.add("exe / plain", ratio(timings, "exe", "plain"), "ratio")
    if peer is not None:
        report.add("exe / keras", ratio(timings, "exe", "keras"), "ratio", 0.25)
    flops = exe.cost(1).flops
    rate = flops / timings["exe"].median_ms / 1e6
    report.add("exe: arithmetic rate", rate, "GFLOP/s")
    return report


def _plain(model: gj.Model, x: Any) -> Callable[[], Any]:
    """The inference graph as captured: no pass but the change of mode."""
    graph, _ = gj.passes.run(model.graph, (gj.passes.ToInference(),))
    lowered = gj.lower(graph)
    variables = model.variables
    call: Callable[..., Any] = jax.jit(lambda p, s, x: lowered(p, s, x).outputs)
    return lambda: call(variables["params"], variables["state"], x)


def _keras(
    model: gj.Model, x: Any, classes: int
) -> tuple[Callable[[], Any] | None, str]:
    """Keras 3's own MobileNetV2 with the same weights; None where it cannot be."""
    if importlib.util.find_spec("keras") is None:
        return None, "keras is not installed: no peer"
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    if keras.config.backend() != "jax":
        return None, f"keras runs on {keras.config.backend()!r}, not on jax: no peer"
    with undrawn(keras):
        peer = keras.applications.MobileNetV2(
            input_shape=x.shape[1:], weights=None, classes=classes
        )
    peer.set_weights(model.get_weights())
    trainable = [variable.value for variable in peer.trainable_variables]
    rest = [variable.value for variable in peer.non_trainable_variables]

    def apply(trainable: Any, rest: Any, x: Any) -> Any:
        return peer.stateless_call(trainable, rest, x, training=False)[0]

    call: Callable[..., Any] = jax.jit(apply)
    return lambda: call(trainable, rest, x), ""


def undrawn(keras: Any) -> contextlib.AbstractContextManager[Any]:
    """Inside it Keras's kernels start as zeros: drawing them takes it 8 to 12 s.

    For networks whose weights are set right after.
    """

    def zeros(_self: Any, shape: Sequence[int], dtype: Any = None) -> Any:
        return np.zeros(shape, dtype or "float32")

    return mock.patch.object(keras.initializers.VarianceScaling, "__call__", zeros)
