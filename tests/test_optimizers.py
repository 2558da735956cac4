"""Optimizers: Keras 3's updates step by step, names, optax, refusals."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import graphjit as gj
from graphjit import optimizers
from graphjit.errors import CaptureError

os.environ.setdefault("KERAS_BACKEND", "jax")

STEPS = 6
#: A name, and settings on top of the defaults, which are the same here and in Keras.
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"weight_decay": 0.1, "momentum": 0.5}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "rho": 0.8}),
    ("Adagrad", {}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "learning_rate": 0.1}),
    ("Adam", {"epsilon": 0.1}),
    ("AdamW", {"learning_rate": 0.1}),
    ("Adamax", {}),
    ("Nadam", {"learning_rate": 0.1}),
    ("SGD", {"clipvalue": 0.5}),
    ("SGD", {"clipnorm": 0.5}),
    ("SGD", {"global_clipnorm": 0.5}),
]


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def start() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "a": rng.normal(size=(3, 4)).astype(np.float32),
        "b": rng.normal(size=(4,)).astype(np.float32),
    }


def gradients(step: int) -> dict[str, Any]:
    """Of all sizes: a small one shows where epsilon stands."""
    rng = np.random.default_rng(step + 1)
    sizes = {"a": 1.0, "b": 1e-4}
    return {
        name: (size * rng.normal(size=w.shape)).astype(np.float32)
        for (name, w), size in zip(start().items(), sizes.values(), strict=True)
    }


def run(optimizer: optax.GradientTransformation) -> dict[str, Any]:
    params: Any = jax.tree.map(jnp.asarray, start())
    state = optimizer.init(params)
    for step in range(STEPS):
        deltas, state = optimizer.update(gradients(step), state, params)
        params = optax.apply_updates(params, deltas)
    return params


@pytest.mark.parametrize(
    ("name", "settings"), SETTINGS, ids=[f"{n}-{'-'.join(s)}" for n, s in SETTINGS]
)
def test_keras(name: str, settings: dict[str, Any]) -> None:
    keras = pytest.importorskip("keras")
    theirs = getattr(keras.optimizers, name)(**settings)
    weights = {n: keras.Variable(w, name=n) for n, w in start().items()}
    for step in range(STEPS):
        grads = gradients(step)
        theirs.apply([grads[n] for n in weights], list(weights.values()))
    ours = run(getattr(optimizers, name)(**settings).build())
    for n, w in start().items():
        moved = np.asarray(weights[n]) - w
        np.testing.assert_allclose(ours[n] - w, moved, rtol=2e-4, atol=1e-7)


def test_defaults_are_those_of_keras() -> None:
    keras = pytest.importorskip("keras")
    for name, cls in optimizers.OPTIMIZERS.items():
        if not hasattr(keras.optimizers, name):
            continue
        with warnings.catch_warnings():
            # Keras 3.15 asks NumPy 2 for arrays in the way of NumPy 1.
            warnings.simplefilter("ignore", DeprecationWarning)
            theirs = getattr(keras.optimizers, name)().get_config()
        for key, value in cls().get_config().items():
            assert value == pytest.approx(theirs[key]), f"{name}: {key}"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("name", ["adam", "nadam", "adamax", "rmsprop"])
def test_dtypes_stay(name: str, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        params = {"w": jnp.ones(3, dtype)}
        optimizer = optimizers.get(name)
        state = optimizer.init(params)
        for _ in range(2):
            deltas, state = optimizer.update(params, state, params)
            assert deltas["w"].dtype == dtype
            assert np.isfinite(np.asarray(deltas["w"], np.float64)).all()


def test_no_two_arrays_of_a_state_share_a_buffer() -> None:
    # The step gives all of them away, and a buffer can be given away but once.
    for name in optimizers.OPTIMIZERS:
        state = optimizers.get(name).init({"w": jnp.ones(300)})
        places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
        assert len(set(places)) == len(places)


def test_every_way_to_say_an_optimizer() -> None:
    wanted = run(optimizers.SGD(0.5).build())
    for identifier in (
        optimizers.SGD(0.5),
        optax.sgd(0.5),
        optimizers.SGD(lambda step: 0.5),
        {"class_name": "SGD", "config": {"learning_rate": 0.5}},
        {"name": "sgd", "lr": 0.5},
    ):
        found = run(gj.optimizers.get(identifier))
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-6)
    for name in ("sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "adamax"):
        assert isinstance(optimizers.get(name), optax.GradientTransformation)


def test_a_schedule_sees_the_step() -> None:
    optimizer = optimizers.SGD(lambda step: jnp.where(step == 0, 1.0, 0.0)).build()
    params = {"w": jnp.zeros(())}
    state = optimizer.init(params)
    for wanted in (-1.0, 0.0):
        deltas, state = optimizer.update({"w": jnp.ones(())}, state, params)
        assert float(deltas["w"]) == wanted


def test_refusals() -> None:
    text = (
        "optimizer: expected a known name, received 'rmspop'\n"
        "  hint: did you mean 'rmsprop'?"
    )
    with pytest.raises(CaptureError, match=exactly(text)):
        optimizers.get("rmspop")
    text = (
        "optimizer: expected optimizer as a name, a dict, a class or an instance, "
        "received 3"
    )
    with pytest.raises(CaptureError, match=exactly(text)):
        optimizers.get(3)
    text = "Adam: learning_rate: expected a number >= 0, received -1.0"
    with pytest.raises(CaptureError, match=exactly(text)):
        optimizers.Adam(-1)
    text = "Adam: clipnorm: expected a number > 0, received 0.0"
    with pytest.raises(CaptureError, match=exactly(text)):
        optimizers.Adam(clipnorm=0)


def test_importing_graphjit_imports_no_optax_flax_or_rich() -> None:
    program = (
        "import sys, graphjit as gj\n"
        "gj.losses.mse, gj.metrics.get, gj.callbacks.History, gj.optimizers.Adam()\n"
        "print([m for m in ('optax', 'flax', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
