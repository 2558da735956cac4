"""Every initializer, regularizer and constraint of every layer takes effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import graphjit as gj
from graphjit.capture.layer import Layer
from graphjit.capture.tracer import Captured
from graphjit.constraints import NonNeg
from graphjit.initializers import Constant
from graphjit.ir import Param
from graphjit.regularizers import L2
from tests.conformance.layer_case import LayerCase
from tests.conformance.layer_table import LAYER_ROWS, called

#: What an argument is set to, by how its name ends, and what must then hold it.
SETTINGS: dict[str, tuple[Any, str]] = {
    "_initializer": (Constant(0.25), "initializer"),
    "_regularizer": (L2(0.125), "regularizer"),
    "_constraint": (NonNeg(), "constraint"),
}


def weight_arguments() -> Iterator[tuple[type[Layer], str, LayerCase]]:
    """Each such argument of each layer, with a case to try it on."""
    for row in LAYER_ROWS:
        for name in row.layer.arguments:
            if name.endswith(tuple(SETTINGS)):
                for case in row.cases:
                    yield row.layer, name, case


FIRST_CASES: dict[tuple[type[Layer], str], list[LayerCase]] = {}
for _layer, _name, _case in weight_arguments():
    FIRST_CASES.setdefault((_layer, _name), []).append(_case)


def with_setting(layer: type[Layer], name: str, case: LayerCase) -> Captured:
    value = next(v for end, (v, _) in SETTINGS.items() if name.endswith(end))
    return called(layer(**{**case.settings, name: value}), case.inputs)


def has(param: Param, name: str) -> bool:
    value, field = next(found for end, found in SETTINGS.items() if name.endswith(end))
    held = getattr(param, field)
    # A forget gate's ones stand beside what the user asked for.
    return held == value or repr(value) in repr(held)


@pytest.mark.parametrize(
    ("layer", "name"),
    [pytest.param(*key, id=f"{key[0].__name__}-{key[1]}") for key in FIRST_CASES],
)
def test_the_setting_reaches_a_weight(layer: type[Layer], name: str) -> None:
    if name == "activity_regularizer":
        case = FIRST_CASES[layer, name][0]
        made = layer(**{**case.settings, name: L2(0.125)})
        assert called(made, case.inputs).graph.losses
        return
    for case in FIRST_CASES[layer, name]:
        graph = with_setting(layer, name, case).graph
        if any(has(param, name) for param in graph.params):
            return
    pytest.fail(f"no case of {layer.__name__} has a weight that {name} is for")


def test_what_every_layer_takes() -> None:
    """`name`, `trainable` and `dtype`, whatever the layer."""
    for row in LAYER_ROWS:
        case = row.cases[0]
        made = row.layer(
            **{**case.settings, "dtype": "float64"}, name="mine", trainable=False
        )
        captured = called(made, case.inputs, "float64")
        assert captured.names[-1] == "mine"
        model = gj.Model(*_ends(made))
        assert model.frozen_layers() == ("mine",)
        dtypes = {p.type.dtype for p in captured.graph.params if not made.parts()}
        assert "float32" not in dtypes, row.layer.__name__


def _ends(layer: Layer) -> tuple[list[Any], list[Any]]:
    call = layer.calls[0]
    return list(dict.fromkeys(call.inputs)), [call.outputs[0]]
