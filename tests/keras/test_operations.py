"""Functions called on symbolic tensors, as tf.keras and Keras 3 write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import CaptureError, FormatError
from tests.keras.test_keras1_files import arr, close

keras = pytest.importorskip("keras")

#: What Keras says of its own code and files.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)
A, B = arr(2, 4, 6, 3), arr(2, 4, 6, 3)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_operations_of_keras_3(ending: str, tmp_path: Path) -> None:
    """In HDF5 nothing but a missing key tells an operation from a layer."""
    ops = keras.ops
    x, z = keras.Input((4, 6, 3)), keras.Input((4, 6, 3))
    wide = ops.expand_dims(x, 1)
    results = [
        x + 3.0,
        2.0 - x,
        x * z,
        x / np.array([2.0, 4.0, -1.0], np.float32),
        keras.layers.Add()([x, z]),
        ops.relu6(3 * x),
        ops.concatenate([x, z], axis=-1),
        ops.stack([x, z, x], axis=1),
        ops.mean(x, axis=[1, 2]),
        ops.max(x, axis=-1, keepdims=True),
        x[:, 0],
        x[:, 1:3, ..., None],
        x[:, ::2, -1],
        ops.split(x, [1, 3], axis=1)[1],
        ops.cast(x, "float16"),
        ops.squeeze(wide, 1),
        ops.reshape(x, (-1, 24, 3)),
        ops.transpose(x, (0, 2, 1, 3)),
        -(x**2),
        ops.sqrt(abs(x)),
        ops.matmul(x, ops.transpose(z, (0, 1, 3, 2))),
        ops.softmax(x),
        ops.leaky_relu(x, negative_slope=0.1),
        ops.where(x > 0, x, z),
        ops.pad(x, [[0, 0], [1, 2], [0, 0], [0, 0]], constant_values=1.5),
        ops.clip(x, 0, 1),
        ops.maximum(x, 0.5),
    ]
    theirs = keras.Model([x, z], results)
    theirs.save(tmp_path / f"m.{ending}")
    model = gj.keras.load_model(tmp_path / f"m.{ending}")
    for found, wanted in zip(model.predict([A, B]), theirs([A, B]), strict=True):
        expected = np.asarray(wanted)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "m.gjit")
    assert gj.load(tmp_path / "m.gjit").graph == model.graph
    again = gj.Model.from_config(model.get_config())
    assert again.graph.nodes == model.graph.nodes


# --- tf.keras ---------------------------------------------------------------------


def call(name: str, function: str, node: Any, cls: str = "TFOpLambda") -> Any:
    config = {
        "name": name,
        "trainable": True,
        "dtype": "float32",
        "function": function,
    }
    return {"class_name": cls, "config": config, "name": name, "inbound_nodes": [node]}


def written(path: Path, calls: list[Any]) -> Path:
    """A model of functions alone, of two inputs, every call an output."""
    inputs = [
        {
            "class_name": "InputLayer",
            "config": {
                "batch_input_shape": [None, 4, 6, 3],
                "dtype": "float32",
                "sparse": False,
                "ragged": False,
                "name": name,
            },
            "name": name,
            "inbound_nodes": [],
        }
        for name in ("a", "b")
    ]
    config = {
        "name": "model",
        "layers": [*inputs, *calls],
        "input_layers": [["a", 0, 0], ["b", 0, 0]],
        "output_layers": [[entry["name"], 0, 0] for entry in calls],
    }
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.9.0"
        file.attrs["backend"] = b"tensorflow"
        root = {"class_name": "Functional", "config": config}
        file.attrs["model_config"] = json.dumps(root).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([], "S1")
    return path


def ref(name: str, **arguments: Any) -> list[Any]:
    return [name, 0, 0, {**arguments, "name": None}]


A_SLICE = {"start": None, "stop": None, "step": None}
BOTH = ["b", 0, 0]
#: The function, how it was called, and what it means.
CALLED: list[tuple[str, Any, Any]] = [
    ("__operators__.add", ref("a", y=BOTH), A + B),
    ("__operators__.radd", ref("a", x=2.0), 2 + A),
    ("math.subtract", ["_CONSTANT_VALUE", -1, 1.0, {"y": BOTH, "name": None}], 1 - B),
    ("math.multiply", ref("a", y=[[[[1.0, 2.0, 3.0]]]]), A * [1, 2, 3]),
    ("math.truediv", ref("a", y=255.0), A / 255),
    ("math.pow", ref("a", y=2), A**2),
    ("nn.relu6", ref("a"), np.clip(A, 0, 6)),
    ("nn.leaky_relu", ref("a", alpha=0.3), np.where(A > 0, A, 0.3 * A)),
    ("concat", [ref("a", axis=-1), ref("b", axis=-1)], np.concatenate([A, B], -1)),
    ("stack", [ref("a", axis=1), ref("b", axis=1)], np.stack([A, B], 1)),
    ("math.reduce_mean", ref("a", axis=[1, 2], keepdims=True), A.mean((1, 2))),
    ("compat.v1.reduce_sum", ref("a", reduction_indices=3, keep_dims=False), A.sum(3)),
    ("reshape", ref("a", shape=[-1, 4, 18]), A.reshape(-1, 4, 18)),
    ("compat.v1.transpose", ref("a", perm=[0, 3, 1, 2]), A.transpose(0, 3, 1, 2)),
    ("expand_dims", ref("a", axis=1), A[:, None]),
    ("split", ref("a", num_or_size_splits=[1, 2], axis=3), A[..., :1]),
    ("cast", ref("a", dtype="int32"), A.astype(np.int32)),
    ("clip_by_value", ref("a", clip_value_min=0, clip_value_max=0.5), A.clip(0, 0.5)),
    ("compat.v1.pad", ref("a", paddings=[[0, 0], [1, 0], [0, 0], [0, 0]]), None),
    ("gather", ref("a", indices=[2, 0], axis=-1), A[..., [2, 0]]),
    ("tile", ref("a", multiples=[1, 1, 2, 1]), np.tile(A, (1, 1, 2, 1))),
    ("linalg.matmul", ref("a", b=BOTH, transpose_b=True), A @ B.swapaxes(2, 3)),
    ("keras.backend.concatenate", [ref("a"), ref("b")], np.concatenate([A, B], -1)),
]


def test_functions_of_tensorflow(tmp_path: Path) -> None:
    calls = [call(f"f{at}", fn, node) for at, (fn, node, _) in enumerate(CALLED)]
    key = [A_SLICE, {**A_SLICE, "start": 1}, 0]
    picked = ref("a", slice_spec=key)
    calls.append(call("cut", "__operators__.getitem", picked, "SlicingOpLambda"))
    model = gj.keras.load_model(written(tmp_path / "m.h5", calls))
    found = dict(zip(model.output_names, model.predict([A, B]), strict=True))
    for at, (function, _, wanted) in enumerate(CALLED):
        result = found[f"f{at}"]
        if function == "math.reduce_mean":
            result = result[:, 0, 0]
        if wanted is None:
            wanted = np.pad(A, [(0, 0), (1, 0), (0, 0), (0, 0)])
        close(result, wanted)
    close(found["cut"], A[:, 1:, 0])


RECORDED = Path(__file__).parent / "recorded" / "tensorflow_nodes.json"


def test_nodes_that_tensorflow_wrote() -> None:
    """Recorded: 46 results of ops as 2.2 and 2.3 put them into a model.

    1.15 to 2.1 wrote each node as protobuf's bytes.
    """
    recorded = json.loads(RECORDED.read_text())
    model = gj.keras.load_model(recorded["config"])
    found = model.predict({k: np.array(v, "f4") for k, v in recorded["inputs"].items()})
    pairs = zip(recorded["names"], found, recorded["outputs"], strict=True)
    for name, result, wanted in pairs:
        loose = 1e-3 if result.dtype == np.float16 else 1e-5
        assert result.shape == np.shape(wanted), name
        np.testing.assert_allclose(result, wanted, loose, 1e-6, err_msg=name)
    for entry in recorded["config"]["config"]["layers"]:
        if entry["name"] in recorded["texts"]:
            entry["config"]["node_def"] = recorded["texts"][entry["name"]]
    assert gj.keras.load_model(recorded["config"]).graph == model.graph


def node(op: str, count: int, constants: Any = None, **attr: Any) -> Any:
    """A node as TensorFlow 2.2 and 2.3 write it."""
    inputs = [f"in{at}" for at in range(count)]
    written = {"name": "n", "op": op, "input": inputs, "attr": attr}
    config = {"name": "n", "node_def": written, "constants": constants or {}}
    tensors = [[item, 0, 0, {}] for item in "ab"[: count - len(constants or {})]]
    made = {"class_name": "TensorFlowOpLayer", "config": config, "name": "op_n"}
    return {**made, "inbound_nodes": [tensors]}


BOUNDS = {"1": [0, 1], "2": [1, 2], "3": [1, 1]}
#: What is not known here, and what is no node at all: of each the op that is named.
UNKNOWN = {
    "op": (node("FFT", 1), "FFT"),
    "a tensor for a shape": (node("Reshape", 2), "Reshape"),
    "channels first": (node("BiasAdd", 2, data_format={"s": "TkNIVw=="}), "BiasAdd"),
    "no base 64": (node("BiasAdd", 2, data_format={"s": "?"}), "BiasAdd"),
    "corners": (
        node("ResizeBilinear", 2, {"1": [8, 8]}, align_corners={"b": True}),
        "ResizeBilinear",
    ),
    "backwards": (node("Cumsum", 2, {"1": 1}, reverse={"b": True}), "Cumsum"),
    "batches": (node("GatherV2", 3, {"2": 2}, batch_dims={"i": "1"}), "GatherV2"),
    "other values": (
        node("OneHot", 4, {"1": 3, "2": 5.0, "3": 0.0}, T={"type": "DT_FLOAT"}),
        "OneHot",
    ),
    "mask": (node("StridedSlice", 4, BOUNDS, end_mask={"i": "x"}), "StridedSlice"),
    "bounds": (node("StridedSlice", 4, {**BOUNDS, "3": [1]}), "StridedSlice"),
    "texts": (node("StridedSlice", 4, {**BOUNDS, "1": ["0", 1]}), "StridedSlice"),
    "places": (node("AddV2", 2, {"7": 1.0}), "AddV2"),
    "place": (node("AddV2", 2, {"-1": 1.0}), "AddV2"),
    "dtype": (node("Cast", 1, DstT={"type": "DT_STRING"}), "Cast"),
    "sizes": (node("SplitV", 3, {"1": [2, -1], "2": 1}), "SplitV"),
}


@pytest.mark.parametrize(("entry", "op"), UNKNOWN.values(), ids=UNKNOWN)
def test_nodes_that_are_not_known(entry: Any, op: str, tmp_path: Path) -> None:
    path = written(tmp_path / "m.h5", [entry])
    with pytest.raises(FormatError, match=rf"tf\.raw_ops\.{op}: 'op_n'"):
        gj.keras.load_model(path)
    given = gj.layers.Lambda(lambda *xs: xs[0], name="op_n")
    if len(entry["inbound_nodes"][0]) == 1:
        model = gj.keras.load_model(path, custom_layers={"op_n": given})
        close(model.predict([A, B]), A)


def test_an_unknown_function_is_named_and_can_be_supplied(tmp_path: Path) -> None:
    calls = [
        call("f", "image.flip_up_down", ref("a")),
        call("g", "math.cumsum", ref("a", axis=1, reverse=True)),
        call("h", "nn.relu6", ref("f")),
    ]
    path = written(tmp_path / "m.h5", calls)
    with pytest.raises(FormatError, match="layers that graphjit cannot make") as caught:
        gj.keras.load_model(path)
    assert caught.value.details == ("tf.image.flip_up_down: 'f'", "tf.math.cumsum: 'g'")
    calls = [calls[0], calls[2]]
    path = written(tmp_path / "n.h5", calls)
    flip = gj.layers.Lambda(lambda x: x[:, ::-1], name="f")
    model = gj.keras.load_model(path, custom_layers={"f": flip})
    close(model.predict([A, B])[1], np.clip(A[:, ::-1], 0, 6))


def test_pieces_of_a_split_are_counted() -> None:
    """A file may say anything: what is no whole number is no place to split at."""
    x = gj.Input((4,))
    for places in ([[1]], ["1"], [1.5]):
        with pytest.raises(CaptureError, match="Operation 's': it fails on float32"):
            gj.layers.Operation(
                "split", {"indices_or_sections": places, "axis": 1}, name="s"
            )(x)


def test_settings_are_checked() -> None:
    with pytest.raises(CaptureError, match="function: expected a known function"):
        gj.layers.Operation("meen")
    with pytest.raises(CaptureError, match="arguments: expected finite numbers"):
        gj.layers.Operation("add", {"operands": [float("nan"), None]})
    with pytest.raises(CaptureError, match="no setting 'axes' of 'mean'"):
        gj.layers.Operation("mean", {"axes": 1})
