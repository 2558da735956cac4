from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graphjit as gj
from graphjit.command_line.source import Source
from graphjit_cli import main
from tests.command_line import files


def test_a_keras_model_in_two_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, target = files.FOLDER, tmp_path / "m.gjit"
    given = [str(folder / "model.json"), str(target)]
    assert main(["convert", *given, "--weights", str(folder / "weights.h5")]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == f"{given[0]}: written by tf.keras 2.15.0 (tensorflow)"
    assert last.startswith(f"{target}: 5 layers, 27 parameters, ")
    made = gj.load(target)
    assert made.provenance is not None
    assert made.provenance.writer == "tf.keras 2.15.0"
    for found, wanted in zip(
        made.get_weights(), files.small().get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_weights_with_a_configuration_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, target = files.FOLDER, tmp_path / "m.gjit"
    weights, config = str(folder / "weights.h5"), str(folder / "model.json")
    assert main(["convert", weights, str(target)]) == 2
    assert "--config FILE" in capsys.readouterr().err
    assert main(["convert", weights, str(target), "--config", config]) == 0
    assert gj.load(target).count_params() == 27


def test_assumptions_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = files.FOLDER / "model.json", tmp_path / "m.gjit"
    assert main(["convert", str(source), str(target)]) == 0
    assert "- no weights were given: they are fresh ones" in capsys.readouterr().out


def test_how_a_model_is_compiled_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = gj.Input((3,), name="x")
    model = gj.Model(x, gj.layers.Dense(1, name="d")(x))
    model.compile(gj.optimizers.SGD(0.25), "mse")
    data = np.ones((4, 3), np.float32)
    gj.keras.save_model(model, tmp_path / "m.h5")
    there, target = str(tmp_path / "m.h5"), tmp_path / "m.gjit"
    assert main(["convert", there, str(target)]) == 0
    assert "not kept" not in capsys.readouterr().out
    made = gj.load(target)
    losses = [m.fit(data, data[:, :1], verbose=0).history for m in (model, made)]
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"])


def test_what_is_not_kept_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Source.read

    def trained(source: Source) -> gj.Model:
        model = read(source)
        model.compile(gj.optimizers.Adam(lambda step: 0.1 / (1 + step)), "mse")
        model.fit(files.inputs(), model.predict(files.inputs()), verbose=0)
        return model

    monkeypatch.setattr(Source, "read", trained)
    there, target = str(files.FOLDER / "small.gjit"), str(tmp_path / "m.gjit")
    assert main(["convert", there, target]) == 0
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first.startswith(
        "- how it is compiled is not kept: the optimizer's learning"
    )
    assert second == "- the state of the optimizer is not kept: it begins anew"


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_to_keras_and_back(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, there = str(files.FOLDER / "small.gjit"), str(tmp_path / name)
    assert main(["convert", source, there]) == 0
    assert main(["convert", there, str(tmp_path / "back.gjit")]) == 0
    assert main(["diff", source, str(tmp_path / "back.gjit")]) == 0
    assert "graphs: equal\nweights: equal (4)" in capsys.readouterr().out


def test_what_keras_has_no_word_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "m.keras"
    files.small(activation="hard_sigmoid").save(tmp_path / "a.gjit")
    assert main(["convert", str(tmp_path / "a.gjit"), str(there)]) == 0
    assert "\n- small/hidden: its hard_sigmoid is Keras 2's" in capsys.readouterr().out
    x = gj.Input((3,), name="x")
    gj.Model(x, gj.layers.Highway(name="way")(x)).save(tmp_path / "b.gjit")
    assert main(["convert", str(tmp_path / "b.gjit"), str(there), "--force"]) == 2
    err = capsys.readouterr().err
    assert "Highway 'way': Keras has no Highway since Keras 1" in err
    assert "hint: a .gjit file holds all of it" in err


def test_nothing_is_replaced_without_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = str(files.FOLDER / "small.gjit"), tmp_path / "m.gjit"
    target.write_bytes(b"dear")
    assert main(["convert", source, str(target)]) == 2
    assert "m.gjit: it exists\n  hint: --force replaces it" in capsys.readouterr().err
    assert target.read_bytes() == b"dear"
    assert main(["convert", source, str(target), "--force"]) == 0
    assert capsys.readouterr().out.startswith(f"{source}: a model made by graphjit")
    assert target.read_bytes() == Path(source).read_bytes()


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("m.onnx", "OUT: expected a name that ends in .gjit, .keras, .h5, .hdf5"),
        ("none/m.gjit", "there is no folder "),
        ("", "OUT: expected a name that ends in .gjit"),
    ],
)
def test_targets_that_cannot_be(
    target: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(files.FOLDER / "small.gjit")
    assert main(["convert", source, str(tmp_path / target)]) == 2
    assert text in capsys.readouterr().err


def test_a_gjit_file_takes_no_other_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(files.FOLDER / "small.gjit")
    given = ["convert", source, str(tmp_path / "m.gjit"), "--weights", source]
    assert main(given) == 2
    assert "--weights: a .gjit file has graph and weights" in capsys.readouterr().err
