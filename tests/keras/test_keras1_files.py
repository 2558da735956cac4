"""Files of Keras 1, judged against plain NumPy, or native layers converted by hand."""

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
from tests.keras.keras1_files import entry, write_model, write_weights

RNG = np.random.default_rng(7)


def arr(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def hard(x: Any) -> Any:
    return np.clip(0.2 * x + 0.5, 0, 1)


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def everywhere(model: gj.Model, x: Any, wanted: Any, folder: Path) -> None:
    """Eagerly, compiled, and after a round trip through our own file."""
    close(model.apply(model.variables, x), wanted)
    close(model.predict(x), wanted)
    model.save(folder / "m.gjit")
    close(gj.load(folder / "m.gjit").predict(x), wanted)


# --- dense layers -----------------------------------------------------------------


def test_a_list_of_dense_layers(tmp_path: Path) -> None:
    w, b, v = arr(4, 3), arr(3), arr(3, 2)
    penalty = {"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.25}
    config = [
        entry(
            "Dense",
            "dense_1",
            batch_input_shape=[None, 4],
            input_dtype="float32",
            output_dim=3,
            init="glorot_uniform",
            activation="hard_sigmoid",
            W_regularizer=penalty,
            b_regularizer=None,
            activity_regularizer=None,
            W_constraint={"name": "MaxNorm", "m": 2, "axis": 0},
            b_constraint={"name": "NonNeg"},
            bias=True,
            input_dim=4,
        ),
        entry("Dropout", "dropout_1", p=0.5),
        entry("Dense", "dense_2", output_dim=2, bias=False, input_dim=3),
    ]
    arrays = [("dense_1", {"W": w, "b": b}), ("dropout_1", {}), ("dense_2", {"W": v})]
    model = gj.keras.load_model(write_model(tmp_path / "m.h5", config, arrays))
    x = arr(5, 4)
    everywhere(model, x, hard(x @ w + b) @ v, tmp_path)
    kernel, bias, _ = model.graph.params
    assert kernel.regularizer == gj.regularizers.L1L2(0.0, 0.25)
    assert kernel.constraint == gj.constraints.MaxNorm(2)
    assert bias.constraint == gj.constraints.NonNeg()
    assert model.provenance is not None
    assert str(model.provenance) == "written by Keras 1.2.2"


def test_highway_maxout_and_time_distributed_dense(tmp_path: Path) -> None:
    w, wc, b, bc = arr(4, 4), arr(4, 4), arr(4), arr(4)
    m, mb = arr(3, 4, 2), arr(3, 2)
    config = [
        entry("Highway", "h", batch_input_shape=[None, 4], activation="tanh"),
        entry("MaxoutDense", "m", output_dim=2, nb_feature=3),
    ]
    x = arr(5, 4)
    t = sigmoid(x @ wc + bc)
    y = t * np.tanh(x @ w + b) + (1 - t) * x
    wanted = (np.einsum("ni,fio->nfo", y, m) + mb).max(1)
    new = {"W": w, "W_carry": wc, "b": b, "b_carry": bc}
    old = {"W": w, "b": b, "W_carry": wc, "b_carry": bc}
    for version, arrays in (("1.2.0", new), ("1.1.2", old)):
        layers = [("h", arrays), ("m", {"W": m, "b": mb})]
        path = write_model(tmp_path / f"{version}.h5", config, layers, version)
        everywhere(gj.keras.load_model(path), x, wanted, tmp_path)
    config = [
        entry("TimeDistributedDense", "d", batch_input_shape=[None, 3, 4], output_dim=2)
    ]
    path = write_model(tmp_path / "t.h5", config, [("d", {"W": w[:, :2], "b": b[:2]})])
    x = arr(5, 3, 4)
    everywhere(gj.keras.load_model(path), x, x @ w[:, :2] + b[:2], tmp_path)


# --- convolutions -----------------------------------------------------------------


def conv_config(ordering: str, shape: list[Any], **more: Any) -> list[Any]:
    return [
        entry(
            "Convolution2D",
            "conv",
            batch_input_shape=shape,
            nb_filter=3,
            nb_row=2,
            nb_col=3,
            border_mode="valid",
            subsample=[1, 1],
            dim_ordering=ordering,
            **more,
        )
    ]


def correlate(x: Any, kernel: Any) -> Any:
    """x (n, h, w, c), kernel (r, s, c, f)."""
    r, s = kernel.shape[:2]
    rows, cols = x.shape[1] - r + 1, x.shape[2] - s + 1
    out = np.zeros((len(x), rows, cols, kernel.shape[-1]), np.float64)
    for i in range(rows):
        for j in range(cols):
            patch = x[:, i : i + r, j : j + s]
            out[:, i, j] = np.einsum("nrsc,rscf->nf", patch, kernel)
    return out


@pytest.mark.parametrize("backend", ["tensorflow", "theano"])
@pytest.mark.parametrize("ordering", ["tf", "th"])
def test_convolutions(ordering: str, backend: str, tmp_path: Path) -> None:
    native, b, x = arr(2, 3, 2, 3), arr(3), arr(4, 5, 6, 2)
    wanted = correlate(x, native[::-1, ::-1] if backend == "theano" else native) + b
    stored, shape = native, [None, 5, 6, 2]
    if ordering == "th":
        stored, shape = native.transpose(3, 2, 0, 1), [None, 2, 5, 6]
        x, wanted = x.transpose(0, 3, 1, 2), wanted.transpose(0, 3, 1, 2)
    path = write_model(
        tmp_path / "m.h5",
        conv_config(ordering, shape),
        [("conv", {"W": stored, "b": b})],
    )
    model = gj.keras.load_model(path, backend=backend)
    everywhere(model, x, wanted, tmp_path)
    assert model.provenance is not None
    assert model.provenance.backend == backend
    with pytest.raises(FormatError, match="does not say which backend wrote it"):
        gj.keras.load_model(path)


@pytest.mark.parametrize("old", [False, True])
def test_convolution_1d(old: bool, tmp_path: Path) -> None:
    kernel, b, x = arr(3, 2, 4), arr(4), arr(5, 7, 2)
    stored = kernel[:, None]
    if old:
        stored = stored.transpose(3, 2, 0, 1)  # (out, in, length, 1)
    config = [
        entry(
            "Convolution1D",
            "c",
            batch_input_shape=[None, 7, 2],
            nb_filter=4,
            filter_length=3,
            border_mode="valid",
            subsample_length=1,
            input_dim=2,
            input_length=7,
        )
    ]
    path = write_model(tmp_path / "m.h5", config, [("c", {"W": stored, "b": b})])
    wanted = correlate(x[:, None], kernel[None])[:, 0] + b
    everywhere(gj.keras.load_model(path, backend="tensorflow"), x, wanted, tmp_path)


def test_separable_and_deconvolution_th(tmp_path: Path) -> None:
    depth, point, b = arr(3, 3, 2, 2), arr(1, 1, 4, 3), arr(3)
    up, ub = arr(3, 3, 2, 3), arr(2)
    config = [
        entry(
            "SeparableConvolution2D",
            "s",
            batch_input_shape=[None, 2, 6, 5],
            nb_filter=3,
            nb_row=3,
            nb_col=3,
            depth_multiplier=2,
            border_mode="same",
            dim_ordering="th",
        ),
        entry(
            "Deconvolution2D",
            "d",
            nb_filter=2,
            nb_row=3,
            nb_col=3,
            output_shape=[None, 2, 13, 11],
            subsample=[2, 2],
            border_mode="valid",
            dim_ordering="th",
        ),
    ]
    arrays = [
        (
            "s",
            {
                "depthwise_kernel": depth.transpose(3, 2, 0, 1),
                "pointwise_kernel": point.transpose(3, 2, 0, 1),
                "b": b,
            },
        ),
        # (nb_filter, stack, rows, cols)
        ("d", {"W": up.transpose(2, 3, 0, 1), "b": ub}),
    ]
    path = write_model(tmp_path / "m.h5", config, arrays)
    model = gj.keras.load_model(path, backend="tensorflow")
    first = {"data_format": "channels_first"}
    twin = gj.Sequential(
        [
            L.SeparableConv2D(
                3, 3, padding="same", depth_multiplier=2, input_shape=(2, 6, 5), **first
            ),
            L.Conv2DTranspose(2, 3, 2, **first),
        ]
    )
    twin.set_weights([depth, point, b, up, ub])
    x = arr(4, 2, 6, 5)
    everywhere(model, x, twin.predict(x), tmp_path)


# --- recurrent layers -------------------------------------------------------------


def lstm_steps(x: Any, gates: dict[str, Any], units: int) -> Any:
    h = c = np.zeros((len(x), units))
    for t in range(x.shape[1]):
        z = {
            g: x[:, t] @ gates[f"W_{g}"] + h @ gates[f"U_{g}"] + gates[f"b_{g}"]
            for g in "icfo"
        }
        c = hard(z["f"]) * c + hard(z["i"]) * np.tanh(z["c"])
        h = hard(z["o"]) * np.tanh(c)
    return h


def rnn_config(cls: str, less: str, **more: Any) -> dict[str, Any]:
    return entry(
        cls,
        "rnn",
        batch_input_shape=[None, 6, 3],
        output_dim=4,
        init="glorot_uniform",
        inner_init="orthogonal",
        activation="tanh",
        inner_activation="hard_sigmoid",
        W_regularizer=None,
        U_regularizer=None,
        b_regularizer=None,
        dropout_W=0.1,
        dropout_U=0.0,
        return_sequences=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        consume_less=less,
        input_dim=3,
        input_length=6,
        **more,
    )


def gate_arrays(gates: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for g in gates:
        made |= {f"W_{g}": arr(3, 4), f"U_{g}": arr(4, 4), f"b_{g}": arr(4)}
    return made


@pytest.mark.parametrize("less", ["cpu", "gpu"])
def test_lstm(less: str, tmp_path: Path) -> None:
    gates = gate_arrays("icfo")
    stored = gates
    if less == "gpu":
        stored = {
            s: np.concatenate([gates[f"{s}_{g}"] for g in "ifco"], -1) for s in "WUb"
        }
    config = [rnn_config("LSTM", less, forget_bias_init="one")]
    path = write_model(tmp_path / "m.h5", config, [("rnn", stored)])
    x = arr(5, 6, 3)
    everywhere(gj.keras.load_model(path), x, lstm_steps(x, gates, 4), tmp_path)


@pytest.mark.parametrize("less", ["mem", "gpu"])
def test_gru(less: str, tmp_path: Path) -> None:
    gates = gate_arrays("zrh")
    stored = gates
    if less == "gpu":
        stored = {
            s: np.concatenate([gates[f"{s}_{g}"] for g in "zrh"], -1) for s in "WUb"
        }
    path = write_model(tmp_path / "m.h5", [rnn_config("GRU", less)], [("rnn", stored)])
    x = arr(5, 6, 3)
    h = np.zeros((5, 4))
    for t in range(6):
        p = {g: x[:, t] @ gates[f"W_{g}"] + gates[f"b_{g}"] for g in "zrh"}
        z, r = hard(p["z"] + h @ gates["U_z"]), hard(p["r"] + h @ gates["U_r"])
        h = z * h + (1 - z) * np.tanh(p["h"] + (r * h) @ gates["U_h"])
    everywhere(gj.keras.load_model(path), x, h, tmp_path)


def test_bidirectional_lstm(tmp_path: Path) -> None:
    forth, back = gate_arrays("icfo"), gate_arrays("icfo")
    inner = rnn_config("LSTM", "cpu", forget_bias_init="one")
    inner["config"].pop("batch_input_shape")
    config = [
        entry(
            "Bidirectional",
            "both",
            batch_input_shape=[None, 6, 3],
            layer=inner,
            merge_mode="concat",
        )
    ]
    arrays = {f"f_{k}": v for k, v in forth.items()}
    arrays |= {f"b_{k}": v for k, v in back.items()}
    path = write_model(tmp_path / "m.h5", config, [("both", arrays)])
    x = arr(5, 6, 3)
    wanted = [lstm_steps(x, forth, 4), lstm_steps(x[:, ::-1], back, 4)]
    everywhere(gj.keras.load_model(path), x, np.concatenate(wanted, -1), tmp_path)


# --- structure --------------------------------------------------------------------


def test_a_chain_that_begins_with_a_merge(tmp_path: Path) -> None:
    """Its layers are written flat, one branch after the other."""
    a, b, c, d = arr(3, 4), arr(5, 4), arr(4, 4), arr(8, 2)

    def dense(name: str, width: int, units: int, **more: Any) -> dict[str, Any]:
        return entry(
            "Dense", name, output_dim=units, input_dim=width, bias=False, **more
        )

    left = [
        dense("a", 3, 4, batch_input_shape=[None, 3]),
        entry("Activation", "act", activation="relu"),
        dense("c", 4, 4),
    ]
    right = [dense("b", 5, 4, batch_input_shape=[None, 5])]
    merge = entry(
        "Merge",
        "merge_1",
        mode="concat",
        mode_type="raw",
        concat_axis=-1,
        dot_axes=-1,
        output_shape=None,
        output_shape_type="raw",
        output_mask=None,
        output_mask_type="raw",
        arguments={},
        layers=[
            {"class_name": "Sequential", "config": left},
            {"class_name": "Sequential", "config": right},
        ],
    )
    layers = [("a", {"W": a}), ("act", {}), ("c", {"W": c}), ("b", {"W": b})]
    path = write_model(
        tmp_path / "m.h5", [merge, dense("d", 8, 2)], [*layers, ("d", {"W": d})]
    )
    model = gj.keras.load_model(path)
    x, y = arr(6, 3), arr(6, 5)
    wanted = np.concatenate([np.maximum(x @ a, 0) @ c, y @ b], -1) @ d
    close(model.predict([x, y]), wanted)
    model.save(tmp_path / "m.gjit")
    close(gj.load(tmp_path / "m.gjit").predict([x, y]), wanted)


def test_a_functional_model_with_a_nested_one(tmp_path: Path) -> None:
    w, gamma, beta, mean, var, v = (
        arr(4, 4),
        *(arr(4) for _ in range(3)),
        arr(4) ** 2,
        arr(4, 2),
    )
    norm = entry("BatchNormalization", "n", epsilon=1e-3, mode=0, axis=-1, momentum=0.9)
    inner = [
        norm | {"config": norm["config"] | {"batch_input_shape": [None, 4]}},
        entry("Dense", "w", output_dim=4, bias=False, input_dim=4),
    ]

    def node(item: dict[str, Any], *inbound: Any) -> dict[str, Any]:
        calls = [[list(call)] if call else [] for call in inbound]
        return {**item, "name": item["config"]["name"], "inbound_nodes": calls}

    start = entry(
        "InputLayer",
        "x",
        batch_input_shape=[None, 4],
        input_dtype="float32",
        sparse=False,
    )
    chain = {"class_name": "Sequential", "name": "chain", "config": inner}
    layers = [
        {**start, "name": "x", "inbound_nodes": []},
        {**chain, "inbound_nodes": [[["x", 0, 0]]]},
        node(
            entry("Dense", "v", output_dim=2, bias=False, input_dim=4), ("chain", 1, 0)
        ),
        {
            **entry(
                "Merge", "m", mode="sum", mode_type="raw", concat_axis=-1, dot_axes=-1
            ),
            "name": "m",
            "inbound_nodes": [[["v", 0, 0], ["v", 0, 0]]],
        },
    ]
    config = {
        "name": "model_1",
        "layers": layers,
        "input_layers": [["x", 0, 0]],
        "output_layers": [["m", 0, 0]],
    }
    # A nested model's arrays: what is trained, then the statistics.
    arrays = {"gamma": gamma, "beta": beta, "w_W": w, "mean": mean, "std": var}
    path = write_model(
        tmp_path / "m.h5",
        config,
        [("x", {}), ("chain", arrays), ("v", {"W": v}), ("m", {})],
        class_name="Model",
    )
    x = arr(6, 4)
    normed = (x - mean) / np.sqrt(var + 1e-3) * gamma + beta
    everywhere(gj.keras.load_model(path), x, 2 * (normed @ w @ v), tmp_path)


def test_shared_axes_by_the_shape_of_weights(tmp_path: Path) -> None:
    tl, al, tr, ar = (arr(1, 1, 3) for _ in range(4))
    config = [
        entry("SReLU", "s", batch_input_shape=[None, 4, 5, 3], t_left_init="zero")
    ]
    arrays = {"t_left": tl, "a_left": al, "t_right": tr, "a_right": ar}
    path = write_model(tmp_path / "m.h5", config, [("s", arrays)])
    model = gj.keras.load_model(path)
    x = arr(2, 4, 5, 3)
    right = tl + np.abs(tr)
    wanted = np.where(x >= right, right + ar * (x - right), x)
    everywhere(model, x, np.where(x <= tl, tl + al * (x - tl), wanted), tmp_path)
    assert "SReLU 's': shared_axes=[1, 2]" in str(model.provenance)


def test_dim_ordering_of_layers_that_do_not_say_theirs(tmp_path: Path) -> None:
    config = [
        entry("ZeroPadding2D", "p", batch_input_shape=[None, 2, 4, 5], padding=[1, 2]),
        *conv_config("th", [None, 2, 6, 9]),
    ]
    config[1]["config"].pop("batch_input_shape")
    kernel, b = arr(2, 3, 2, 3), arr(3)
    path = write_model(
        tmp_path / "m.h5",
        config,
        [("p", {}), ("conv", {"W": kernel.transpose(3, 2, 0, 1), "b": b})],
    )
    model = gj.keras.load_model(path, backend="tensorflow")
    x = arr(3, 2, 4, 5)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2))).transpose(0, 2, 3, 1)
    wanted = (correlate(padded, kernel) + b).transpose(0, 3, 1, 2)
    everywhere(model, x, wanted, tmp_path)
    assert "dim_ordering='th', as the file's other layers" in str(model.provenance)


