"""`save_weights` and `load_weights`: Keras 2's HDF5, by order and by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit import keras1
from graphjit.errors import DataError, FormatError
from graphjit.layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv2D,
    Dense,
    Flatten,
    Input,
    SeparableConv2D,
    TimeDistributed,
)

h5py = pytest.importorskip("h5py")


def chain(*names: str) -> gj.Sequential:
    """Dense layers of 4, 3, … units."""
    model = gj.Sequential(name="chain")
    for at, name in enumerate(names):
        first = {"input_dim": 5} if at == 0 else {}
        model.add(Dense(4 - at, name=name, **first))
    return model


def images() -> gj.Model:
    x = Input((6, 6, 2))
    h = SeparableConv2D(3, 2, name="separable")(Conv2D(4, 3, name="conv")(x))
    return gj.Model(x, Dense(2, name="d")(Flatten()(BatchNormalization(name="n")(h))))


def sequences() -> gj.Model:
    x = Input((7, 3))
    h = Bidirectional(GRU(2, return_sequences=True), name="both")(x)
    h = TimeDistributed(Dense(3), name="each")(h)
    return gj.Model(x, LSTM(2, name="last")(h))


def nested() -> gj.Model:
    x = Input((5,))
    inner = chain("a", "b")
    return gj.Model(x, Dense(1, name="top")(inner(inner_in(x))))


def inner_in(x: Any) -> Any:
    return Dense(5, name="before")(x)


def merged() -> gj.Sequential:
    left = keras1.Sequential([keras1.Dense(3, input_dim=4)])
    right = keras1.Sequential([keras1.Dense(3, input_dim=5)])
    both = keras1.Merge([left, right], mode="concat")
    return keras1.Sequential([both, keras1.Dense(2)])


def stateful() -> gj.Sequential:
    return gj.Sequential([LSTM(3, stateful=True, batch_input_shape=(2, 4, 3))])


MODELS: dict[str, Callable[[], gj.Model]] = {
    "chain": lambda: chain("a", "b"),
    "images": images,
    "sequences": sequences,
    "nested": nested,
    "merged": merged,
    "stateful": stateful,
}


def randomized(model: gj.Model) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    weights = [rng.random(w.shape).astype(np.float32) for w in model.get_weights()]
    model.set_weights(weights)
    return weights


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_round_trip(
    make: Callable[[], gj.Model], by_name: bool, tmp_path: Path
) -> None:
    model = make()
    weights = randomized(model)
    model.save_weights(tmp_path / "w.h5")
    again = make()
    again.load_weights(tmp_path / "w.h5", by_name=by_name)
    for old, new in zip(weights, again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_from_its_text_takes_its_weights(tmp_path: Path) -> None:
    model = merged()
    weights = randomized(model)
    model.save_weights(tmp_path / "w.h5")
    again = gj.model_from_json(model.to_json())
    again.load_weights(tmp_path / "w.h5")
    for old, new in zip(weights, again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_layout_is_keras_2s(tmp_path: Path) -> None:
    model = chain("a", "b")
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "r") as file:
        assert [n.decode() for n in file.attrs["layer_names"]] == ["a", "b"]
        names = [n.decode() for n in file["a"].attrs["weight_names"]]
        assert names == ["a/kernel:0", "a/bias:0"]
        np.testing.assert_array_equal(file["a"]["a/kernel:0"], model.get_weights()[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("by_name", [False, True])
def test_weights_of_a_file_that_keras_wrote(by_name: bool, tmp_path: Path) -> None:
    import keras

    K = keras.layers  # noqa: N806
    theirs = keras.Sequential(
        [
            K.Input((6, 6, 2)),
            K.Conv2D(4, 3, name="conv"),
            K.SeparableConv2D(3, 2, name="separable"),
            K.BatchNormalization(name="n"),
            K.Flatten(),
            K.Dense(2, name="d"),
        ]
    )
    rng = np.random.default_rng(1)
    theirs.set_weights([rng.random(w.shape) for w in theirs.get_weights()])
    theirs.save(tmp_path / "k.h5")
    model = images()
    model.load_weights(tmp_path / "k.h5", by_name=by_name)
    x = rng.standard_normal((3, 6, 6, 2)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_by_name_leaves_the_others(tmp_path: Path) -> None:
    saved = chain("a", "b")
    weights = randomized(saved)
    saved.save_weights(tmp_path / "w.h5")
    other = chain("a", "c")
    before = other.get_weights()
    other.load_weights(tmp_path / "w.h5", by_name=True)
    found = other.get_weights()
    np.testing.assert_array_equal(found[0], weights[0])
    np.testing.assert_array_equal(found[2], before[2])


def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    saved = chain("a", "b")
    randomized(saved)
    saved.save_weights(tmp_path / "w.h5")
    other = gj.Sequential([Dense(4, input_dim=5, name="a"), Dense(9, name="b")])
    before = other.get_weights()
    text = r"layer 'b': 'kernel': expected shape \(4, 9\), found \(4, 3\)"
    for by_name in (False, True):
        with pytest.raises(DataError, match=text):
            other.load_weights(tmp_path / "w.h5", by_name=by_name)
    with pytest.raises(DataError, match="expected 3 layers with weights, found 2"):
        chain("a", "b", "c").load_weights(tmp_path / "w.h5")
    for old, new in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.warns(UserWarning, match="left as it is"):
        other.load_weights(tmp_path / "w.h5", by_name=True, skip_mismatch=True)
    np.testing.assert_array_equal(other.get_weights()[0], saved.get_weights()[0])


def test_saving_replaces_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    chain("a").save_weights(path)
    data = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite is False"):
        chain("a").save_weights(path, overwrite=False)
    with pytest.raises(FormatError, match="cannot be a name"):
        chain(".").save_weights(path)
    assert path.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["w.h5"]
    for name in ("w.gjit", "w.weights.h5"):
        with pytest.raises(FormatError, match=r"expected a name that ends in \.h5"):
            chain("a").save_weights(tmp_path / name)


def _external(file: Any, folder: Path) -> None:
    del file["a/a/kernel:0"]
    other = [(str(folder / "secret"), 0, 80)]
    file["a/a"].create_dataset("kernel:0", (5, 4), "f4", external=other)


def _soft(file: Any, folder: Path) -> None:
    file["a/a"].move("kernel:0", "k")
    file["a/a"]["kernel:0"] = h5py.SoftLink("/a/a/k")


def _link(file: Any, folder: Path) -> None:
    del file["a/a/kernel:0"]
    file["a/a"]["kernel:0"] = h5py.ExternalLink(str(folder / "other.h5"), "/k")


def _strings(file: Any, folder: Path) -> None:
    del file["a/a/kernel:0"]
    file["a/a"]["kernel:0"] = ["text"]


def _bomb(file: Any, folder: Path) -> None:
    del file["a/a/kernel:0"]
    shape = (2**20, 2**20)
    file["a/a"].create_dataset("kernel:0", shape, "f4", chunks=(64, 64))


def _names(file: Any, folder: Path) -> None:
    file.attrs["layer_names"] = [b"a", b"nothing"]


HOSTILE: dict[str, tuple[Callable[[Any, Path], None], str]] = {
    "external storage": (_external, "its data are in other files"),
    "soft link": (_soft, "received a link"),
    "external link": (_link, "received a link"),
    "strings": (_strings, "expected an array of numbers"),
    "shape bomb": (_bomb, "bytes|limit"),
    "names of nothing": (_names, "nothing is there"),
}


@pytest.mark.parametrize(("damage", "text"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused(
    damage: Callable[[Any, Path], None], text: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"secret" * 100)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["k"] = np.zeros((5, 4), np.float32)
    model = chain("a")
    before = model.get_weights()
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        damage(file, tmp_path)
    with pytest.raises(FormatError, match=text):
        model.load_weights(tmp_path / "w.h5")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_is_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text(json.dumps({}))
    with pytest.raises(FormatError, match="not an HDF5 file"):
        chain("a").load_weights(tmp_path / "text.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(FormatError, match=re.escape("no weights of Keras")):
        chain("a").load_weights(tmp_path / "empty.h5")
    with pytest.raises(FileNotFoundError, match=re.escape("none.h5")):
        chain("a").load_weights(tmp_path / "none.h5")
