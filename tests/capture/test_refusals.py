"""What cannot be captured, and the text that says why."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphjit.layers as L  # noqa: N812
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import Captured, capture
from graphjit.errors import CaptureError, GraphJitError, ShapeError


def one(inputs: Tensor, outputs: Tensor) -> Captured:
    return capture([inputs], [outputs], "model")


def vector(size: int = 3, name: str | None = "x") -> Tensor:
    return L.Input((size,), name=name)


def disconnected() -> None:
    one(vector(), L.Dense(2, name="d")(vector(3, "other")))


def nameless() -> None:
    one(vector(), L.Add()([L.Input((3,)), vector()]))


def unequal_calls() -> None:
    shared = L.Dense(4, name="shared")
    shared(vector(3))
    shared(vector(5, "wide"))


X = "<Tensor float32[batch, 3] of 'x'>"

REFUSED: dict[str, tuple[Callable[[], Any], type[GraphJitError], str]] = {
    "disconnected": (
        disconnected,
        CaptureError,
        "model 'model': the graph is disconnected: output <Tensor float32[batch, 2] of "
        "'d'> depends on <Tensor float32[batch, 3] of 'other'>, which is not among the "
        f"inputs\n  inputs: {X}\n  hint: add that Input to the model's inputs",
    ),
    "disconnected, without a name": (
        nameless,
        CaptureError,
        "model 'model': the graph is disconnected: output <Tensor float32[batch, 3] of "
        "'Add'> depends on <Tensor float32[batch, 3] of 'InputLayer'>, which is not "
        f"among the inputs\n  inputs: {X}\n  hint: add that Input to the model's "
        "inputs",
    ),
    "no input": (
        lambda: capture([], [vector()], "model"),
        CaptureError,
        "a model needs inputs, received none",
    ),
    "no output": (
        lambda: capture([vector()], [], "model"),
        CaptureError,
        "a model needs outputs, received none",
    ),
    "an input twice": (
        lambda: (lambda x: capture([x, x], [x], "model"))(vector()),
        CaptureError,
        "model 'model': an input is given twice",
    ),
    "an array as output": (
        lambda: capture([vector()], [np.ones(3)], "model"),  # type: ignore[list-item]
        CaptureError,
        "a model's outputs are tensors, received ndarray\n"
        "  hint: start from graphjit.Input(shape) and call layers on it",
    ),
    "duplicate names": (
        lambda: (lambda x: one(x, L.Dense(3, name="d")(L.ReLU(name="d")(x))))(vector()),
        CaptureError,
        "two layers are called 'd' (ReLU and Dense)\n"
        "  hint: names are unique in a model; rename one",
    ),
    "unknown keyword": (
        lambda: L.Dense(3, activaton="relu"),
        CaptureError,
        "Dense: unknown argument 'activaton'\n  hint: did you mean 'activation'?",
    ),
    "a keyword of Keras 1": (
        lambda: L.Dense(output_dim=3),
        CaptureError,
        "Dense: unknown argument 'output_dim'\n  hint: it is called 'units' here; "
        "graphjit.keras1 has the old spelling",
    ),
    "a strange keyword": (
        lambda: L.Dense(3, zzz=1),
        CaptureError,
        "Dense: unknown argument 'zzz'",
    ),
    "too many arguments": (
        lambda: L.ReLU(1, 2, 3, 4),
        CaptureError,
        "ReLU: expected at most 3 positional arguments, received 4",
    ),
    "an argument twice": (
        lambda: L.Dense(3, units=3),
        CaptureError,
        "Dense: argument 'units' is given twice",
    ),
    "an argument missing": (
        lambda: L.Dense(),
        CaptureError,
        "Dense: argument 'units' is missing",
    ),
    "a bad value": (
        lambda: L.Dense(0),
        CaptureError,
        "Dense: units: expected an int >= 1, received 0",
    ),
    "unknown activation": (
        lambda: L.Dense(3, activation="rellu"),
        CaptureError,
        "Dense: activation: expected a known name, received 'rellu'\n"
        "  hint: did you mean 'relu'?",
    ),
    "no activation": (
        lambda: L.Dense(3, activation=7),
        CaptureError,
        "Dense: activation: expected a name or a function, received 7",
    ),
    "an activation that changes the shape": (
        lambda: L.Activation(lambda x: x[:, :1])(vector(4)),
        CaptureError,
        "activation '<lambda>': expected a result of shape (5, 4) like its input's, "
        "received (5, 1)",
    ),
    "wrong rank": (
        lambda: L.Conv2D(3, 3, name="c")(vector()),
        ShapeError,
        "Conv2D 'c': expected an input of rank 4, received rank 2: float32[batch, 3]",
    ),
    "low rank": (
        lambda: L.Dense(3)(L.Input(())),
        ShapeError,
        "Dense: expected an input of rank >= 2, received rank 1: float32[batch]",
    ),
    "axis": (
        lambda: L.BatchNormalization(axis=4)(vector()),
        ShapeError,
        "BatchNormalization: axis 4 does not fit an input of rank 2",
    ),
    "one tensor in a merge": (
        lambda: L.Add(name="s")([vector()]),
        CaptureError,
        "Add 's': expected a list of at least 2 tensors, received 1",
    ),
    "a list of numbers": (
        lambda: L.Dense(3)([[1, 2, 3]]),
        CaptureError,
        "Dense: expected a tensor or a list of tensors, received list\n"
        "  hint: start from graphjit.Input(shape)",
    ),
    "no tensor": (
        lambda: L.Add(name="s")([]),
        CaptureError,
        "Add 's': expected tensors, received none",
    ),
    "call argument": (
        lambda: L.Dense(3)(vector(), trainin=True),
        CaptureError,
        "Dense: unknown call argument 'trainin'\n  hint: did you mean 'training'?",
    ),
    "training": (
        lambda: L.Dense(3)(vector(), training="yes"),
        CaptureError,
        "Dense: training: expected True, False or None, received 'yes'\n  hint: None "
        "leaves it to what the model does: model.apply(variables, x, training=True, "
        "rng=…) runs it as in training",
    ),
    "truth": (
        lambda: bool(vector()),
        CaptureError,
        f"{X} has no truth value: its elements are not known at capture",
    ),
    "array": (
        lambda: np.asarray(vector()),
        CaptureError,
        f"{X} cannot become an array: its elements are not known at capture\n"
        "  hint: build a Model and call it on data",
    ),
    "frozen": (
        lambda: setattr(L.Dense(3), "units", 4),
        CaptureError,
        "Dense: 'units' cannot change, a configuration is frozen\n"
        "  hint: make a new layer",
    ),
    "calls of other sizes": (
        unequal_calls,
        ShapeError,
        "Dense 'shared': 'kernel' has shape (3, 4) from the layer's first call, this "
        "call needs (5, 4)\n  hint: a shared layer wants the same number of channels "
        "at every call",
    ),
    "input shape": (
        lambda: L.Input(),
        CaptureError,
        "InputLayer: shape: expected either shape or batch_shape, received None",
    ),
    "input dims": (
        lambda: L.Input((0,)),
        CaptureError,
        "InputLayer: shape: expected a tuple of ints >= 1, names or None, received "
        "(0,)",
    ),
    "input dtype": (
        lambda: L.Input((3,), dtype="flaot32"),
        CaptureError,
        "InputLayer: dtype: expected a dtype such as 'float32', received 'flaot32'",
    ),
    "input called": (
        lambda: L.InputLayer((3,))(vector()),
        CaptureError,
        "an InputLayer is not called on tensors\n  hint: use Input()",
    ),
}


@pytest.mark.parametrize(("make", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(
    make: Callable[[], Any], error: type[GraphJitError], text: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        make()


SHAPES: dict[str, tuple[Callable[[], Any], str]] = {
    "merge": (
        lambda: L.Add(name="s")([vector(), vector(4, "wide")]),
        "add 's/add': shapes do not broadcast: dims 3 and 4 differ\n"
        "  x0 %x    : float32[batch, 3]\n"
        "  x1 %wide : float32[batch, 4]\n",
    ),
    "concatenation": (
        lambda: L.Concatenate(axis=1, name="c")(
            [L.Input((2, 3), name="a"), L.Input((2, 4), name="b")]
        ),
        "concatenate 'c/concatenate': off axis 1 all dims must agree: at axis 2 dims 3 "
        "and 4 differ\n"
        "  x0 %a : float32[batch, 2, 3]\n"
        "  x1 %b : float32[batch, 2, 4]\n",
    ),
    "window": (
        lambda: L.Conv2D(3, 9, name="c")(L.Input((5, 5, 1), name="image")),
        "conv 'c/conv': a window of 9 does not fit a length of 5 (axis 1)\n"
        "  x      %image    : float32[batch, 5, 5, 1]   read as NHWC\n"
        "  kernel %c/kernel : float32[9, 9, 1, 3]\n"
        "  bias   %c/bias   : float32[3]\n",
    ),
    "size": (
        lambda: L.Reshape((2, 2), name="r")(vector()),
        "reshape 'r/reshape': cannot make (2, 2) of 3 elements\n"
        "  x %x : float32[batch, 3]\n",
    ),
}


@pytest.mark.parametrize(("make", "text"), SHAPES.values(), ids=SHAPES)
def test_shapes_that_do_not_fit_are_shown(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ShapeError, match=f"^{re.escape(text)}  at .*:[0-9]+$"):
        make()


def test_a_failed_call_leaves_the_layer_as_it_was() -> None:
    dense = L.Dense(4)
    with pytest.raises(ShapeError, match=r"^Dense: the last axis"):
        dense(L.Input((None,)))
    assert dense.calls == ()
    assert dense.cells == {}
    assert dense(vector(5)).shape == (None, 4)
