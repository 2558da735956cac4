"""`keras.applications` through files: outputs, and the time to load.

    python -m tests.keras.applications FOLDER [--only NAME …] [--size N] [--time]

builds every architecture in Keras with random weights, saves it as `.keras` and `.h5`,
loads both with graphjit, and prints errors against the same network in float64 (with
``--time``: how long either library takes to load). A test runs a few of them, small.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import graphjit as gj
from benchmarks import loading
from benchmarks.measure import Report

#: The smallest of every family, and three large ones.
NAMES = (
    "ConvNeXtTiny DenseNet121 DenseNet201 EfficientNetB0 EfficientNetB7 "
    "EfficientNetV2B0 InceptionResNetV2 InceptionV3 MobileNet MobileNetV2 "
    "MobileNetV3Small NASNetMobile ResNet50 ResNet50V2 ResNet152 VGG16 Xception"
).split()
#: Height and width: with Keras's own, float64 takes minutes.
SIZE = 128
ENDINGS = ("keras", "h5")
#: design.md, 9: the error allowed without a peer's, and how many times the peer's.
TOLERANCE, TIMES_PEER = 1e-5, 2.0


@dataclass(frozen=True)
class Made:
    """A network in Keras, and what it gives.

    Attributes:
        model: Keras's.
        x: Images.
        exact: What the network gives in float64.
        peer: Keras's error in float32, against that.
    """

    model: Any
    x: np.ndarray[Any, Any]
    exact: np.ndarray[Any, Any]
    peer: float


def made(make: Callable[..., Any], whole: bool = True, **settings: Any) -> Made:
    """A network with random weights, and its outputs in float32 and float64.

    Args:
        make: A function of `keras.applications`.
        whole: How Keras runs; see `forward`.
        settings: Of that function. The network gives logits: a softmax is too coarse.
    """
    import jax
    import keras

    def built() -> Any:
        return make(weights=None, classifier_activation=None, **settings)

    model = built()
    rng = np.random.default_rng(3)
    x = rng.random((1, *model.input_shape[1:]), np.float32) * 255
    if not any(type(at).__name__ == "Rescaling" for at in model.layers):
        x = x / 127.5 - 1
    randomize(model, x, rng, whole)
    found = forward(model, x, whole=whole)
    with jax.enable_x64(True):
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        try:
            wide = built()
            wide.set_weights(model.get_weights())
            exact = forward(wide, x.astype(np.float64), whole=whole)
        finally:
            keras.config.set_floatx("float32")
            keras.config.set_dtype_policy("float32")
    assert exact.dtype == np.float64
    assert np.isfinite(exact).all()
    assert np.std(exact) > 1e-3
    return Made(model, x, exact, error(found, exact))


def randomize(model: Any, x: Any, rng: np.random.Generator, whole: bool) -> None:
    """Weights of every kind that are none of their first values.

    Statistics are near those of the data, so that activations keep their size through
    hundreds of layers, but not near enough to be divided away.
    """
    norms = [at for at in model.layers if type(at).__name__ == "BatchNormalization"]
    for layer in model.layers:
        for variable in layer.variables:
            shape = tuple(variable.shape)
            if variable.name in ("gamma", "variable"):
                variable.assign(rng.uniform(0.5, 1.5, shape))
            elif variable.name in ("beta", "bias"):
                variable.assign(0.2 * rng.standard_normal(shape))
    moments = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    images = np.concatenate([x, *(x[:, ::-1] * s for s in (0.3, 0.6, 0.9))])
    forward(model, images, training=True, whole=whole)
    for layer, momentum in zip(norms, moments, strict=True):
        layer.momentum = momentum
        variance = np.asarray(layer.moving_variance) + 0.1
        mean = np.asarray(layer.moving_mean)
        shift = 0.3 * np.sqrt(variance) * rng.standard_normal(mean.shape)
        layer.moving_mean.assign(mean + shift)
        layer.moving_variance.assign(variance * rng.uniform(0.7, 1.5, mean.shape))


def forward(
    model: Any, x: Any, training: bool = False, whole: bool = True
) -> np.ndarray[Any, Any]:
    """Keras's outputs, and its new statistics in training.

    By one program, for hundreds of small ones take minutes to make; or, not `whole`, by
    those: to compile a network of 800 layers in float64 takes 15 GB.
    """
    import jax

    if not whole:
        return np.asarray(model(x, training=training))

    def run(trained: Any, others: Any, images: Any) -> Any:
        return model.stateless_call(trained, others, images, training=training)

    trained = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    outputs, changed = jax.jit(run)(trained, others, x)
    if training:
        for variable, value in zip(model.non_trainable_variables, changed, strict=True):
            variable.assign(value)
    return np.asarray(outputs)


def error(found: Any, exact: np.ndarray[Any, Any]) -> float:
    """The largest difference, in parts of the largest output."""
    difference = np.abs(np.asarray(found, np.float64) - exact)
    return float(difference.max() / np.abs(exact).max())


def saved(network: Made, folder: Path, name: str) -> list[Path]:
    """The network in Keras's files."""
    paths = [folder / f"{name}.{ending}" for ending in ENDINGS]
    for path in paths:
        network.model.save(path)
    return paths


