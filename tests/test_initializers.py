"""Initializers: their numbers, names, fans, configs and refusals."""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from graphjit import initializers
from graphjit.configurable import serialize
from graphjit.errors import CaptureError
from graphjit.host_random import HostRandom, numpy_dtype
from graphjit.initializers import (
    INITIALIZERS,
    Constant,
    FromCallable,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
    fans,
    get,
)

os.environ.setdefault("KERAS_BACKEND", "jax")

FIXED = [Zeros(), Ones(), Constant(0.25), Identity(2.0)]
RANDOM = [
    RandomUniform(),
    RandomUniform(1.0, 3.0),
    RandomNormal(),
    RandomNormal(2.0, 0.5),
    TruncatedNormal(),
    VarianceScaling(),
    VarianceScaling(2.0, "fan_out", "uniform"),
    VarianceScaling(0.5, "fan_avg", "untruncated_normal"),
    GlorotUniform(),
    GlorotNormal(),
    HeUniform(),
    HeNormal(),
    LecunUniform(),
    LecunNormal(),
    Orthogonal(),
    Orthogonal(1.1),
]


def draw(
    initializer: Initializer,
    shape: tuple[int, ...],
    dtype: str = "float32",
    seed: int = 0,
    name: str = "dense/kernel",
) -> NDArray[Any]:
    return initializer.draw(shape, dtype, seed, name)


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


# --- the numbers ----------------------------------------------------------------------

# The elements 0, 1 and 11 of a (3, 4) float32 draw from seed 0.
GOLDEN = {
    RandomUniform(): (-0.017511390149593353, 0.025535229593515396, -0.00039986521),
    RandomNormal(): (0.02270393632352352, -0.0328870490193367, 0.00050115952),
    TruncatedNormal(): (0.021602321416139603, -0.03117411769926548, 0.00047835521),
    VarianceScaling(): (0.2835775911808014, -0.40922829508781433, 0.0062794555),
    VarianceScaling(2, "fan_out", "uniform"): (-0.42893976, 0.6254828, -0.0097945929),
    VarianceScaling(1, "fan_avg", "untruncated_normal"): (
        0.2427152842283249,
        -0.3515773117542267,
        0.0053576203,
    ),
    GlorotUniform(): (-0.32424795627593994, 0.472820520401001, -0.0074040294),
    GlorotNormal(): (0.26254183053970337, -0.37887176871299744, 0.0058136461),
    HeUniform(): (-0.4952969551086426, 0.7222453355789185, -0.011309862),
    HeNormal(): (0.4010392725467682, -0.5787361860275269, 0.0088804914),
    LecunUniform(): (-0.35022783279418945, 0.510704517364502, -0.0079972744),
    LecunNormal(): (0.2835775911808014, -0.40922829508781433, 0.0062794555),
    Orthogonal(): (-0.3008720576763153, 0.15824267268180847, 0.5550799369812012),
    Orthogonal(seed=7): (-0.33730486035, -0.0695362240076065, 0.28869619965553284),
}


@pytest.mark.parametrize("initializer", GOLDEN, ids=repr)
def test_golden_values(initializer: Initializer) -> None:
    values = draw(initializer, (3, 4)).reshape(-1)[[0, 1, 11]]
    wanted = np.array(GOLDEN[initializer], np.float32)
    # LAPACK may differ in the last place; everything else is exact.
    ulps = 4 if isinstance(initializer, Orthogonal) else 0
    np.testing.assert_array_max_ulp(values, wanted, max(ulps, 1))
    if not ulps:
        assert values.tolist() == wanted.tolist()


