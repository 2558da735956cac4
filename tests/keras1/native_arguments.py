"""What the tests of arguments share: how a native layer is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphjit as gj
from graphjit.capture.layer import Layer
from graphjit.constraints import MaxNorm, NonNeg
from graphjit.regularizers import L1, L2

#: What W_regularizer and its like are given below, and become.
PENALTIES = {
    "kernel_regularizer": L2(0.1),
    "bias_regularizer": L1(0.2),
    "activity_regularizer": L1(0.3),
    "kernel_constraint": MaxNorm(3.0, 0),
    "bias_constraint": NonNeg(),
}


def check(layer: Layer, cls: type[Layer], **wanted: Any) -> None:
    """The layer is of the class, and has these native arguments."""
    assert isinstance(layer, cls)
    assert layer.class_name() == cls.__name__
    found = {name: layer.argument(name) for name in wanted}
    if "activation" in wanted:
        found["activation"] = layer.argument("activation").name
    assert found == wanted


def weights_of(layer: Layer, *shape: int | None) -> list[np.ndarray[Any, Any]]:
    layer(gj.Input(shape))
    return layer.get_weights()


def same(found: list[np.ndarray[Any, Any]], *wanted: Any) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other, one.dtype))


def draw(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(list(shape)).normal(size=shape).astype(np.float32)
