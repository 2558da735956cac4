"""Loading networks of `keras.applications` from files: graphjit and Keras on JAX."""

from __future__ import annotations

import gc
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import graphjit as gj
from benchmarks import models
from benchmarks.measure import LEAST_ROUNDS, Report, interleaved, ratio
from benchmarks.mobilenet_v2 import undrawn

__all__ = ["compare", "run"]

#: Large arrays; many layers; many layers of few numbers; layers of Keras's own kinds.
NETS = ("VGG16", "EfficientNetB0", "MobileNetV3Small", "ConvNeXtTiny")
#: Where there is no Keras to build those.
OWN: dict[str, Callable[[], gj.Model]] = {
    "ResNet50": models.resnet50,
    "MobileNetV2": models.mobilenet_v2,
}
QUICK: dict[str, Callable[[], gj.Model]] = {"MLP": models.mlp}
#: By the ending of a name, the form of the file: Keras 3's zip, and HDF5.
ENDINGS = ("keras", "h5")


def run(quick: bool) -> Report:
    """Files of Keras's own, or of graphjit's where there is no Keras."""
    report = Report("loading")
    keras = _keras(report)
    with tempfile.TemporaryDirectory() as folder:
        for path in _files(Path(folder), keras, quick):
            compare(report, path, keras, rounds=1 if quick else LEAST_ROUNDS)
            path.unlink()
    return report


def _keras(report: Report) -> Any:
    """Keras on JAX; None, and a note, where it cannot be."""
    if importlib.util.find_spec("keras") is None:
        report.notes.append("keras is not installed: files of graphjit's, no peer")
        return None
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    if keras.config.backend() == "jax":
        return keras
    report.notes.append(f"keras runs on {keras.config.backend()!r}, not on jax")
    return None


def _files(folder: Path, keras: Any, quick: bool) -> Iterator[Path]:
    """The files of one network at a time: the largest takes 1.1 GB for both."""
    if quick or keras is None:
        for name, build in (QUICK if quick else OWN).items():
            model = build()
            for ending in ENDINGS:
                path = folder / f"{name}.{ending}"
                gj.keras.save_model(model, path)
                yield path
        return
    rng = np.random.default_rng(0)
    for name in NETS:
        with undrawn(keras):
            net = getattr(keras.applications, name)(weights=None)
        net.set_weights([rng.random(w.shape, np.float32) for w in net.weights])
        paths = [folder / f"{name}.{ending}" for ending in ENDINGS]
        for path in paths:
            net.save(path)
        del net
        yield from paths


def compare(report: Report, path: Path, keras: Any, rounds: int) -> None:
    """Load one file in turns, after both have been seen to give equal weights.

    Args:
        report: Takes the figures.
        path: A whole model.
        keras: The package, on JAX; None: no peer.
        rounds: How often each takes its turn.

    Raises:
        RuntimeError: Keras reads other weights.
    """
    candidates: dict[str, Callable[[], Any]] = {
        "graphjit": lambda: gj.keras.load_model(path).variables
    }
    if keras is not None:
        trouble = _trouble(path, keras)
        if trouble:
            report.notes.append(f"{path.name}: {trouble}")
        else:
            candidates["keras"] = lambda: _arrays(_by_keras(keras, path))
    timings = interleaved(candidates, rounds, warmup=1, before=gc.collect)
    report.timings(timings, f"{path.name}: ")
    if "keras" in candidates:
        times = ratio(timings, "graphjit", "keras")
        report.add(f"{path.name}: graphjit / keras", times, "ratio", 1.0)


def _by_keras(keras: Any, path: Path) -> Any:
    return keras.models.load_model(path, compile=False)


def _arrays(model: Any) -> list[Any]:
    """What Keras's variables hold, so that it is waited for."""
    return [variable.value for variable in model.variables]


def _trouble(path: Path, keras: Any) -> str:
    """Why Keras cannot be timed on a file; empty where it can."""
    try:
        theirs = _by_keras(keras, path)
    except (TypeError, ValueError) as error:
        return f"Keras {keras.__version__} cannot read it ({type(error).__name__})"
    ours = gj.keras.load_model(path).get_weights()
    found = theirs.get_weights()
    if len(ours) != len(found) or not all(map(np.array_equal, ours, found)):
        raise RuntimeError(f"{path.name}: weights differ from Keras's: nothing timed")
    return ""
