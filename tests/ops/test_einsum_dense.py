"""EinsumDense: Keras's examples, its readings of equations, and its refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, ShapeError
from tests.graphs import random_inputs


@pytest.mark.parametrize(
    ("equation", "sizes", "bias_axes", "shape", "result", "kernel", "bias"),
    [
        # The three examples of Keras's text.
        ("ab,bc->ac", 64, "c", (32,), (None, 64), (32, 64), (64,)),
        (
            "abc,cd->abd",
            (None, 64),
            "d",
            (32, 128),
            (None, 32, 64),
            (128, 64),
            (64,),
        ),
        ("...x,xy->...y", 64, "y", (32, 128), (None, 32, 64), (128, 64), (64,)),
        ("...x,xy->...y", 5, "y", (2, 3, 4), (None, 2, 3, 5), (4, 5), (5,)),
        ("ab...,bc->ac...", 5, "c", (4, 2, 3), (None, 5, 2, 3), (4, 5), (5, 1, 1)),
        (
            "abc,cde->abde",
            (None, 2, 3),
            "de",
            (7, 4),
            (None, 7, 2, 3),
            (4, 2, 3),
            (2, 3),
        ),
        (
            "abc,cde->abde",
            (None, 2, 3),
            "d",
            (7, 4),
            (None, 7, 2, 3),
            (4, 2, 3),
            (2, 1),
        ),
        ("abc, bd -> adc", (3, None), "d", (7, 4), (None, 3, 4), (7, 3), (3, 1)),
        ("abc,cd->abd", (None, 5), None, (None, 4), (None, None, 5), (4, 5), None),
    ],
)
def test_shapes(
    equation: str,
    sizes: Any,
    bias_axes: Any,
    shape: Any,
    result: Any,
    kernel: Any,
    bias: Any,
) -> None:
    layer = L.EinsumDense(equation, sizes, bias_axes=bias_axes)
    assert layer(L.Input(shape)).shape == result
    assert layer.output_shape == result
    slots = {name: cell.param.type.shape for name, cell in layer.cells.items()}
    assert slots == {"kernel": kernel, **({} if bias is None else {"bias": bias})}


def test_it_is_dense() -> None:
    x = L.Input((3, 4))
    first, second = L.Dense(5, "tanh"), L.EinsumDense("...b,bc->...c", 5, "tanh", "c")
    model = gj.Model(x, [first(x), second(x)])
    weights = model.get_weights()
    model.set_weights([*weights[:2], *weights[:2]])
    (data,) = random_inputs(model.graph)
    found, wanted = model(data)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_kernels_know_their_fans() -> None:
    """Keras 3 tells its initializer which axes are inputs."""
    keras = pytest.importorskip("keras")
    twin = keras.layers.EinsumDense("abc,cde->abde", (None, 40, 30))
    twin.build((None, 7, 20))
    layer = L.EinsumDense("abc,cde->abde", (None, 40, 30))
    layer(L.Input((7, 20)))
    param = layer.cells["kernel"].param
    drawn = param.initializer.draw((20, 40, 30), "float32", 0, "kernel")  # type: ignore[union-attr]
    limit = np.sqrt(6 / (20 + 40 * 30))
    for kernel in (drawn, np.asarray(twin.kernel)):
        assert np.abs(kernel).max() == pytest.approx(limit, rel=0.01)


def test_a_norm_folds_into_it() -> None:
    x = L.Input((7, 4))
    y = L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="d")(x)
    model = gj.Model(x, L.BatchNormalization()(y))
    exe = gj.jit(model)
    assert exe.graph.count("batch_norm_inference") == 0
    (data,) = random_inputs(model.graph)
    wanted = model.apply(model.variables, data)
    np.testing.assert_allclose(exe(data), wanted, rtol=1e-5, atol=1e-6)


def test_a_transpose_before_it_goes() -> None:
    x = L.Input((4, 7))
    y = L.EinsumDense("abc,cd->abd", (None, 3))(L.Permute((2, 1))(x))
    model = gj.Model(x, y)
    exe = gj.jit(model)
    assert exe.graph.count("transpose") == 0
    (data,) = random_inputs(model.graph)
    wanted = model.apply(model.variables, data)
    np.testing.assert_allclose(exe(data), wanted, rtol=1e-5, atol=1e-6)


FORM = (
    r"expected an equation like 'ab,bc->ac', '\.\.\.b,bc->\.\.\.c' or "
    r"'ab\.\.\.,bc->ac\.\.\.'"
)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: L.EinsumDense("ab,bc", 3), CaptureError, rf"equation: {FORM}, "),
        (lambda: L.EinsumDense("ab->b", 3), CaptureError, rf"equation: {FORM}, "),
        (
            lambda: L.EinsumDense("...ab,bc->ac", 3),
            CaptureError,
            rf"equation: {FORM}, received '\.\.\.ab,bc->ac'$",
        ),
        (
            lambda: L.EinsumDense("...ab...,bc->...ac...", 3),
            CaptureError,
            rf"equation: {FORM}, ",
        ),
        (lambda: L.EinsumDense(3, 3), CaptureError, r"equation: expected an equation"),
        (
            lambda: L.EinsumDense("ab,bc->ad", 3),
            CaptureError,
            rf"{FORM} \(equation 'ab,bc->ad': 'd' of the result stands in neither "
            r"operand\), received 'ab,bc->ad'$",
        ),
        (
            lambda: L.EinsumDense("ab,bcd->ac", 3),
            CaptureError,
            r"\('d' stands in the kernel alone, so its size is not known\)",
        ),
        (
            lambda: L.EinsumDense("ab,bc->ca", 3),
            CaptureError,
            r"\('a' is the batch: the result begins with it too\)",
        ),
        (
            lambda: L.EinsumDense("ab,abc->ac", 3),
            CaptureError,
            r"\('a' is the batch: the result begins with it too\)",
        ),
        (
            lambda: L.EinsumDense("ab,bc->ac", (2, 3)),
            CaptureError,
            r"^EinsumDense: output_shape: expected 1 sizes for 'ab,bc->ac', without "
            r"the batch, received \(2, 3\)$",
        ),
        (
            lambda: L.EinsumDense("ab,bc->ac", 0),
            CaptureError,
            r"output_shape: expected an int >= 1, or a tuple of ints >= 1 and None, ",
        ),
        (
            lambda: L.EinsumDense("ab,bc->ac", 3, bias_axes="b"),
            CaptureError,
            r"^EinsumDense: bias_axes: expected letters of 'ac', received 'b'$",
        ),
        (
            lambda: L.EinsumDense("ab,bc->ac", 3, bias_axes=1),
            CaptureError,
            r"^EinsumDense: bias_axes: expected letters of the equation's result, ",
        ),
        (
            lambda: L.EinsumDense("abc,cd->abd", (None, 3))(L.Input((4,))),
            ShapeError,
            r"^EinsumDense: 'abc,cd->abd' wants an input of rank 3, received float32",
        ),
        (
            lambda: L.EinsumDense("...bc,cd->...bd", (None, 3))(L.Input((4,))),
            ShapeError,
            r"^EinsumDense: '\.\.\.bc,cd->\.\.\.bd' wants an input of rank 3 or more, ",
        ),
        (
            lambda: L.EinsumDense("abc,cd->abd", (5, 3))(L.Input((4, 2))),
            ShapeError,
            r"^EinsumDense: axis 'b' of 'abc,cd->abd': output_shape has 5, the input "
            r"4: float32\[batch, 4, 2\]$",
        ),
        (
            lambda: L.EinsumDense("abc,cd->abd", (None, None))(L.Input((4, 2))),
            CaptureError,
            r"^EinsumDense: output_shape: expected the size of axis 'd' of the kernel, "
            r"received \(None, None\)$",
        ),
    ],
    ids=range(17),
)
def test_refusals(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
