"""The networks of the suite, and the sizes they are measured at."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.mobilenet_v2 import undrawn
from benchmarks.suite import own_nets
from benchmarks.suite.weights import lively

__all__ = ["NETS", "Built", "Net", "Size", "built", "chosen", "keras_on_jax"]


@dataclass(frozen=True, slots=True)
class Size:
    """One shape of a network: of an example (channels last), and the classes."""

    shape: tuple[int, ...]
    classes: int
    batch: int = 0


@dataclass(frozen=True, slots=True)
class Net:
    """A network: how it is built, and how large.

    Attributes:
        name: As the command takes it.
        family: "conv", "recurrent" or "dense".
        full: What inference is measured at.
        tiny: What ``--quick`` runs.
        train: What a training step is measured at; None: it is not.
        own: Its builder, for Keras or graphjit; None for one of keras.applications.
        application: The name there.
        loss: For training.
        formats: Whether it has a channels-first twin.
    """

    name: str
    family: str
    full: Size
    tiny: Size
    train: Size | None = None
    own: Callable[[Any, Sequence[int], int], Any] | None = None
    application: str = ""
    loss: str = "sparse_categorical_crossentropy"
    formats: bool = True

    def with_keras(self, keras: Any, size: Size) -> Any:
        """Keras's model, kernels not yet drawn."""
        keras.utils.clear_session()
        with undrawn(keras):
            if self.own is not None:
                return self.own(keras, size.shape, size.classes)
            build = getattr(keras.applications, self.application)
            return build(weights=None, input_shape=size.shape, classes=size.classes)

    def data(self, size: Size, batch: int, seed: int = 0) -> NDArray[Any]:
        """Random inputs, channels last."""
        rng = np.random.default_rng(seed)
        if self.name in ("text_cnn", "transformer"):
            ids = rng.integers(0, own_nets.VOCABULARY, (batch, *size.shape))
            return ids.astype(np.int32)
        if self.name.startswith("efficientnet"):  # the only one that scales pixels
            return rng.uniform(0, 255, (batch, *size.shape)).astype(np.float32)
        return rng.normal(size=(batch, *size.shape)).astype(np.float32)

    def targets(self, outputs: Sequence[int], batch: int) -> NDArray[Any]:
        """Random targets for outputs of a shape (batch left out)."""
        rng = np.random.default_rng(1)
        if self.loss == "sparse_categorical_crossentropy":
            return rng.integers(0, outputs[-1], batch).astype(np.int32)
        zero_or_one = rng.integers(0, 2, (batch, *outputs))
        return zero_or_one.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Built:
    """A network at one size: its configuration as text, and weights that say something.

    Attributes:
        text: Keras's JSON, from which every peer makes its own model.
        weights: In `get_weights` order.
    """

    net: Net
    size: Size
    text: str
    weights: list[NDArray[Any]]

    @property
    def key(self) -> str:
        """A name for files: another network, size or set of weights has another."""
        digest = hashlib.sha256(self.text.encode())
        for array in self.weights:
            digest.update(array.tobytes())
        sizes = "x".join(map(str, self.size.shape))
        return f"{self.net.name}-{sizes}-{digest.hexdigest()[:8]}"


def built(net: Net, size: Size, keras: Any) -> Built:
    """The network's text and weights, by Keras or, without it, by graphjit.

    Args:
        keras: Keras on any backend, or graphjit for one of our own networks.
    """
    if keras.__name__ == "keras":
        model = net.with_keras(keras, size)
        named = [(w.path, tuple(w.shape)) for w in model.weights]
    else:
        assert net.own is not None, f"{net.name} needs Keras"
        model = net.own(keras, size.shape, size.classes)
        named = [(p.name, p.type.shape) for p in model.graph.params]
    return Built(net, size, model.to_json(), lively(named))


def keras_on_jax() -> Any:
    """Keras with its JAX backend; None where it is not to be had in this process."""
    if importlib.util.find_spec("keras") is None:
        return None
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    return keras if keras.config.backend() == "jax" else None


def _application(name: str, keras_name: str, full: int, tiny: int, **more: Any) -> Net:
    sizes = (Size((full, full, 3), 1000), Size((tiny, tiny, 3), 10))
    return Net(name, "conv", *sizes, application=keras_name, **more)


def _own(
    build: Callable[..., Any],
    family: str,
    full: Sequence[int],
    tiny: Sequence[int],
    train: Sequence[int],
    batch: int,
    classes: int = 10,
    **more: Any,
) -> Net:
    return Net(
        build.__name__,
        family,
        Size(tuple(full), classes),
        Size(tuple(tiny), min(classes, 10)),
        Size(tuple(train), classes, batch),
        own=build,
        **more,
    )


_BINARY = {"classes": 1, "loss": "binary_crossentropy"}
_PLAIN = {"formats": False}

NETS: tuple[Net, ...] = (
    _application("resnet50", "ResNet50", 224, 32),
    _application("mobilenet", "MobileNet", 224, 32),
    replace(
        _application("mobilenet_v2", "MobileNetV2", 224, 32),
        train=Size((96, 96, 3), 10, 16),
    ),
    _application("efficientnet_b0", "EfficientNetB0", 224, 32),
    _application("densenet121", "DenseNet121", 224, 32),
    _application("inception_v3", "InceptionV3", 299, 75),
    _application("xception", "Xception", 299, 71),
    _own(own_nets.resnext, "conv", (224, 224, 3), (16, 16, 3), (32, 32, 3), 16, 1000),
    _own(own_nets.unet, "conv", (128, 128, 3), (16, 16, 3), (64, 64, 3), 8, **_BINARY),
    _own(
        own_nets.generator,
        "conv",
        (1, 1, 100),
        (1, 1, 8),
        (1, 1, 100),
        16,
        classes=3,
        loss="mse",
    ),
    _own(own_nets.conv3d, "conv", (16, 64, 64, 3), (4, 8, 8, 3), (16, 32, 32, 3), 8),
    _own(own_nets.cnn6, "conv", (32, 32, 3), (8, 8, 3), (32, 32, 3), 64),
    _own(own_nets.text_cnn, "conv", (200,), (12,), (200,), 32, **_PLAIN),
    _own(own_nets.lstm, "recurrent", (100, 64), (5, 8), (100, 64), 32, **_PLAIN),
    _own(own_nets.gru, "recurrent", (100, 64), (5, 8), (100, 64), 32, **_PLAIN),
    _own(own_nets.transformer, "dense", (128,), (6,), (128,), 8, **_PLAIN),
    _own(own_nets.mlp, "dense", (64,), (8,), (64,), 32, **_PLAIN),
)


def chosen(names: Sequence[str]) -> list[Net]:
    """The networks of these names or families; all for none.

    Raises:
        ValueError: A name is neither.
    """
    known = {net.name for net in NETS} | {net.family for net in NETS}
    for name in names:
        if name not in known:
            raise ValueError(
                f"expected networks or families of {', '.join(sorted(known))}; "
                f"received {name!r}"
            )
    return [n for n in NETS if not names or n.name in names or n.family in names]
