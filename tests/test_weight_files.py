"""`save_weights` and `load_weights`: Keras 2's HDF5 files, ours and Keras's."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, DataError, FormatError
from graphjit.formats import atomic, hdf5, keras_weights
from graphjit.formats.limits import DEFAULT_LIMITS
from tests.conformance.layer_table import LAYER_ROWS
from tests.test_model_text import (
    RECORDED,
    data_of,
    model_of,
    recorded,
    with_random_weights,
)


def small(**names: str) -> gj.Model:
    name = {"first": "first", "second": "second", **names}
    x = gj.Input((3,), name="x")
    y = L.Dense(4, name=name["first"])(x)
    y = L.BatchNormalization(name="norm")(L.Dropout(0.5, name="drop")(y))
    return gj.Model(x, L.Dense(2, name=name["second"])(y))


def nested(frozen: bool = False) -> gj.Model:
    x = gj.Input((5, 4), name="x")
    steps = L.TimeDistributed(L.Dense(4), name="steps")(x)
    both = L.Bidirectional(L.LSTM(2), name="both")(steps)
    inner = gj.Sequential(
        [
            L.Dense(3, input_shape=(4,), name="a", trainable=not frozen),
            L.BatchNormalization(name="n"),
            L.Dense(3, name="b"),
        ],
        name="inner",
    )
    return gj.Model(x, inner(both), name="outer")


def assert_equal(first: gj.Model, second: gj.Model) -> None:
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- there and back ---------------------------------------------------------------


@pytest.mark.parametrize("row", LAYER_ROWS, ids=lambda row: row.layer.__name__)
def test_every_layer_there_and_back(row: Any, tmp_path: Path) -> None:
    case = row.cases[0]
    model = with_random_weights(model_of(row.layer(**case.settings), case))
    model.save_weights(tmp_path / "w.h5")
    again = model_of(row.layer(**case.settings), case)
    again.load_weights(str(tmp_path / "w.h5"))
    assert_equal(again, model)


def test_nested_models_there_and_back(tmp_path: Path) -> None:
    model = with_random_weights(nested())
    model.save_weights(tmp_path / "w.hdf5")
    again = nested()
    again.load_weights(tmp_path / "w.hdf5")
    assert_equal(again, model)
    # Equal models give equal bytes.
    again.save_weights(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "w.hdf5").read_bytes()


def test_the_layout_is_keras_2s(tmp_path: Path) -> None:
    with_random_weights(nested(frozen=True)).save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert file.attrs["layer_names"].tolist() == [b"x", b"steps", b"both", b"inner"]
        assert (file.attrs["backend"], file.attrs["keras_version"]) == (
            b"tensorflow",
            b"2.15.0",
        )
        assert sorted(file) == [
            "both",
            "inner",
            "steps",
            "top_level_model_weights",
            "x",
        ]
        assert file["x"].attrs["weight_names"].tolist() == []
        assert file["steps"].attrs["weight_names"].tolist() == [
            b"steps/kernel:0",
            b"steps/bias:0",
        ]
        assert file["both"].attrs["weight_names"][3] == b"both/backward_lstm/kernel:0"
        assert file["both/both/backward_lstm/kernel:0"].shape == (4, 8)
        # Of a nested model what is trained comes first, and what is frozen with the
        # statistics.
        assert file["inner"].attrs["weight_names"].tolist() == [
            b"n/gamma:0",
            b"n/beta:0",
            b"b/kernel:0",
            b"b/bias:0",
            b"a/kernel:0",
            b"a/bias:0",
            b"n/moving_mean:0",
            b"n/moving_variance:0",
        ]


def test_the_order_of_normalization(tmp_path: Path) -> None:
    with_random_weights(small()).save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        names = file["norm"].attrs["weight_names"].tolist()
    assert [name.decode() for name in names] == [
        "norm/gamma:0",
        "norm/beta:0",
        "norm/moving_mean:0",
        "norm/moving_variance:0",
    ]


def test_a_chain_writes_no_input_layer(tmp_path: Path) -> None:
    model = gj.Sequential([gj.Input((3,)), L.Dense(2)])
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert file.attrs["layer_names"].tolist() == [b"dense"]


def test_what_was_frozen_when_it_was_written_is_no_matter(tmp_path: Path) -> None:
    model = with_random_weights(nested(frozen=True))
    model.save_weights(tmp_path / "w.h5")
    again = nested()
    again.load_weights(tmp_path / "w.h5")
    assert_equal(again, model)


def test_shared_layers_stand_once(tmp_path: Path) -> None:
    def make() -> gj.Model:
        x = gj.Input((3,), name="x")
        dense = L.Dense(3, name="d")
        inner = gj.Sequential([dense], name="inner")
        return gj.Model(x, inner(dense(dense(x))))

    model = with_random_weights(make())
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert file.attrs["layer_names"].tolist() == [b"x", b"d", b"inner"]
        np.testing.assert_array_equal(
            file["d/d/kernel:0"][()], file["inner/d/kernel:0"][()]
        )
    again = make()
    again.load_weights(tmp_path / "w.h5")
    assert_equal(again, model)


def test_recurrent_state_is_no_weight(tmp_path: Path) -> None:
    def make() -> gj.Model:
        x = gj.Input(batch_shape=(2, 3, 4))
        return gj.Model(x, L.GRU(2, stateful=True)(x))

    model = with_random_weights(make())
    x = np.ones((2, 3, 4), np.float32)
    first = model.predict(x)
    model.save_weights(tmp_path / "w.h5")
    again = make()
    again.load_weights(tmp_path / "w.h5")
    np.testing.assert_array_equal(again.predict(x), first)


def test_other_dtypes(tmp_path: Path) -> None:
    for dtype in ("float64", "bfloat16", "float16"):
        x = gj.Input((3,), dtype=dtype)
        model = with_random_weights(gj.Model(x, L.Dense(2, dtype=dtype)(x)))
        model.save_weights(tmp_path / "w.h5")
        with h5py.File(tmp_path / "w.h5") as file:
            stored = file["dense/dense/kernel:0"].dtype
        assert stored == ("float32" if dtype == "bfloat16" else dtype)
        again = gj.Model(x, L.Dense(2, dtype=dtype)(x))
        again.load_weights(tmp_path / "w.h5")
        assert_equal(again, model)
        assert again.get_weights()[0].dtype == jnp.dtype(dtype)


def test_a_model_without_layer_objects(tmp_path: Path) -> None:
    """One that a file describes by its graph alone."""
    model = with_random_weights(small())
    alone = gj.Model.of_graph(replace(model.captured, layers=(), names=()))
    alone.save_weights(tmp_path / "w.h5")
    again = small()
    again.load_weights(tmp_path / "w.h5")
    assert_equal(again, model)
    other = small()
    alone = gj.Model.of_graph(replace(other.captured, layers=(), names=()))
    alone.load_weights(tmp_path / "w.h5")
    assert_equal(other, model)


# --- saving -----------------------------------------------------------------------


def test_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "w.h5"
    model = small()
    model.save_weights(target)
    before = target.read_bytes()
    with_random_weights(model)
    with pytest.raises(
        FileExistsError, match="the file exists, and overwrite is False"
    ):
        model.save_weights(target, overwrite=False)
    assert target.read_bytes() == before
    model.save_weights(target)
    assert target.read_bytes() != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "w.gjit",
            r"expected a name that ends in \.h5 or \.hdf5\n  hint: save\(path\)",
        ),
        ("w", "expected a name that ends in"),
        ("w.weights.h5", r"hint: Keras reads \.weights\.h5 as Keras 3's other layout"),
    ],
)
def test_other_names_are_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        small().save_weights(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_crash_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "w.h5"
    model = small()
    model.save_weights(target)
    before = target.read_bytes()

    def broken(*paths: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(atomic.os, "replace", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        with_random_weights(model).save_weights(target)
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("h5py", lambda path: small().save_weights(path)),
        ("h5py", lambda path: small().load_weights(path)),
        ("yaml", lambda _: small().to_yaml()),
        ("yaml", lambda _: gj.model_from_yaml("a: b")),
    ],
)
def test_packages_that_are_missing(
    package: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"need .*: pip install 'graphjit\[keras\]'"):
        call(tmp_path / "w.h5")


def test_a_model_that_is_not_built(tmp_path: Path) -> None:
    for method in ("save_weights", "load_weights"):
        with pytest.raises(CaptureError, match="the shape of its input is not known"):
            getattr(gj.Sequential([L.Dense(2)]), method)(tmp_path / "w.h5")


# --- loading: what does not fit ---------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Path:
    target = tmp_path / "w.h5"
    with_random_weights(small()).save_weights(target)
    return target


def test_order_counts_and_names_do_not(written: Path) -> None:
    model = small(first="other", second="names")
    model.load_weights(written)
    wanted = small()
    wanted.load_weights(written)
    assert_equal(model, wanted)


def test_by_name(written: Path) -> None:
    model = small(second="another")
    before = model.get_weights()
    model.load_weights(written, by_name=True)
    wanted = small()
    wanted.load_weights(written)
    for index, (found, theirs) in enumerate(
        zip(model.get_weights(), wanted.get_weights(), strict=True)
    ):
        source = before[index] if index >= 6 else theirs
        np.testing.assert_array_equal(found, source)


def other_shape() -> gj.Model:
    x = gj.Input((3,), name="x")
    y = L.BatchNormalization(name="norm")(L.Dense(4, name="first")(x))
    return gj.Model(x, L.Dense(5, name="second")(y))


@pytest.mark.parametrize("by_name", [False, True])
def test_shapes_that_differ(written: Path, by_name: bool) -> None:
    model = other_shape()
    before = model.get_weights()
    text = (
        r"w\.h5: layer 'second': 'kernel': expected shape \(4, 5\), found \(4, 2\)\n"
        "  hint: skip_mismatch=True leaves such weights as they are"
    )
    with pytest.raises(DataError, match=text):
        model.load_weights(written, by_name=by_name)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.warns(UserWarning, match="layer 'second'.*left as it is"):
        model.load_weights(written, by_name=by_name, skip_mismatch=True)
    wanted = small()
    wanted.load_weights(written)
    for index, array in enumerate(model.get_weights()):
        source = before[index] if index >= 6 else wanted.get_weights()[index]
        np.testing.assert_array_equal(array, source)


def test_counts_that_differ(written: Path) -> None:
    x = gj.Input((3,), name="x")
    model = gj.Model(x, L.Dense(4, use_bias=False, name="first")(x))
    text = (
        "expected 1 layers with weights, found 3\n"
        "  the model: first\n"
        "  the file:  first, norm, second\n"
        "  hint: by_name=True loads"
    )
    with pytest.raises(DataError, match=text):
        model.load_weights(written)
    with pytest.raises(
        DataError, match=r"layer 'first': expected 1 arrays \(kernel\), found 2"
    ):
        model.load_weights(written, by_name=True)
    before = model.get_weights()
    with pytest.warns(UserWarning, match="layer 'first': expected 1 arrays"):
        model.load_weights(written, by_name=True, skip_mismatch=True)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_the_message_names_both_layers(written: Path) -> None:
    x = gj.Input((3,))
    y = L.BatchNormalization(name="b")(L.Dense(4, name="a")(x))
    model = gj.Model(x, L.Dense(2, use_bias=False, name="c")(y))
    with pytest.raises(DataError, match=r"layer 'c' \('second' in the file\): expect"):
        model.load_weights(written)


def test_weights_of_the_model_itself(written: Path) -> None:
    with h5py.File(written, "a") as file:
        group = file["top_level_model_weights"]
        group.attrs["weight_names"] = np.asarray([b"temperature:0"])
        group["temperature:0"] = np.ones(3, np.float32)
    text = r"'top_level_model_weights': the model has weights of its own \('temperature"
    with pytest.raises(FormatError, match=text):
        small().load_weights(written)


# --- backends ---------------------------------------------------------------------


def convolving() -> gj.Model:
    x = gj.Input((7, 6, 2))
    y = L.Conv2D(3, (3, 2), name="conv")(x)
    return gj.Model(x, L.Dense(2, name="top")(L.Flatten(name="flat")(y)))


def test_theano_turns_kernels_round(tmp_path: Path) -> None:
    model = with_random_weights(convolving())
    target = tmp_path / "w.h5"
    model.save_weights(target)
    with h5py.File(target, "a") as file:
        file.attrs["backend"] = "theano"
    again = convolving()
    again.load_weights(target)
    kernel, *others = model.get_weights()
    turned, *same = again.get_weights()
    np.testing.assert_array_equal(turned, kernel[::-1, ::-1])
    for old, new in zip(others, same, strict=True):
        np.testing.assert_array_equal(old, new)


def test_theano_turns_both_kernels_of_a_conv_lstm(tmp_path: Path) -> None:
    def make() -> gj.Model:
        x = gj.Input((3, 5, 4, 2))
        return gj.Model(x, L.ConvLSTM2D(2, (3, 2))(x))

    model = with_random_weights(make())
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file.attrs["backend"] = "theano"
    again = make()
    again.load_weights(tmp_path / "w.h5")
    for at, (old, new) in enumerate(
        zip(model.get_weights(), again.get_weights(), strict=True)
    ):
        np.testing.assert_array_equal(new, old[::-1, ::-1] if at < 2 else old)


def test_a_file_that_does_not_say_its_backend(tmp_path: Path) -> None:
    target = tmp_path / "w.h5"
    model = with_random_weights(convolving())
    model.save_weights(target)
    with h5py.File(target, "a") as file:
        del file.attrs["backend"]
    again = convolving()
    text = "does not say which backend wrote it, .*\n  hint: say backend='tensorflow'"
    with pytest.raises(FormatError, match=text):
        again.load_weights(target)
    again.load_weights(target, backend="tensorflow")
    assert_equal(again, model)
    again.load_weights(target, backend="theano")
    kernel = model.get_weights()[0]
    np.testing.assert_array_equal(again.get_weights()[0], kernel[::-1, ::-1])
    with pytest.raises(DataError, match="load_weights: backend: expected one of 'tens"):
        again.load_weights(target, backend="Theano")


# --- Keras's own files ------------------------------------------------------------


def test_a_file_of_tf_keras(tmp_path: Path) -> None:
    """Written with a layer of a nested model frozen: its weights stand last."""
    case = recorded()
    model = gj.model_from_json(case["text"])
    path = RECORDED / "nested_tf_keras_2_15.h5"
    model.load_weights(path)
    wanted = model.get_weights()
    thawed = json.loads(case["text"])
    inner = next(e for e in thawed["config"]["layers"] if e["name"] == "inner")
    inner["config"]["layers"][1]["config"]["trainable"] = True
    again = gj.model_from_config(thawed)
    again.load_weights(path)
    for found, theirs in zip(again.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(found, theirs)
    model.save_weights(tmp_path / "ours.h5")
    assert _shapes(tmp_path / "ours.h5") == _shapes(path)


def _shapes(path: Path) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of the arrays of every layer, in their order."""
    with hdf5.opened(path) as file:
        layers = keras_weights.read(file, DEFAULT_LIMITS).layers
        return {layer.name: [w.shape for w in layer.weights] for layer in layers}


