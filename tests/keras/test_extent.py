"""What a configuration asks for, counted before anything is made of it."""

from __future__ import annotations

from typing import Any

import pytest

import graphjit as gj
from graphjit.capture import rebuild
from graphjit.errors import CaptureError, FormatError
from graphjit.formats.limits import Limits
from graphjit.keras.extent import check_extent
from graphjit.keras.guard import malformed


def layer(name: str, calls: int = 1, **config: Any) -> dict[str, Any]:
    return {
        "class_name": "Activation",
        "config": {"name": name, "activation": "relu", **config},
        "inbound_nodes": [[["x", 0, 0, {}]]] * calls,
    }


def model(name: str, *layers: dict[str, Any], calls: int = 1) -> dict[str, Any]:
    config = {"name": name, "layers": list(layers)}
    nodes = [[["x", 0, 0, {}]]] * calls
    return {"class_name": "Functional", "config": config, "inbound_nodes": nodes}


@pytest.mark.parametrize(
    ("root", "calls"),
    [
        (model("m", layer("a"), layer("b", 3)), 4),
        (model("m", model("n", layer("a"), layer("b"), calls=5)), 10),
        (model("m", model("n", model("o", layer("a", 2), calls=3), calls=5)), 30),
        (model("m", layer("a", 2, layer=layer("b"))), 4),
        ({"class_name": "Sequential", "config": [layer("a"), layer("b")]}, 2),
    ],
)
def test_calls_are_counted_where_they_are_written_out(root: Any, calls: int) -> None:
    check_extent(root, Limits(nodes=calls))
    with pytest.raises(FormatError, match=f"{calls} calls of layers.*limit nodes = "):
        check_extent(root, Limits(nodes=calls - 1))


def test_names_and_paths() -> None:
    deep = model("m", model("n" * 100, layer("b" * 10), calls=7))
    check_extent(deep, Limits(header_bytes=7 * 112))
    with pytest.raises(FormatError, match=r"798 characters \(limit header_bytes"):
        check_extent(model("m", deep), Limits(header_bytes=700))
    with pytest.raises(FormatError, match=r"name 'bbb.*: 300 characters \(limit name"):
        check_extent(model("m", layer("b" * 300)), Limits(name_chars=299))


def backwards(count: int) -> dict[str, Any]:
    """A chain whose layers stand in the file from the last to the first."""
    start = {
        "class_name": "InputLayer",
        "config": {"name": "l0", "batch_input_shape": [None, 3]},
        "inbound_nodes": [],
    }
    layers = [start]
    for at in range(1, count):
        made = layer(f"l{at}")
        layers.append({**made, "inbound_nodes": [[[f"l{at - 1}", 0, 0, {}]]]})
    config = {
        "name": "m",
        "layers": layers[::-1],
        "input_layers": [["l0", 0, 0]],
        "output_layers": [[f"l{count - 1}", 0, 0]],
    }
    return {"class_name": "Functional", "config": config, "keras_version": "2.4.0"}


def test_a_file_in_the_wrong_order_is_read_in_one_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    missing = rebuild._missing  # pyright: ignore[reportPrivateUsage]

    def counted(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return missing(*args)

    monkeypatch.setattr(rebuild, "_missing", counted)
    made = gj.keras.load_model(backwards(60))
    assert len(made.graph.nodes) == 59
    assert looks <= 2 * 59


def test_calls_that_wait_for_each_other() -> None:
    root = backwards(4)
    root["config"]["layers"][2]["inbound_nodes"] = [[["l2", 0, 0, {}]]]
    with pytest.raises(CaptureError, match=r"layer 'l3': call 0 reads .*, never made"):
        gj.keras.load_model(root)


def test_two_layers_of_one_name() -> None:
    root = backwards(4)
    root["config"]["layers"].append(root["config"]["layers"][1])
    with pytest.raises(CaptureError, match="has two layers called 'l2'"):
        gj.keras.load_model(root)


def test_what_nobody_foresaw() -> None:
    with (
        pytest.raises(FormatError, match="is malformed: KeyError: 'x'") as caught,
        malformed({}),
    ):
        raise KeyError("x")
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(KeyError, match="x"), malformed({"mine": len}):
        raise KeyError("x")
    with pytest.raises(CaptureError, match=r"^ours$"), malformed({}):
        raise CaptureError("ours")
