"""The order of layers and of weights is Keras's: lists of weights are in it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import Captured, capture
from tests.profiles import examples


@dataclass
class Twins:
    """The same model made twice: of our layers, and of Keras's."""

    keras: Any
    rng: random.Random
    pool: list[tuple[Tensor, Any]] = field(default_factory=list)
    layers: list[tuple[Layer, Any]] = field(default_factory=list)

    def input(self, name: str) -> tuple[Tensor, Any]:
        pair = (L.Input((3,), name=name), self.keras.Input((3,), name=name))
        self.pool.append(pair)
        return pair

    def step(self) -> None:
        kind = self.rng.choice(["dense", "dense", "norm", "again", "again", "add"])
        name = f"{kind}_{len(self.layers)}"
        keras = self.keras.layers
        if kind == "add":
            chosen = [self.rng.choice(self.pool) for _ in range(self.rng.randint(2, 3))]
            ours, theirs = zip(*chosen, strict=True)
            pair = (L.Add(name=name), keras.Add(name=name))
            self.layers.append(pair)
            self.pool.append((pair[0](list(ours)), pair[1](list(theirs))))
            return
        known = [p for p in self.layers if not isinstance(p[0], L.Add)]
        if kind == "again" and known:
            pair = self.rng.choice(known)
        elif kind == "norm":
            pair = (
                L.BatchNormalization(name=name),
                keras.BatchNormalization(name=name),
            )
        else:
            pair = (L.Dense(3, name=name), keras.Dense(3, name=name))
        self.layers.append(pair)
        ours, theirs = self.rng.choice(self.pool)
        self.pool.append((pair[0](ours), pair[1](theirs)))


def twins(keras: Any, seed: int) -> tuple[Captured, Any]:
    made = Twins(keras, random.Random(seed))
    inputs = [made.input(f"in{at}") for at in range(made.rng.randint(1, 3))]
    for _ in range(made.rng.randint(2, 9)):
        made.step()
    later = made.pool[len(inputs) :]
    outputs = [later[-1], *made.rng.sample(later, made.rng.randint(0, 1))]
    made.rng.shuffle(inputs)
    ours = capture([a for a, _ in inputs], [a for a, _ in outputs], "m")
    return ours, keras.Model([b for _, b in inputs], [b for _, b in outputs])


@examples(40)
@given(st.integers(0, 2**32 - 1))
def test_layers_and_weights_are_in_the_order_of_keras(seed: int) -> None:
    keras = pytest.importorskip("keras")
    ours, theirs = twins(keras, seed)
    assert list(ours.names) == [layer.name for layer in theirs.layers]
    weights = [
        f"{name}/{slot}"
        for name, layer in zip(ours.names, ours.layers, strict=True)
        for slot in layer.cells
    ]
    assert weights == [weight.path for weight in theirs.weights]
    owned = [name for call in ours.graph.layers for name in call.params]
    assert list(dict.fromkeys(owned)) == weights