SOME = ("BatchNormalization", "Conv2D", "LSTM", "SeparableConv2D")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    "row",
    [row for row in LAYER_ROWS if row.layer.__name__ in SOME],
    ids=lambda row: row.layer.__name__,
)
def test_whole_models_of_keras_3(row: Any, tmp_path: Path) -> None:
    import keras

    case = row.cases[0]
    model = model_of(row.layer(**case.settings), case)
    theirs = keras.models.model_from_json(model.to_json())
    rng = np.random.default_rng(5)
    theirs.set_weights([rng.random(w.shape) + 0.1 for w in theirs.weights])
    theirs.save(tmp_path / "whole.h5")
    model.load_weights(tmp_path / "whole.h5")
    x = data_of(model)
    np.testing.assert_allclose(
        model.predict(x[0]), np.asarray(theirs(x)), rtol=1e-5, atol=1e-5
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras_3_reads_ours_and_we_read_its(tmp_path: Path) -> None:
    import keras

    ours = with_random_weights(nested())
    ours.save_weights(tmp_path / "ours.h5")
    theirs = keras.models.model_from_json(ours.to_json())
    theirs.load_weights(tmp_path / "ours.h5")
    x = data_of(ours)
    np.testing.assert_allclose(
        np.asarray(theirs(x)), ours.predict(x[0]), rtol=1e-5, atol=1e-5
    )
    theirs.save(tmp_path / "theirs.h5")
    again = nested()
    again.load_weights(tmp_path / "theirs.h5")
    assert_equal(again, ours)
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    with pytest.raises(FormatError, match=r"Keras 3's \.weights\.h5 layout"):
        again.load_weights(tmp_path / "theirs.weights.h5")
