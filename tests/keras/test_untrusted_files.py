"""Files nobody should trust, and what only the user has."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.errors import CaptureError, DataError, FormatError
from graphjit.keras.notes import Notes
from graphjit.keras.training_config import compiled_as
from tests.keras.test_keras1_files import close
from tests.keras.test_meaning_by_version import write


def lambda_layer(name: str, **more: Any) -> tuple[str, dict[str, Any], list[Any]]:
    config = {
        "function": ["4wEAAAABAAAAAgAAAA==", None, None],
        "function_type": "lambda",
        "module": "__main__",
        "output_shape": ["4wEAAAA=", None, None],
        "output_shape_type": "lambda",
        "arguments": {},
        **more,
    }
    return "Lambda", {"name": name, **config}, []


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.h5",
        [
            ("Foo", {"name": "a", "batch_input_shape": [None, 3]}, []),
            ("Foo", {"name": "b"}, []),
            ("Dens", {"name": "c"}, []),
            lambda_layer("d"),
        ],
    )
    with pytest.raises(FormatError, match="layers that graphjit cannot make") as caught:
        gj.keras.load_model(path)
    assert caught.value.details == (
        "Foo: 'a', 'b'",
        "Dens: 'c' (the nearest known class is 'Dense')",
        "Lambda 'd': a function held as code",
    )
    assert caught.value.hint == (
        'supply them: custom_layers={"Foo": layer_class, "Dens": layer_class, '
        '"d": function}'
    )


class Twice(Layer):
    """A layer that nobody registered."""

    def emit(self, emitter: Any, *inputs: Any) -> Any:
        from graphjit.ops.elementwise import Add

        return emitter(Add(), inputs[0], inputs[0])


def test_what_the_user_supplies(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.h5",
        [
            ("Foo", {"name": "a", "batch_input_shape": [None, 3]}, []),
            lambda_layer("d"),
            ("Activation", {"name": "e", "activation": "mine"}, []),
        ],
    )
    supplied = {"Foo": Twice, "d": lambda x: x + 1, "mine": lambda x: -x}
    model = gj.keras.load_model(path, custom_layers=supplied)
    x = np.array([[1.0, 2.0, 3.0]], np.float32)
    close(model.predict(x), -(2 * x + 1))
    assert "Lambda 'd': its function is the one in custom_layers" in str(
        model.provenance
    )
    layer = L.Lambda(lambda x: x + 1, name="d")
    model = gj.keras.load_model(path, custom_layers={**supplied, "d": layer})
    close(model.predict(x), -(2 * x + 1))


# --- archives ---------------------------------------------------------------------


def small() -> dict[str, Any]:
    dense = {"units": 2, "use_bias": False, "name": "d"}
    start = {"batch_shape": [None, 3], "dtype": "float32", "name": "x"}
    return {
        "module": "keras",
        "class_name": "Sequential",
        "registered_name": None,
        "config": {
            "name": "s",
            "layers": [
                {"class_name": "InputLayer", "config": start},
                {"class_name": "Dense", "config": dense},
            ],
        },
    }


def archive(
    path: Path,
    change: Callable[[zipfile.ZipFile], None] | None = None,
    config: Any = None,
    groups: tuple[str, ...] = ("layers/dense",),
) -> Path:
    with h5py.File(path.with_suffix(".w"), "w") as file:
        for group in groups:
            file[f"{group}/vars/0"] = np.ones((3, 2), np.float32)
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("config.json", json.dumps(config or small()))
        made.writestr("metadata.json", json.dumps({"keras_version": "3.1.0"}))
        made.write(path.with_suffix(".w"), "model.weights.h5")
        if change is not None:
            change(made)
    return path


@pytest.mark.parametrize("container", ["layers", "_layer_checkpoint_dependencies"])
def test_an_archive(container: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras", groups=(f"{container}/dense",))
    model = gj.keras.load_model(path)
    close(model.predict(np.ones((1, 3))), [[3, 3]])
    assert str(model.provenance) == "written by Keras 3.1.0"


def _bomb(made: zipfile.ZipFile) -> None:
    made.writestr("metadata.json", b" " * 2**25, zipfile.ZIP_DEFLATED)


CHANGES: dict[str, tuple[Callable[[zipfile.ZipFile], None], str]] = {
    "traversal": (lambda z: z.writestr("../../etc/x", "x"), r"found '\.\./\.\./etc/x'"),
    "absolute": (lambda z: z.writestr("/etc/x", "x"), "expected the members"),
    "assets": (
        lambda z: z.writestr("assets/words.txt", "x"),
        "hint: layers with files of their own",
    ),
    "code": (lambda z: z.writestr("code.pkl", "x"), "found 'code.pkl'"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize(("change", "text"), CHANGES.values(), ids=CHANGES)
def test_hostile_archives(
    change: Callable[[zipfile.ZipFile], None], text: str, tmp_path: Path
) -> None:
    path = archive(tmp_path / "m.keras", change)
    with pytest.raises(FormatError, match=text):
        gj.keras.load_model(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.keras", "m.w"]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_member_twice_and_a_bomb(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras", lambda z: z.writestr("config.json", "{}"))
    with pytest.raises(FormatError, match=r"config\.json stands twice"):
        gj.keras.load_model(path)
    with zipfile.ZipFile(tmp_path / "b.keras", "w") as made:
        made.writestr("config.json", b" " * 2**24, zipfile.ZIP_DEFLATED)
    with pytest.raises(
        FormatError, match=r"declares 16777216 bytes out of \d+ \(limit ra"
    ):
        gj.keras.load_model(tmp_path / "b.keras")


def test_every_truncation_and_flipped_bytes(tmp_path: Path) -> None:
    data = archive(tmp_path / "m.keras").read_bytes()
    path = tmp_path / "t.keras"
    for size in range(4, len(data), 131):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError):
            gj.keras.load_model(path)
    x = np.ones((1, 3))
    for at in range(4, len(data), 61):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        try:
            model = gj.keras.load_model(path)
        except gj.errors.GraphJitError:
            continue
        close(model.predict(x), [[3, 3]])


def test_groups_that_are_missing_or_too_many(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras", groups=("layers/conv",))
    with pytest.raises(
        DataError, match=r"expected 1 groups of weights .* 'dense', found 0"
    ):
        gj.keras.load_model(path)
    path = archive(tmp_path / "n.keras", groups=("layers/dense", "layers/dense_1"))
    with pytest.raises(
        DataError, match=r"expected 1 groups of weights .* 'dense', found 2"
    ):
        gj.keras.load_model(path)


# --- declared sizes, foreign files ------------------------------------------------


def test_activation_and_weight_bombs() -> None:
    def chain(*layers: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        items = [{"class_name": cls, "config": config} for cls, config in layers]
        return {"class_name": "Sequential", "keras_version": "2.4.0", "config": items}

    first = {"batch_input_shape": [None, 2**16]}
    with pytest.raises(FormatError, match="limit elements"):
        gj.keras.load_model(chain(("RepeatVector", {"n": 2**20, **first})))
    with pytest.raises(
        FormatError, match=r"weight .* declares 4294967296 .limit elements"
    ):
        gj.keras.load_model(chain(("Dense", {"units": 2**16, **first})))


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="received a folder\n  hint: a SavedModel"):
        gj.keras.load_model(tmp_path)
    (tmp_path / "m.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(FormatError, match="is never read: it could name code"):
        gj.keras.load_model(tmp_path / "m.yaml")
    with pytest.raises(FormatError, match='expected an object with "class_name"'):
        gj.keras.load_model({"a": 1})
    with pytest.raises(FormatError, match="expected a path, a text or a dict"):
        gj.keras.load_model(3)
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        gj.keras.load_model(tmp_path / "none.h5")
    with pytest.raises(FormatError, match="configuration of a model, received a Dense"):
        gj.keras.load_model({"class_name": "Dense", "config": {"units": 3}})


def test_a_yaml_file(tmp_path: Path) -> None:
    model = gj.Sequential([L.Dense(2, input_shape=(3,))])
    (tmp_path / "m.yaml").write_text(model.to_yaml())
    again = gj.keras.load_model(tmp_path / "m.yaml")
    assert again.output_shape == (None, 2)
    assert "no weights were given" in str(again.provenance)


def test_names_that_are_lists() -> None:
    """Found by the fuzzer: what is no text is no key of a table."""
    settings = {"units": 2, "batch_input_shape": [None, 3]}
    root: dict[str, Any] = {
        "class_name": "Sequential",
        "keras_version": "2.2.4",
        "config": [{"class_name": "Dense", "config": settings}],
    }
    settings["activation"] = {"class_name": ["ELU"], "config": {}}
    with pytest.raises(CaptureError, match="activation: expected a name or a function"):
        gj.keras.load_model(root)
    del settings["activation"]
    model, notes = gj.keras.load_model(root), Notes()
    compiled = {"optimizer": "sgd", "loss": "mse", "metrics": [{"class_name": ["mae"]}]}
    compiled_as(model, compiled, {}, notes)
    assert list(notes) == [
        "not compiled as the file says: a loss or metric: expected a name, received "
        "['mae']"
    ]