@pytest.mark.parametrize("initializer", RANDOM, ids=repr)
def test_seed_and_name_choose_the_numbers(initializer: Initializer) -> None:
    base = draw(initializer, (5, 6))
    np.testing.assert_array_equal(base, draw(initializer, (5, 6)))
    assert np.all(base != draw(initializer, (5, 6), seed=1))
    assert np.all(base != draw(initializer, (5, 6), name="dense_1/kernel"))
    seeded = type(initializer)(**{**initializer.get_config(), "seed": 1})
    np.testing.assert_array_equal(
        draw(seeded, (5, 6), seed=9), draw(initializer, (5, 6), seed=1)
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("initializer", FIXED + RANDOM, ids=repr)
def test_every_floating_dtype(initializer: Initializer, dtype: str) -> None:
    values = draw(initializer, (4, 6), dtype)
    assert values.shape == (4, 6)
    assert values.dtype == numpy_dtype(dtype)
    assert values.flags.writeable
    assert values.flags.c_contiguous
    assert np.all(np.isfinite(values.astype(np.float64)))


def test_constants() -> None:
    np.testing.assert_array_equal(draw(Zeros(), (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(draw(Ones(), (2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(draw(Constant(0.1), (2,)), np.float32([0.1, 0.1]))
    np.testing.assert_array_equal(draw(Identity(3), (2, 3)), 3 * np.eye(2, 3))
    for initializer in (Zeros(), Ones(), Constant(1)):
        for dtype in ("bool", "int8", "uint64"):
            assert draw(initializer, (), dtype).dtype == numpy_dtype(dtype)
            assert draw(initializer, (), dtype) == (initializer != Zeros())
    np.testing.assert_array_equal(draw(Identity(), (2, 2), "int32"), np.eye(2))


SHAPES = [(300, 200), (3, 3, 30, 50), (5, 40, 60), (20_000,)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("initializer", "scale", "mode", "is_uniform"),
    [
        (GlorotUniform(), 1, "avg", True),
        (GlorotNormal(), 1, "avg", False),
        (HeUniform(), 2, "in", True),
        (HeNormal(), 2, "in", False),
        (LecunUniform(), 1, "in", True),
        (LecunNormal(), 1, "in", False),
        (VarianceScaling(3, "fan_out", "uniform"), 3, "out", True),
        (VarianceScaling(3, "fan_out", "normal"), 3, "out", False),
        (VarianceScaling(3, "fan_avg", "untruncated_normal"), 3, "avg", None),
    ],
    ids=repr,
)
def test_scaling(
    initializer: Initializer,
    scale: float,
    mode: str,
    is_uniform: bool | None,
    shape: tuple[int, ...],
) -> None:
    fan_in, fan_out = {
        (300, 200): (300, 200),
        (3, 3, 30, 50): (270, 450),
        (5, 40, 60): (200, 300),
        (20_000,): (20_000, 20_000),
    }[shape]
    n = {"in": fan_in, "out": fan_out, "avg": (fan_in + fan_out) / 2}[mode]
    std = np.sqrt(scale / n)
    values = draw(initializer, shape, "float64")
    error = 5 / np.sqrt(values.size)
    assert abs(values.mean()) < error * std
    assert abs(values.std() / std - 1) < error
    # How far the values reach tells the distributions apart.
    reach = np.abs(values).max() / std
    if is_uniform is None:
        assert reach > 3
    else:
        limit = np.sqrt(3) if is_uniform else 2 / 0.87962566103423978
        assert limit * 0.99 < reach <= limit * (1 + 1e-12)


@pytest.mark.parametrize(
    "shape", [(5, 5), (7, 3), (3, 7), (2, 3, 4, 5), (2, 2, 30), (1, 1), (0, 3), (3, 0)]
)
def test_orthogonal(shape: tuple[int, ...]) -> None:
    values = draw(Orthogonal(1.5), shape, "float64")
    assert values.shape == shape
    matrix = values.reshape(int(np.prod(shape[:-1])), shape[-1]) / 1.5
    rows, columns = matrix.shape
    small = matrix.T @ matrix if columns <= rows else matrix @ matrix.T
    np.testing.assert_allclose(small, np.eye(min(rows, columns)), atol=1e-14)


def test_orthogonal_is_the_q_of_a_normal_matrix() -> None:
    a = HostRandom(3, "k").normal((6, 4), dtype="float64")
    q, r = np.linalg.qr(a)
    wanted = q @ np.diag(np.sign(np.diag(r)))
    values = draw(Orthogonal(), (6, 4), "float64", 3, "k")
    np.testing.assert_allclose(values, wanted, atol=1e-14)
    wide = draw(Orthogonal(), (4, 6), "float64", 3, "k")
    np.testing.assert_allclose(wide, wanted.T, atol=1e-14)
    # With those signs a = q r has a positive diagonal: uniform over such matrices.
    assert np.all(np.diag(wanted.T @ a) > 0)


# --- fans -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((), (1, 1)),
        ((7,), (7, 7)),
        ((3, 5), (3, 5)),
        ((4, 3, 5), (12, 20)),
        ((2, 4, 3, 5), (24, 40)),
        ((2, 2, 4, 3, 5), (48, 80)),
        ((0, 3, 5), (0, 0)),
    ],
)
def test_fans(shape: tuple[int, ...], wanted: tuple[int, int]) -> None:
    assert fans(shape) == wanted


def test_fans_of_chosen_axes() -> None:
    assert fans((2, 3, 5, 7), (0, 1), (-1,)) == (6, 7)
    chosen = VarianceScaling(6, "fan_in", "uniform", None, [0, 1], [-1])
    values = draw(chosen, (2, 3, 5, 7), "float64")
    assert 0.98 * np.sqrt(3) < np.abs(values).max() < np.sqrt(3)
    config = {"seed": None, "input_axes": [0, 1], "output_axes": [-1]}
    assert GlorotUniform.from_config(config).get_config() == config
    assert np.abs(draw(GlorotUniform(None, (0,), (0,)), (2, 900))).max() > 1.2


# --- names and configs ----------------------------------------------------------------

NAMES = {
    "zero": Zeros(),
    "zeros": Zeros(),
    "Zeros": Zeros(),
    "one": Ones(),
    "ones": Ones(),
    "constant": Constant(0.0),
    "identity": Identity(1.0),
    "IdentityInitializer": Identity(1.0),
    "uniform": RandomUniform(-0.05, 0.05),
    "random_uniform": RandomUniform(-0.05, 0.05),
    "normal": RandomNormal(0.0, 0.05),
    "random_normal": RandomNormal(0.0, 0.05),
    "truncated_normal": TruncatedNormal(0.0, 0.05),
    "variance_scaling": VarianceScaling(1.0, "fan_in", "truncated_normal"),
    "glorot_uniform": GlorotUniform(),
    "glorot_normal": GlorotNormal(),
    "he_uniform": HeUniform(),
    "he_normal": HeNormal(),
    "lecun_uniform": LecunUniform(),
    "lecun_normal": LecunNormal(),
    "orthogonal": Orthogonal(1.0),
    "OrthogonalInitializer": Orthogonal(1.0),
    "GlorotUniform": GlorotUniform(),
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    assert get(name) == NAMES[name]
    assert get({"class_name": name, "config": {}}) == NAMES[name]


def test_functions_of_keras_2_are_the_classes() -> None:
    lower = [name for name in NAMES if name.islower()]
    for name in lower:
        assert getattr(initializers, name)() == get(name)
    assert set(lower) <= set(initializers.__all__)
    # Other modules enter classes of their own.
    assert {type(get(name)) for name in NAMES} == {
        cls for _, cls in INITIALIZERS.items() if cls.__module__ == Zeros.__module__
    }


@pytest.mark.parametrize("initializer", FIXED + RANDOM, ids=repr)
def test_configs(initializer: Initializer) -> None:
    written = json.loads(json.dumps(serialize(initializer)))
    assert written["class_name"] == type(initializer).__name__
    assert get(written) == initializer
    assert get(initializer) is initializer
    assert get(type(initializer)) == type(initializer)()
    assert {"input_axes", "output_axes"}.isdisjoint(written["config"])


@pytest.mark.parametrize("initializer", FIXED + RANDOM, ids=repr)
def test_keras_reads_our_configs_and_we_its(initializer: Initializer) -> None:
    keras = pytest.importorskip("keras")
    theirs = keras.initializers.get(serialize(initializer))
    assert type(theirs).__name__ == type(initializer).__name__
    if not isinstance(initializer, Identity):  # Keras 3 forgets the gain in its config
        assert get(keras.initializers.serialize(theirs)) == initializer
    shape = (40, 30)
    ours = draw(initializer, shape)
    other = np.asarray(jax.jit(lambda: theirs(shape, dtype="float32"))())
    if initializer in FIXED:
        np.testing.assert_array_equal(ours, other)
    else:
        assert abs(ours.std() / other.std() - 1) < 0.2
        assert abs(np.abs(ours).max() / np.abs(other).max() - 1) < 0.6


def test_configs_of_older_keras() -> None:
    keras_2 = {
        "class_name": "VarianceScaling",
        "config": {
            "distribution": "normal",
            "scale": 1.0,
            "seed": None,
            "mode": "fan_avg",
        },
    }
    assert get(keras_2) == VarianceScaling(1.0, "fan_avg", "truncated_normal")
    tf_keras_1 = {"class_name": "Zeros", "config": {"dtype": "float32"}}
    assert get(tf_keras_1) == Zeros()
    keras_3 = {
        "module": "keras.initializers",
        "class_name": "RandomUniform",
        "config": {"seed": 3, "minval": -1, "maxval": 1},
        "registered_name": None,
    }
    assert get(keras_3) == RandomUniform(-1.0, 1.0, 3)


# --- callables ------------------------------------------------------------------------


def keras_2_style(shape: tuple[int, ...], dtype: str | None = None) -> NDArray[Any]:
    return np.full(shape, 2.0, dtype)


def unnamed(s: tuple[int, ...], d: str) -> NDArray[Any]:
    return np.full(s, 3.0, d)


def keras_1_style(
    shape: tuple[int, ...], scale: float = 0.5, name: str | None = None
) -> NDArray[Any]:
    assert name == "dense/kernel"
    return scale * np.ones(shape)


def shape_only(shape: tuple[int, ...], scale: float = 4.0) -> NDArray[Any]:
    return np.full(shape, scale)


def keywords(shape: tuple[int, ...], **rest: str) -> NDArray[Any]:
    assert rest == {"dtype": "bfloat16"}
    return np.ones(shape)


class Unsigned:
    __signature__ = "not a signature"

    def __call__(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        return np.full(shape, 5.0, dtype)


@pytest.mark.parametrize(
    ("fn", "value"),
    [
        (keras_2_style, 2.0),
        (unnamed, 3.0),
        (keras_1_style, 0.5),
        (shape_only, 4.0),
        (keywords, 1.0),
        (Unsigned(), 5.0),
        (np.zeros, 0.0),
    ],
)
def test_callables(fn: Any, value: float) -> None:
    initializer = get(fn)
    assert initializer == FromCallable(fn)
    values = draw(initializer, (2, 3), "bfloat16")
    assert values.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(values, np.full((2, 3), value))


def test_a_callables_array_is_copied() -> None:
    kept = np.ones((2, 2), np.float32)
    values = draw(get(lambda shape: kept), (2, 2))
    values[:] = 5
    assert kept.max() == 1


def test_keras_initializers_are_callables() -> None:
    keras = pytest.importorskip("keras")
    values = draw(get(keras.initializers.Constant(3.0)), (2, 2), "bfloat16")
    np.testing.assert_array_equal(values, np.full((2, 2), 3.0))


def test_refused_callables() -> None:
    text = (
        "FromCallable(keras_2_style): expected settings to save, received a Python "
        "callable\n  hint: use a named initializer, or enter a subclass of "
        "Initializer in INITIALIZERS"
    )
    with pytest.raises(CaptureError, match=exactly(text)):
        get(keras_2_style).get_config()
    text = r"^FromCallable\(.*\): expected an array of shape \(2,\), received \(3,\)$"
    with pytest.raises(CaptureError, match=text):
        draw(get(lambda shape: np.ones(3)), (2,))


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        (
            "glorot_unifrom",
            "initializer: expected a known name, received 'glorot_unifrom'\n"
            "  hint: did you mean 'glorot_uniform'?",
        ),
        (
            None,
            "initializer: expected initializer as a name, a dict, a class or an "
            "instance, received None",
        ),
        (
            {"class_name": "GlorotUniform", "config": {"sed": 1}},
            "initializer: GlorotUniform: expected 'seed', 'input_axes' or "
            "'output_axes', received 'sed'\n  hint: did you mean 'seed'?",
        ),
        (
            {"class_name": "VarianceScaling", "config": {"mode": "fan"}},
            "initializer: VarianceScaling: mode: expected 'fan_in', 'fan_out' or "
            "'fan_avg', received 'fan'",
        ),
    ],
)
def test_refused_identifiers(identifier: object, text: str) -> None:
    with pytest.raises(CaptureError, match=exactly(text)):
        get(identifier)


def test_errors_say_where() -> None:
    text = "dense_1/kernel: initializer: expected a known name, received 'qqq'"
    with pytest.raises(CaptureError, match=exactly(text)):
        get("qqq", "dense_1/kernel")


@pytest.mark.parametrize(
    ("cls", "settings", "text"),
    [
        (RandomUniform, (1, 0), "minval: expected at most maxval = 0.0, received 1.0"),
        (RandomNormal, (0, -1), "stddev: expected a number >= 0, received -1.0"),
        (TruncatedNormal, (0, -1), "stddev: expected a number >= 0, received -1.0"),
        (VarianceScaling, (0,), "scale: expected a number > 0, received 0.0"),
        (Constant, (True,), "value: expected a finite number, received True"),
        (Orthogonal, (1, 1.5), "seed: expected an int or None, received 1.5"),
        (
            GlorotUniform,
            (None, (0,)),
            "output_axes: expected axes, since the other fan has them, received None",
        ),
        (
            VarianceScaling,
            (1, "fan_in", "uniform", None, None, (0,)),
            "input_axes: expected axes, since the other fan has them, received None",
        ),
    ],
)
def test_refused_settings(
    cls: type[Initializer], settings: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(CaptureError, match=exactly(f"{cls.__name__}: {text}")):
        cls(*settings)


@pytest.mark.parametrize(
    ("initializer", "shape", "dtype", "text"),
    [
        (Identity(), (3,), "float32", "Identity: expected a 2-D shape, received (3,)"),
        (
            Identity(0.5),
            (2, 2),
            "int8",
            "Identity: expected a value that int8 can hold, received 0.5",
        ),
        (
            Constant(300),
            (2,),
            "int8",
            "Constant: expected a value that int8 can hold, received 300.0",
        ),
        (
            Constant(1e39),
            (2,),
            "float32",
            "Constant: expected a value that float32 can hold, received 1e+39",
        ),
        (
            Zeros(),
            (2,),
            "float31",
            "dtype: expected a known name, received 'float31'\n"
            "  hint: did you mean 'float32'?",
        ),
        (
            Orthogonal(),
            (3,),
            "float32",
            "Orthogonal: expected 2 axes or more, received (3,)",
        ),
        (
            Orthogonal(),
            (3, 3),
            "int32",
            "Orthogonal: expected a floating dtype, received 'int32'",
        ),
        (
            GlorotUniform(),
            (3, 3),
            "int32",
            "random values of 'dense/kernel': expected a floating dtype, received "
            "'int32'",
        ),
        (
            GlorotUniform(None, (0,), (2,)),
            (3, 3),
            "float32",
            "fans: expected axes of the shape (3, 3), received 2",
        ),
    ],
    ids=repr,
)
def test_refused_shapes_and_dtypes(
    initializer: Initializer, shape: tuple[int, ...], dtype: str, text: str
) -> None:
    with pytest.raises(CaptureError, match=exactly(text)):
        draw(initializer, shape, dtype)


def test_it_is_drawn_without_jax() -> None:
    source = Path(initializers.__file__).read_text(encoding="utf-8")
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert "numpy" in imported
    assert "jax" not in imported
