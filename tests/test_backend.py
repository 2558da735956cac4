"""The backend functions: each is its NumPy statement, and what the documents show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import graphjit as gj
from graphjit import backend as K  # noqa: N812
from graphjit.errors import CaptureError, ShapeError

RNG = np.random.default_rng(3)
X = RNG.normal(0.2, 1.4, (3, 4, 5)).astype(np.float32)
Y = RNG.normal(0.2, 1.4, (3, 4, 5)).astype(np.float32)
M, N = X[:, :, 0], Y[:, 0, :]
INTS = RNG.integers(-4, 5, (3, 4)).astype(np.int32)
BOOLS = X > 0.5
P = np.exp(X) / np.exp(X).sum(-1, keepdims=True)
ONE_HOT = np.eye(5, dtype=np.float32)[RNG.integers(0, 5, (3, 4))]


def relu(x: Any) -> Any:
    return np.where(x > 0, x, 0)


#: A name, arguments, and what comes out.
Row = tuple[str, tuple[Any, ...], dict[str, Any], Any]

ELEMENTWISE: list[Row] = [
    ("square", (X,), {}, X**2),
    ("abs", (X,), {}, np.abs(X)),
    ("sqrt", (X,), {}, np.sqrt(np.maximum(X, 0))),
    ("exp", (X,), {}, np.exp(X)),
    ("log", (np.abs(X),), {}, np.log(np.abs(X))),
    ("sin", (X,), {}, np.sin(X)),
    ("cos", (X,), {}, np.cos(X)),
    ("pow", (X, 3), {}, X**3),
    ("round", ([0.5, 1.5, -2.4],), {}, [0.0, 2.0, -2.0]),
    ("sign", ([-2.0, 0.0, 3.0],), {}, [-1.0, 0.0, 1.0]),
    ("clip", (X, -0.5, 0.7), {}, np.clip(X, -0.5, 0.7)),
    ("clip", (X, 1, None), {}, np.maximum(X, 1)),
    ("clip", (X, 1, 0), {}, np.ones_like(X)),
    ("stop_gradient", (X,), {}, X),
    ("relu", (X,), {}, relu(X)),
    ("relu", (X, 0.1), {}, np.where(X > 0, X, 0.1 * X)),
    ("relu", (X,), {"max_value": 0.7}, np.clip(X, 0, 0.7)),
    ("relu", (X,), {"threshold": 0.4}, np.where(X >= 0.4, X, 0)),
    ("relu", (INTS,), {}, relu(INTS)),
    ("elu", (X,), {}, np.where(X > 0, X, np.expm1(X))),
    ("elu", (X, 0.3), {}, np.where(X > 0, X, 0.3 * np.expm1(X))),
    ("softmax", (X,), {}, P),
    ("softmax", (X, 1), {}, np.exp(X) / np.exp(X).sum(1, keepdims=True)),
    ("softplus", (X,), {}, np.log1p(np.exp(X))),
    ("softsign", (X,), {}, X / (1 + np.abs(X))),
    ("sigmoid", (X,), {}, 1 / (1 + np.exp(-X))),
    ("hard_sigmoid", (X,), {}, np.clip(0.2 * X + 0.5, 0, 1)),
    ("tanh", (X,), {}, np.tanh(X)),
]

COMPARING: list[Row] = [
    ("equal", (INTS, 1), {}, INTS == 1),
    ("not_equal", (INTS, 1), {}, INTS != 1),
    ("greater", (X, Y), {}, X > Y),
    ("greater_equal", (INTS, 1), {}, INTS >= 1),
    ("less", (X, Y), {}, X < Y),
    ("less_equal", (INTS, 1), {}, INTS <= 1),
    ("maximum", (X, Y), {}, np.maximum(X, Y)),
    ("minimum", (X, 0.5), {}, np.minimum(X, np.float32(0.5))),
    ("switch", (BOOLS, X, Y), {}, np.where(BOOLS, X, Y)),
    ("switch", (BOOLS[:, 0, 0], X, Y), {}, np.where(BOOLS[:, :1, :1], X, Y)),
    ("switch", (True, lambda: X, lambda: Y), {}, X),
]

REDUCING: list[Row] = [
    ("mean", (X,), {}, X.mean()),
    ("mean", (X, 1, True), {}, X.mean(1, keepdims=True)),
    ("mean", (INTS, 0), {}, INTS.mean(0)),
    ("mean", (BOOLS, [1, 2]), {}, BOOLS.mean((1, 2))),
    ("sum", (X, [0, 2]), {}, X.sum((0, 2))),
    ("sum", (INTS,), {}, INTS.sum(dtype=np.int32)),
    ("prod", (X, -1), {}, X.prod(-1)),
    ("max", (X, 1), {"keepdims": True}, X.max(1, keepdims=True)),
    ("min", (X, (0, 1)), {}, X.min((0, 1))),
    ("var", (X, 1), {}, X.var(1)),
    ("std", (X,), {"axis": -1, "keepdims": True}, X.std(-1, keepdims=True)),
    ("any", (BOOLS, 2), {}, BOOLS.any(2)),
    ("all", (INTS, 0), {}, INTS.all(0)),
    ("argmax", (X,), {}, X.argmax(-1).astype(np.int32)),
    ("argmin", (X, 1), {}, X.argmin(1).astype(np.int32)),
    ("logsumexp", (X, 1), {}, np.log(np.exp(X).sum(1))),
    ("cumsum", (X,), {}, X.cumsum(0)),
    ("cumsum", (X, 1), {}, X.cumsum(1)),
    ("cumprod", (X, 2), {}, X.cumprod(2)),
    ("l2_normalize", (X, 1), {}, X / np.sqrt((X**2).sum(1, keepdims=True))),
    ("l2_normalize", (X,), {}, X / np.sqrt((X**2).sum())),
    ("l2_normalize", (np.zeros((2, 3), np.float32), 1), {}, np.zeros((2, 3))),
]

SHAPING: list[Row] = [
    ("transpose", (X,), {}, X.T),
    ("permute_dimensions", (X, (2, 0, 1)), {}, X.transpose(2, 0, 1)),
    ("reshape", (X, (-1, 10)), {}, X.reshape(-1, 10)),
    ("flatten", (X,), {}, X.ravel()),
    ("batch_flatten", (X,), {}, X.reshape(3, 20)),
    ("expand_dims", (X,), {}, X[..., None]),
    ("expand_dims", (X, 1), {}, X[:, None]),
    ("squeeze", (X[:, :1], 1), {}, X[:, 0]),
    ("concatenate", ([X, Y],), {}, np.concatenate([X, Y], -1)),
    ("concatenate", ([X, Y],), {"axis": 1}, np.concatenate([X, Y], 1)),
    ("stack", ([X, Y],), {}, np.stack([X, Y])),
    ("stack", ([X, Y], -1), {}, np.stack([X, Y], -1)),
    ("repeat", (M, 2), {}, np.stack([M, M], 1)),
    ("repeat_elements", (X, 2, 1), {}, X.repeat(2, 1)),
    ("tile", (M, (2, 3)), {}, np.tile(M, (2, 3))),
    ("tile", (M, 2), {}, np.tile(M, 2)),
    ("reverse", (X, 1), {}, X[:, ::-1]),
    ("reverse", (X, [0, 2]), {}, X[::-1, :, ::-1]),
    ("gather", (X, [2, 0, 2]), {}, X[[2, 0, 2]]),
    ("gather", (X, [[0, 1]]), {}, X[[[0, 1]]]),
]

Z = Y.reshape(3, 5, 4)
PRODUCTS: list[Row] = [
    ("dot", (M, Y.reshape(4, 15)), {}, M @ Y.reshape(4, 15)),
    ("dot", (X, Z), {}, np.einsum("abc,dce->abde", X, Z)),
    ("batch_dot", (M, Y), {}, np.einsum("na,nab->nb", M, Y)),
    ("batch_dot", (M, M), {}, (M * M).sum(1, keepdims=True)),
    ("batch_dot", (X, Y), {"axes": 2}, np.einsum("nak,nbk->nab", X, Y)),
    ("batch_dot", (X, Y), {"axes": (1, 1)}, np.einsum("nka,nkb->nab", X, Y)),
    ("batch_dot", (X, Y), {"axes": [-1, -1]}, np.einsum("nak,nbk->nab", X, Y)),
    ("batch_dot", (X, N), {}, np.einsum("nak,nk->na", X, N)),
    ("batch_dot", (X, Z), {}, X @ Z),
]

MAKING: list[Row] = [
    ("zeros", ((2, 3),), {}, np.zeros((2, 3))),
    ("ones", ((2, 3), "int32"), {}, np.ones((2, 3), np.int32)),
    ("zeros_like", (INTS,), {}, np.zeros((3, 4), np.int32)),
    ("ones_like", (INTS, "float32"), {}, np.ones((3, 4))),
    ("constant", (3, None, (2,)), {}, [3.0, 3.0]),
    ("eye", (3,), {}, np.eye(3)),
    ("one_hot", ([1, 3], 3), {}, [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
    ("cast", (X, "int32"), {}, X.astype(np.int32)),
    ("cast_to_floatx", (INTS,), {}, INTS.astype(np.float32)),
    ("cast_to_floatx", (jnp.asarray(INTS),), {}, INTS.astype(np.float32)),
]

ENTROPY: list[Row] = [
    ("categorical_crossentropy", (ONE_HOT, P), {}, -(ONE_HOT * np.log(P)).sum(-1)),
    ("categorical_crossentropy", (ONE_HOT, 3 * P), {}, -(ONE_HOT * np.log(P)).sum(-1)),
    (
        "categorical_crossentropy",
        (ONE_HOT, X, True),
        {},
        -(ONE_HOT * np.log(P)).sum(-1),
    ),
    (
        "categorical_crossentropy",
        (ONE_HOT.transpose(0, 2, 1), P.transpose(0, 2, 1)),
        {"axis": 1},
        -(ONE_HOT * np.log(P)).sum(-1),
    ),
    (
        "sparse_categorical_crossentropy",
        (ONE_HOT.argmax(-1), P),
        {},
        -(ONE_HOT * np.log(P)).sum(-1),
    ),
    (
        "sparse_categorical_crossentropy",
        (ONE_HOT.argmax(-1)[..., None], X),
        {"from_logits": True},
        -(ONE_HOT * np.log(P)).sum(-1),
    ),
    (
        "binary_crossentropy",
        (ONE_HOT, P),
        {},
        -np.log(np.where(ONE_HOT == 1, P, 1 - P)),
    ),
    (
        "binary_crossentropy",
        (ONE_HOT, X, True),
        {},
        np.log1p(np.exp(np.where(ONE_HOT == 1, -X, X))),
    ),
    ("binary_crossentropy", ([1.0], [0.0]), {}, [-np.log(1e-7)]),
]

ROWS = ELEMENTWISE + COMPARING + REDUCING + SHAPING + PRODUCTS + MAKING + ENTROPY


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "wanted"),
    [pytest.param(*row, id=f"{row[0]}-{at}") for at, row in enumerate(ROWS)],
)
def test_function(name: str, args: Any, kwargs: Any, wanted: Any) -> None:
    found = np.asarray(getattr(K, name)(*args, **kwargs))
    wanted = np.asarray(wanted)
    assert found.shape == wanted.shape
    assert found.dtype.kind == wanted.dtype.kind
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_every_function_is_tested_and_documented() -> None:
    tested = {row[0] for row in ROWS}
    settings = {name for name in K.__all__ if hasattr(gj.config, name)}
    asking = {"shape", "int_shape", "ndim", "dtype"}
    assert set(K.__all__) == tested | settings | asking
    assert len(settings) == 9
    for name in K.__all__:
        assert getattr(K, name).__doc__, name


def test_settings_are_those_of_config() -> None:
    """Document 001."""
    K.set_image_data_format("channels_first")
    assert K.image_data_format() == gj.config.image_data_format() == "channels_first"
    assert K.image_dim_ordering() == "th"
    K.set_image_dim_ordering("tf")
    assert K.image_data_format() == "channels_last"
    K.set_floatx("float16")
    assert K.zeros((2,)).dtype == K.cast_to_floatx(X).dtype == "float16"
    assert K.one_hot([0], 2).dtype == K.mean([1, 2]).dtype == "float16"
    K.set_epsilon(0.1)
    assert K.epsilon() == 0.1
    assert float(K.binary_crossentropy(1.0, 0.0)) == pytest.approx(-np.log(0.1))
    assert K.backend() == "jax"


def test_64_bit_arrays_are_made_where_they_are_asked_for() -> None:
    with gj.config.using(floatx="float64"):
        assert K.zeros((2,)).dtype == "float64"
        assert K.cast([1, 2], K.floatx()).dtype == "float64"
        assert K.eye(2).dtype == K.one_hot([1], 2).dtype == "float64"


def test_what_an_array_is() -> None:
    assert K.shape(X) == K.int_shape(X) == (3, 4, 5)
    assert (K.ndim(X), K.dtype(X), K.dtype(BOOLS)) == (3, "float32", "bool")
    tensor = gj.Input((4, None), dtype="int32")
    assert K.int_shape(tensor) == (None, 4, None)
    assert (K.ndim(tensor), K.dtype(tensor)) == (3, "int32")


def test_gather_out_of_range_is_nan() -> None:
    assert np.isnan(np.asarray(K.gather(X, [3]))).all()


def test_gradients_stop() -> None:
    def loss(x: Any) -> Any:
        a, b = K.stop_gradient([x, 2 * x])
        return K.sum(x * K.stop_gradient(x) * a * b)

    x = jnp.asarray([1.0, 2.0])
    np.testing.assert_allclose(jax.grad(loss)(x), 2 * x**3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: K.mean(gj.Input((3,), name="x")),
            CaptureError,
            r"^backend functions work on arrays, received <Tensor .*>\n"
            r"  hint: put the function into a Lambda layer, which is given arrays$",
        ),
        (
            lambda: K.concatenate([gj.Input((3,)), X]),
            CaptureError,
            r"^backend functions work on arrays",
        ),
        (
            lambda: K.repeat(X, 2),
            ShapeError,
            r"^repeat: expected an array of rank 2, received shape \(3, 4, 5\)$",
        ),
        (
            lambda: K.switch(X, M, M),
            ShapeError,
            r"^switch: expected a condition of rank <= 2, received shape \(3, 4, 5\)$",
        ),
        (
            lambda: K.batch_dot(X, Y, axes=0),
            ShapeError,
            r"^batch_dot: axes: expected axes other than the batch \(axis 0\), "
            r"received 0$",
        ),
        (
            lambda: K.batch_dot(X, Y, axes=(1, 2)),
            ShapeError,
            r"^batch_dot: expected axes of one size, received 4 \(axis 1 of "
            r"\(3, 4, 5\)\) and 5 \(axis 2 of \(3, 4, 5\)\)$",
        ),
        (
            lambda: K.batch_dot(X, Y, axes=(1, 1, 1)),
            ShapeError,
            r"^batch_dot: axes: expected an axis or two, received \(1, 1, 1\)$",
        ),
        (
            lambda: K.batch_dot(X[0, 0], Y),
            ShapeError,
            r"^batch_dot: expected arrays of rank >= 2, received shapes \(5,\) and ",
        ),
    ],
    ids=range(8),
)
def test_refusals(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


# --- the documents' example -----------------------------------------------------------


def antirectifier(x):  # type: ignore[no-untyped-def]
    x -= K.mean(x, axis=1, keepdims=True)
    x = K.l2_normalize(x, axis=1)
    pos = K.relu(x)
    neg = K.relu(-x)
    return K.concatenate([pos, neg], axis=1)


def antirectifier_output_shape(input_shape):  # type: ignore[no-untyped-def]
    shape = list(input_shape)
    assert len(shape) == 2  # only valid for 2D tensors
    shape[-1] *= 2
    return tuple(shape)


def test_the_antirectifier() -> None:
    """Document 004, Lambda, word for word."""
    model = gj.Sequential()
    # add a x -> x^2 layer
    model.add(gj.layers.Lambda(lambda x: x**2, input_shape=(4,)))
    # add a layer that returns the concatenation
    # of the positive part of the input and
    # the opposite of the negative part
    model.add(gj.layers.Lambda(antirectifier, output_shape=antirectifier_output_shape))
    assert model.output_shape == (None, 8)
    x = M**2 - (M**2).mean(1, keepdims=True)
    x = x / np.sqrt((x**2).sum(1, keepdims=True))
    wanted = np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], 1)
    np.testing.assert_allclose(model(M), wanted, rtol=1e-5, atol=1e-6)
