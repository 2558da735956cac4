from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import graphjit as gj
from graphjit.command_line.weight_differences import weights_apart
from graphjit_cli import main
from tests.command_line import files

MODEL = str(files.FOLDER / "small.gjit")


def saved(tmp_path: Path, model: gj.Model, name: str = "b.gjit") -> str:
    model.save(tmp_path / name)
    return str(tmp_path / name)


def moved(tmp_path: Path, by: float) -> str:
    model = files.small()
    weights = model.get_weights()
    weights[0][1, 2] += by
    model.set_weights(weights)
    return saved(tmp_path, model)


def test_equal_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = saved(tmp_path, files.small())
    assert main(["diff", MODEL, other]) == 0
    assert capsys.readouterr().out == (
        f"A: {MODEL}\nB: {other}\ngraphs: equal\nweights: equal (4)\n"
    )


def test_weights_and_tolerance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = moved(tmp_path, 2.0**-10)
    assert main(["diff", MODEL, other]) == 1
    text = capsys.readouterr().out
    assert "weights: 1 of 4 differ" in text
    assert (
        "hidden/kernel float32[4, 3]: largest difference 0.000977 at [1, 2]: " in text
    )
    assert "; 1 of 12 numbers differ" in text
    assert main(["diff", MODEL, other, "--tolerance", "1e-3"]) == 0
    assert "weights: equal within 0.001 (4)" in capsys.readouterr().out
    assert main(["diff", MODEL, other, "--tolerance", "9e-4"]) == 1


def test_layers_and_their_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = saved(tmp_path, files.small(activation="tanh", use_bias=False))
    assert main(["diff", MODEL, other]) == 1
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "layer 'hidden': activation: 'relu', 'tanh'" in lines
    assert "layer 'hidden': use_bias: True, False" in lines
    assert "hidden/bias float32[3]: only in A" in lines
    assert "-  %hidden/relu = relu(%hidden/dense) : float32[batch, 3]" in lines


def test_settings_of_the_layer_in_a_wrapper(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths: list[str] = []
    for gate in ("sigmoid", "hard_sigmoid"):
        gru = gj.layers.GRU(2, recurrent_activation=gate, name="gru")
        both = gj.layers.Bidirectional(gru, input_shape=(3, 1), name="both")
        chain = gj.Sequential([both], name="net")
        chain.set_weights([np.zeros(w.shape) for w in chain.get_weights()])
        paths.append(saved(tmp_path, chain, f"{gate}.gjit"))
    assert main(["diff", *paths]) == 1
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert (
        "layer 'both': layer.config.recurrent_activation: 'sigmoid', 'hard_sigmoid'"
        in lines
    )


def test_what_layers_were_told_of_their_input_is_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = gj.Sequential([gj.layers.Dense(2, input_shape=(3,), name="d")], name="net")
    x = gj.layers.InputLayer((3,), name=told.input_names[0])
    fed = gj.Sequential([x, gj.layers.Dense(2, name="d")], name="net")
    fed.set_weights(told.get_weights())
    paths = [saved(tmp_path, told, "a.gjit"), saved(tmp_path, fed)]
    assert told.graph != fed.graph
    assert main(["diff", *paths]) == 0
    x = gj.layers.InputLayer((3,), batch_size=4, name=told.input_names[0])
    fixed = gj.Sequential([x, gj.layers.Dense(2, name="d")], name="net")
    assert main(["diff", paths[0], saved(tmp_path, fixed, "c.gjit")]) == 1
    assert "float32[batch, 3]; float32[4, 3]" in capsys.readouterr().out


def test_trainable_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = files.small()
    model.get_layer("out").trainable = False
    assert main(["diff", MODEL, saved(tmp_path, model)]) == 1
    assert "layer 'out': trainable: True, False" in capsys.readouterr().out


def test_shapes_classes_and_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = gj.Input((4,), name="a"), gj.Input((2,), name="b")
    hidden = gj.layers.Dense(5, name="hidden")(a)
    both = gj.layers.Concatenate(name="both")([b, hidden])
    last = gj.layers.ReLU(name="last")(gj.layers.Activation("relu", name="out")(both))
    other = saved(tmp_path, gj.Model([a, b], last, name="other"))
    assert main(["diff", MODEL, other]) == 1
    text = capsys.readouterr().out
    for line in (
        "name: 'small', 'other'",
        "layer 'hidden': units: 3, 5",
        "layer 'hidden': its outputs: float32[batch, 3]; float32[batch, 5]",
        "layer 'both': its inputs: ['hidden', 'b'], ['b', 'hidden']",
        "layer 'out': Dense, Activation",
        "layer 'last' (ReLU): only in B",
        "weight 'hidden/kernel': type: float32[4, 3], float32[4, 5]",
        "hidden/kernel float32[4, 3], float32[4, 5]",
        "out/kernel float32[5, 2]: only in A",
    ):
        assert line in text


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = moved(tmp_path, np.nan)
    assert main(["diff", MODEL, other, "--json", "--tolerance", "1e9"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["equal"], found["graph"]["equal"]) == (False, True)
    assert found["weights"][0] == {
        "name": "hidden/kernel",
        "first": "float32[4, 3]",
        "second": "float32[4, 3]",
        "equal": False,
        "max_abs_difference": None,
        "numbers_that_differ": 1,
    }
    assert found["weights"][1]["max_abs_difference"] == 0.0


def test_a_keras_file_against_a_gjit_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(files.FOLDER / "model.json")
    target = str(tmp_path / "m.gjit")
    assert main(["convert", config, target]) == 0
    assert main(["diff", config, target]) == 0
    assert main(["diff", config, MODEL]) == 1  # other weights
    assert "graphs: equal" in capsys.readouterr().out


def test_trouble_is_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", MODEL, "none.gjit"]) == 2
    assert "none.gjit: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("a", "b", "most", "count"),
    [
        (np.array([np.nan, np.inf, -np.inf, 0.0]), None, 0.0, 0),
        (np.array([0.0]), np.array([-0.0]), 0.0, 0),
        (np.array([1.0, np.inf]), np.array([1.5, -np.inf]), np.inf, 2),
        (np.array([1.0, 2.0]), np.array([np.nan, 2.0]), np.inf, 1),
        (np.array([2**62], "int64"), np.array([2**62 + 1], "int64"), 1.0, 1),
        (np.array([-(2**63)]), np.array([2**63 - 1]), 2.0**64, 1),
        (np.array([True, False]), np.array([False, False]), 1.0, 1),
        (np.array([3], "uint8"), np.array([5], "uint8"), 2.0, 1),
        (jnp.ones(3, "bfloat16"), np.array([1, 1, 1.5], "float32"), 0.5, 1),
        (np.ones((0, 3)), np.ones((0, 3)), 0.0, 0),
        (np.ones(2), np.ones(3), np.inf, 0),
        (np.array(1.0), np.array(1.25), 0.25, 1),
    ],
)
def test_distances(a: Any, b: Any, most: float, count: int) -> None:
    apart = weights_apart({"w": a}, {"w": a if b is None else b})["w"]
    assert (apart.most, apart.count) == (most, count)


def test_the_largest_is_found_beyond_the_first_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("graphjit.command_line.weight_differences._CHUNK", 4)
    a, b = np.zeros((3, 5)), np.zeros((3, 5))
    b[0, 1], b[2, 3] = 0.5, -2.0
    apart = weights_apart({"w": a}, {"w": b})["w"]
    assert str(apart) == (
        "w float64[3, 5]: largest difference 2 at [2, 3]: 0.0, -2.0; "
        "2 of 15 numbers differ"
    )