def test_a_text_and_weights_alone(tmp_path: Path) -> None:
    """Before Keras 1.2 neither says a version."""
    w, b = arr(4, 3), arr(3)
    config = [entry("Dense", "d", batch_input_shape=[None, 4], output_dim=3)]
    text = json.dumps({"class_name": "Sequential", "config": config})
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_weights(file, [("d", {"W": w, "b": b})])
    (tmp_path / "m.json").write_text(text)
    (tmp_path / "s.json").write_text(json.dumps(text))
    x = arr(5, 4)
    for model in (
        gj.keras.load_model(tmp_path / "m.json", weights=tmp_path / "w.h5"),
        gj.keras.load_model(tmp_path / "s.json", tmp_path / "w.h5"),
        gj.keras.load_model(text, tmp_path / "w.h5"),
        gj.keras.load_model(json.loads(text), tmp_path / "w.h5"),
        gj.keras.load_model(tmp_path / "w.h5", config=text),
        gj.keras.load_model(tmp_path / "w.h5", config=tmp_path / "m.json"),
        gj.keras.load_model(tmp_path / "w.h5", config=config),
    ):
        close(model.predict(x), x @ w + b)
        assert "by the names of its arguments, Keras 1" in str(model.provenance)
    with pytest.raises(
        FormatError, match="weights alone\n  hint: say what they belong"
    ):
        gj.keras.load_model(tmp_path / "w.h5")


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    config = [entry("Dense", "d", batch_input_shape=[None, 4], output_dim=3)]
    path = write_model(
        tmp_path / "m.h5", config, [("d", {"W": arr(4, 2), "b": arr(3)})]
    )
    with pytest.raises(
        DataError, match=r"'d': 'kernel': expected shape \(4, 3\), found"
    ):
        gj.keras.load_model(path)
