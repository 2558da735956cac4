"""Whether two models of Keras are one: layer by layer, weight by weight."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_same"]


def check_same(one: Any, other: Any) -> None:
    """Layers of equal classes and configurations, called alike, with equal weights."""
    _check_layers(one, other)
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _check_layers(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    # What a chain began with when it was called has a name of its own in each.
    if type(one).__name__ not in ("Functional", "Sequential"):
        assert one.name == other.name
        assert _unnamed(one.get_config()) == _unnamed(other.get_config())
        return
    assert one.name == other.name
    for inner, twin in zip(one.layers, other.layers, strict=True):
        _check_layers(inner, twin)
    if type(one).__name__ == "Functional":
        assert _calls(one) == _calls(other)


def _unnamed(config: Any) -> Any:
    """A configuration without names: Keras numbers the cells and layers inside one."""
    if isinstance(config, dict):
        return {k: _unnamed(v) for k, v in config.items() if k != "name"}
    return [_unnamed(v) for v in config] if isinstance(config, list) else config


def _calls(model: Any) -> list[Any]:
    """From which layers every layer of a functional model is called."""
    found: list[Any] = []
    for layer in model.layers:
        for node in layer._inbound_nodes:
            sources = [t._keras_history[0].name for t in node.input_tensors]
            found.append((layer.name, sources))
    return found
