"""What the same words meant to other versions and backends, against NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import DataError, FormatError
from tests.keras.test_keras1_files import arr, close, everywhere, sigmoid


def write(
    path: Path,
    layers: list[tuple[str, dict[str, Any], list[Any]]],
    version: str = "2.2.4",
    backend: str = "tensorflow",
    training: Any = None,
) -> Path:
    """A chain as Keras 2 writes it: class, configuration and arrays of every layer."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version.encode()
        file.attrs["backend"] = backend.encode()
        config = {
            "name": "chain",
            "layers": [
                {"class_name": cls, "config": {"name": f"l{at}", **settings}}
                for at, (cls, settings, _) in enumerate(layers)
            ],
        }
        root = {"class_name": "Sequential", "config": config}
        file.attrs["model_config"] = json.dumps(root).encode()
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
        group = file.create_group("model_weights")
        for key in ("keras_version", "backend"):
            group.attrs[key] = file.attrs[key]
        group.attrs["layer_names"] = [f"l{at}".encode() for at in range(len(layers))]
        for at, (_, _, arrays) in enumerate(layers):
            own = group.create_group(f"l{at}")
            names = [f"l{at}/w{n}:0" for n in range(len(arrays))]
            own.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays, strict=True):
                own[name] = array
    return path


# --- Theano -----------------------------------------------------------------------


