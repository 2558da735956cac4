"""Cases recorded from Keras 2.0: the same numbers in four ways of running.

Plainly (the inference graph by the plain lowerings, not compiled), compiled
(`predict`), after the passes (`gj.jit`), and as the channels_first twin of the same
weights, where the layers have one.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit.passes.pipeline import run
from graphjit.passes.to_inference import ToInference

CASES = 133

#: Layers without weights or axes, which are their own twins.
SAME_TWIN = {"Activation", "LeakyReLU", "ELU", "ThresholdedReLU", "GaussianNoise"}
SAME_TWIN |= {"GaussianDropout", "Dropout", "InputLayer", "Add", "Multiply", "Average"}
SAME_TWIN |= {"Maximum", "Minimum", "Subtract", "ReLU"}
#: Layers with a data format whose twin has other weights, or another order of rows.
NO_TWIN = {"LocallyConnected1D", "LocallyConnected2D", "Flatten"}

Run = Callable[[gj.Model, list[Any]], Any]


@functools.cache
def cases(path: Path) -> list[dict[str, Any]]:
    return json.loads((path / "kerasjs" / "cases_dev.json").read_text())


def plain(model: gj.Model, x: list[Any]) -> Any:
    graph, _ = run(model.graph, [ToInference()])
    variables = model.variables
    step = gj.lower(graph)(variables["params"], variables["state"], x)
    model.variables = {"params": variables["params"], "state": step.state}
    return step.outputs


def compiled(model: gj.Model, x: list[Any]) -> Any:
    return model.predict(x)


def passed(model: gj.Model, x: list[Any]) -> Any:
    exe = gj.jit(model)
    if not exe.graph.updates:
        return exe(x)
    step = exe.step(model.variables["state"], x)
    state = {**model.variables["state"], **step.state}
    model.variables = {"params": model.variables["params"], "state": state}
    return step.outputs


WAYS: dict[str, Run] = {"plain": plain, "compiled": compiled, "passes": passed}


def answer(case: dict[str, Any], config: Any, x: list[Any], way: Run) -> Any:
    model = gj.model_from_json(json.dumps(config))
    model.set_weights([np.array(w, np.float32) for w in case["weights"]])
    for _ in range(case["predict_calls"]):
        found = way(model, x)
    return np.asarray(found)[0]


def agrees(case: dict[str, Any], found: Any, wanted: Any) -> None:
    tolerance = max(1e-5, case["tfkeras215_maxdiff"])
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


def data(case: dict[str, Any]) -> list[Any]:
    return [np.array(x, np.float32)[None] for x in case["inputs"]]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("index", range(CASES))
def test_case(index: int, way: Run, corpus: Path) -> None:
    case = cases(corpus)[index]
    wanted = np.array(case["expected"], np.float32)
    agrees(case, answer(case, case["config"], data(case), way), wanted)


@pytest.mark.parametrize("index", range(CASES))
def test_channels_first_twin(index: int, corpus: Path) -> None:
    case = cases(corpus)[index]
    config = twin(case["config"])
    if config is None:
        return  # such layers have no twin of the same weights; see the count below
    x = [first(array) for array in data(case)]
    wanted = first(np.array(case["expected"], np.float32)[None])[0]
    for way in (plain, passed):
        agrees(case, answer(case, config, x, way), wanted)


def test_all_cases_are_there_and_many_have_twins(corpus: Path) -> None:
    found = cases(corpus)
    assert len(found) == CASES
    assert sum(twin(case["config"]) is not None for case in found) >= 50


def first(array: Any) -> Any:
    """Channels moved from the last axis to axis 1."""
    return np.moveaxis(array, -1, 1) if array.ndim > 2 else array


def twin(config: dict[str, Any]) -> dict[str, Any] | None:
    """The configuration in channels_first, with the same weights; None if none has."""
    turned = json.loads(json.dumps(config))
    flipped = False
    for layer in turned["config"]["layers"]:
        cls, settings = layer["class_name"], layer["config"]
        if cls == "InputLayer":
            _, *dims = settings["batch_input_shape"]
            if len(dims) > 1:
                settings["batch_input_shape"] = [None, dims[-1], *dims[:-1]]
        elif "data_format" in settings and cls not in NO_TWIN:
            if settings["data_format"] != "channels_last":
                return None
            settings["data_format"] = "channels_first"
            flipped = True
        elif cls not in SAME_TWIN:
            return None
    return turned if flipped else None