def errors(model: gj.Model, network: Made) -> dict[str, float]:
    """The errors of a loaded network, before and after the INFERENCE passes."""
    import jax

    plain = jax.jit(model.apply)(model.variables, network.x)
    return {
        "plain": error(plain, network.exact),
        "inference": error(gj.jit(model)(network.x), network.exact),
    }


def allowed(network: Made) -> float:
    """The error that a network may have."""
    return max(TOLERANCE, TIMES_PEER * network.peer)


# --- the command ----------------------------------------------------------------


def check(name: str, folder: Path, size: int = SIZE, whole: bool = True) -> bool:
    """Make, save, load and judge one on images of `size` x `size`; prints a row."""
    import keras

    make = getattr(keras.applications, name)
    network = made(make, whole, input_shape=(size, size, 3))
    first, second = saved(network, folder, name)
    model = gj.keras.load_model(first)
    same = is_same(model, gj.keras.load_model(second))
    found = errors(model, network)
    row = "  ".join(f"{key} {value:.1e}" for key, value in found.items())
    both = "" if same else "  and another network from HDF5"
    print(f"{name:20} {row}  keras {network.peer:.1e}{both}", flush=True)
    return same and max(found.values()) <= allowed(network)


def is_same(a: gj.Model, b: gj.Model) -> bool:
    """Whether two loaded networks are one: then they give the same."""
    if a.graph.nodes != b.graph.nodes:
        return False
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def times(name: str, folder: Path, rounds: int) -> bool:
    """Time the loading of files made before; whether graphjit takes less than Keras."""
    import keras

    report = Report(name)
    for ending in ENDINGS:
        loading.compare(report, folder / f"{name}.{ending}", keras, rounds)
    print(report, flush=True)
    goals = [at for at in report.figures if at.target is not None]
    return all(at.value <= at.target for at in goals)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; 1 where a network is wrong, or slower to load."""
    parser = argparse.ArgumentParser(prog="python -m tests.keras.applications")
    parser.add_argument("folder", type=Path, help="where files are written, and stay")
    parser.add_argument("--only", nargs="+", default=NAMES, metavar="NAME")
    parser.add_argument("--size", type=int, default=SIZE, help="of the images judged")
    parser.add_argument(
        "--by-parts", action="store_true", help="run Keras op by op: less memory"
    )
    parser.add_argument("--time", action="store_true", help="time files made before")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    good = True
    for name in given.only:
        if given.time:
            good = times(name, given.folder, given.rounds) and good
        else:
            whole = not given.by_parts
            good = check(name, given.folder, given.size, whole) and good
    return 0 if good else 1


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "jax")
    sys.exit(main(sys.argv[1:]))