def windows(n: int, size: int, stride: int, before: int) -> list[range]:
    """The places each window reads; those outside are pads."""
    starts = [i * stride - before for i in range(-(-n // stride))]
    return [range(start, start + size) for start in starts]


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("n", [6, 7])
def test_theano_convolves_the_same_elsewhere(
    n: int, stride: int, size: int, tmp_path: Path
) -> None:
    kernel, x = arr(size, 2, 3), arr(4, n, 2)
    settings = {
        "filters": 3,
        "kernel_size": [size],
        "strides": [stride],
        "padding": "same",
        "use_bias": False,
        "batch_input_shape": [None, n, 2],
    }
    path = write(tmp_path / "m.h5", [("Conv1D", settings, [kernel])], backend="theano")
    wanted = np.zeros((4, -(-n // stride), 3))
    for at, window in enumerate(windows(n, size, stride, size // 2)):
        for tap, place in enumerate(window):
            if 0 <= place < n:
                wanted[:, at] += x[:, place] @ kernel[::-1][tap]
    everywhere(gj.keras.load_model(path), x, wanted, tmp_path)


@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("n", [6, 7])
def test_theano_pools_the_same_elsewhere(
    n: int, stride: int, size: int, kind: str, tmp_path: Path
) -> None:
    x = arr(4, n, 2)
    settings = {
        "pool_size": [size],
        "strides": [stride],
        "padding": "same",
        "batch_input_shape": [None, n, 2],
    }
    path = write(
        tmp_path / "m.h5", [(f"{kind}Pooling1D", settings, [])], backend="theano"
    )
    before = size - 2 if size % 2 and size > 2 else size - 1
    reduce = np.max if kind == "Max" else np.mean
    wanted = [
        reduce(x[:, [p for p in window if 0 <= p < n]], 1)
        for window in windows(n, size, stride, before)
    ]
    model = gj.keras.load_model(path)
    everywhere(model, x, np.stack(wanted, 1), tmp_path)
    assert "'same' is Theano's" in str(model.provenance)


def test_theano_turns_transposed_kernels(tmp_path: Path) -> None:
    kernel, x = arr(3, 2, 4), arr(5, 4, 4)
    settings = {
        "filters": 2,
        "kernel_size": [3, 3],
        "strides": [2, 2],
        "padding": "same",
        "use_bias": False,
        "data_format": "channels_last",
        "batch_input_shape": [None, 5, 4, 4],
    }
    square = np.einsum("kfc,l->klfc", kernel, np.array([1.0, 2.0, 3.0], np.float32))
    path = write(
        tmp_path / "m.h5", [("Conv2DTranspose", settings, [square])], backend="theano"
    )
    image = np.stack([x] * 2)
    flipped = square[::-1, ::-1]
    wanted = np.zeros((2, 10, 8, 2))
    for i in range(5):
        for j in range(4):
            for r in range(3):
                for c in range(3):
                    row, col = 2 * i + r - 1, 2 * j + c - 1
                    if 0 <= row < 10 and 0 <= col < 8:
                        wanted[:, row, col] += image[:, i, j] @ flipped[r, c].T
    everywhere(gj.keras.load_model(path), image, wanted, tmp_path)


def test_the_backend_is_not_guessed_and_not_contradicted(tmp_path: Path) -> None:
    settings = {"pool_size": [2], "padding": "same", "batch_input_shape": [None, 5, 2]}
    text = {
        "class_name": "Sequential",
        "keras_version": "2.1.0",
        "config": [{"class_name": "MaxPooling1D", "config": settings}],
    }
    with pytest.raises(FormatError, match="MaxPooling1D: padding 'same' has other"):
        gj.keras.load_model(text)
    assert gj.keras.load_model(text, backend="theano").output_shape == (None, 3, 2)
    path = write(tmp_path / "m.h5", [("MaxPooling1D", settings, [])])
    with pytest.raises(DataError, match="the file says that 'tensorflow' wrote it"):
        gj.keras.load_model(path, backend="theano")
    with pytest.raises(DataError, match="load_model: backend: expected one of"):
        gj.keras.load_model(path, backend="tf")


def convolved(x: Any, kernel: Any, padding: str) -> Any:
    """Theano's convolution: the kernel turned round, k // 2 zeros on both sides.

    Of "same" the first results are kept, as many as x has (Keras 2.2.4,
    theano_backend.py).
    """
    kh, kw = kernel.shape[:2]
    h, w = x.shape[1:3]
    if padding == "same":
        x = np.pad(x, [(0, 0), (kh // 2,) * 2, (kw // 2,) * 2, (0, 0)])
    rows, columns = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    found = sum(
        x[:, r : r + rows, c : c + columns] @ kernel[kh - 1 - r, kw - 1 - c]
        for r in range(kh)
        for c in range(kw)
    )
    return found[:, :h, :w]


@pytest.mark.parametrize("size", [(2, 3), (4, 2)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_even_kernels_of_a_theano_conv_lstm(
    size: tuple[int, int], padding: str, tmp_path: Path
) -> None:
    """Its state is convolved with "same" whatever `padding` says."""
    w, u, b, x = arr(*size, 1, 8), arr(*size, 2, 8), arr(8), arr(2, 3, 5, 6, 1)
    settings = {
        "filters": 2,
        "kernel_size": list(size),
        "padding": padding,
        "recurrent_activation": "sigmoid",
        "data_format": "channels_last",
        "batch_input_shape": [None, 3, 5, 6, 1],
    }
    layers = [("ConvLSTM2D", settings, [w, u, b])]
    h = c = 0.0
    for t in range(3):
        z = convolved(x[:, t], w, padding) + b
        if t:
            z = z + convolved(h, u, "same")
        i, f, g, o = np.split(z, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    model = gj.keras.load_model(write(tmp_path / "m.h5", layers, backend="theano"))
    everywhere(model, x, h, tmp_path)
    with pytest.raises(FormatError, match="its state is padded as Theano did it"):
        gj.keras.save_model(model, tmp_path / "n.h5")
    del layers[0][1]["padding"]
    other = gj.keras.load_model(write(tmp_path / "o.h5", layers))
    assert (
        other.get_config()["layers"][1]["config"]
        .keys()
        .isdisjoint({"recurrent_padding"})
    )


# --- recurrent layers -------------------------------------------------------------


def test_gru_without_reset_after(tmp_path: Path) -> None:
    w, u, b, x = arr(3, 12), arr(4, 12), arr(12), arr(5, 6, 3)
    settings = {
        "units": 4,
        "recurrent_activation": "sigmoid",
        "batch_input_shape": [None, 6, 3],
    }
    path = write(tmp_path / "m.h5", [("GRU", settings, [w, u, b])])
    h = np.zeros((5, 4))
    for t in range(6):
        p = x[:, t] @ w + b
        z, r = (sigmoid(p[:, s] + h @ u[:, s]) for s in (slice(0, 4), slice(4, 8)))
        h = z * h + (1 - z) * np.tanh(p[:, 8:] + (r * h) @ u[:, 8:])
    everywhere(gj.keras.load_model(path), x, h, tmp_path)


def cudnn(kernel: Any, recurrent: Any, gates: int) -> list[Any]:
    """What CuDNN's layers store, from what the plain ones do (Keras 2.2.4)."""
    turned = [k.T.reshape(k.shape, order="C") for k in np.hsplit(kernel, gates)]
    return [np.hstack(turned), np.hstack([k.T for k in np.hsplit(recurrent, gates)])]


@pytest.mark.parametrize("cls", ["CuDNNLSTM", "CuDNNGRU", "LSTM", "GRU"])
def test_cudnn(cls: str, tmp_path: Path) -> None:
    gates = 4 if cls.endswith("LSTM") else 3
    w, u, b = arr(3, 4 * gates), arr(4, 4 * gates), arr(2, 4 * gates)
    settings: dict[str, Any] = {
        "units": 4,
        "return_sequences": True,
        "batch_input_shape": [None, 6, 3],
    }
    if not cls.startswith("CuDNN"):
        settings["recurrent_activation"] = "sigmoid"
    if cls == "GRU":
        settings["reset_after"] = True
    arrays = [*cudnn(w, u, gates), b.reshape(-1)]
    path = write(tmp_path / "m.h5", [(cls, settings, arrays)])
    layer = L.LSTM if gates == 4 else L.GRU
    twin = gj.Sequential([layer(4, return_sequences=True, input_shape=(6, 3))])
    twin.set_weights([w, u, b.sum(0) if gates == 4 else b])
    x = arr(5, 6, 3)
    everywhere(gj.keras.load_model(path), x, twin.predict(x), tmp_path)


# --- layers that were stored otherwise --------------------------------------------


@pytest.mark.parametrize("implementation", [2, 3])
@pytest.mark.parametrize("first", [False, True])
def test_locally_connected(implementation: int, first: bool, tmp_path: Path) -> None:
    """tf.keras's dense and sparse kernels, against the dense product itself."""
    rows, cols, c, f = 5, 4, 2, 3
    out = (2, 3)  # windows 2 x 2, strides 2 x 1
    data = (c, rows, cols) if first else (rows, cols, c)
    result = (f, *out) if first else (*out, f)
    joined = np.zeros((*data, *result), bool)
    for i in range(out[0]):
        for j in range(out[1]):
            rs, cs = slice(2 * i, 2 * i + 2), slice(j, j + 2)
            if first:
                joined[:, rs, cs, :, i, j] = True
            else:
                joined[rs, cs, :, i, j, :] = True
    dense = arr(*data, *result) * joined
    n, m = int(np.prod(data)), int(np.prod(result))
    flat = dense.reshape(n, m)
    stored = dense
    if implementation == 3:
        pairs = sorted(
            (o, i) for i, o in zip(*np.nonzero(joined.reshape(n, m)), strict=True)
        )
        stored = np.array([flat[i, o] for o, i in pairs])
    settings = {
        "filters": f,
        "kernel_size": [2, 2],
        "strides": [2, 1],
        "data_format": "channels_first" if first else "channels_last",
        "use_bias": False,
        "implementation": implementation,
        "batch_input_shape": [None, *data],
    }
    path = write(
        tmp_path / "m.h5", [("LocallyConnected2D", settings, [stored])], "2.9.0"
    )
    x = arr(4, *data)
    wanted = (x.reshape(4, -1) @ flat).reshape(4, *result)
    everywhere(gj.keras.load_model(path), x, wanted, tmp_path)


def test_old_names_of_tf_keras(tmp_path: Path) -> None:
    gamma, beta, mean, var = arr(3), arr(3), arr(3), arr(3) ** 2
    settings = {"axis": [1], "epsilon": 0.01, "batch_input_shape": [None, 3]}
    arrays = [gamma, beta, mean, var]
    path = write(
        tmp_path / "m.h5", [("BatchNormalizationV1", settings, arrays)], "2.2.4-tf"
    )
    model = gj.keras.load_model(path)
    x = arr(5, 3)
    everywhere(model, x, (x - mean) / np.sqrt(var + 0.01) * gamma + beta, tmp_path)
    assert model.provenance is not None
    assert model.provenance.writer == "tf.keras 2.2.4"


@pytest.mark.parametrize(
    ("version", "frozen"),
    [("2.0.9", "update"), ("2.1.3", "keep"), ("2.3.1", "keep"), ("2.4.0", "infer")],
)
def test_frozen_norms(version: str, frozen: str, tmp_path: Path) -> None:
    arrays = [np.ones(3, np.float32)] * 4
    settings = {"axis": -1, "batch_input_shape": [None, 3], "trainable": False}
    path = write(tmp_path / "m.h5", [("BatchNormalization", settings, arrays)], version)
    assert gj.keras.load_model(path).layers[0].frozen == frozen


# --- how it was compiled ----------------------------------------------------------


def test_compiled_as_keras_2_says(tmp_path: Path) -> None:
    training = {
        "optimizer_config": {
            "class_name": "SGD",
            "config": {"lr": 0.5, "decay": 0.25, "momentum": 0.0, "nesterov": False},
        },
        "loss": "mean_squared_error",
        "metrics": ["mae", "something_of_mine"],
        "sample_weight_mode": None,
        "loss_weights": None,
    }
    w = np.zeros((2, 1), np.float32)
    settings = {"units": 1, "use_bias": False, "batch_input_shape": [None, 2]}
    path = write(tmp_path / "m.h5", [("Dense", settings, [w])], training=training)
    model = gj.keras.load_model(path)
    assert "a metric is left out" in str(model.provenance)
    x, y = np.array([[1.0, 0.0]]), np.array([[1.0]])
    for rate in (0.5, 0.5 / 1.25):
        before = model.get_weights()[0][0, 0]
        model.train_on_batch(x, y)
        close(model.get_weights()[0][0, 0], before + rate * 2 * (1 - before))


def test_what_cannot_be_compiled_is_said(tmp_path: Path) -> None:
    w = np.zeros((2, 1), np.float32)
    settings = {"units": 1, "use_bias": False, "batch_input_shape": [None, 2]}
    for training, text in (
        (
            {"optimizer_config": {"class_name": "Mine"}, "loss": "mse"},
            "no optimizer 'Mine'",
        ),
        (
            {"optimizer_config": {"class_name": "Adam"}, "loss": "mine"},
            "received 'mine'",
        ),
        ({"optimizer_config": {"class_name": "Adam"}, "loss": None}, "without a loss"),
    ):
        path = write(tmp_path / "m.h5", [("Dense", settings, [w])], training=training)
        assert text in str(gj.keras.load_model(path).provenance)
