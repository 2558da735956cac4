"""Keras models on TensorFlow as ONNX files; runs in a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

__all__ = ["export"]

OPSET = 18


def export(model: Any, path: str) -> None:
    """Write the model as tf2onnx reads it, with any batch size.

    Where tf2onnx falls short it is helped, so that the peer is not measured by the
    exporter's gaps: grouped convolutions, GELU, statistics of the data, and GRUs, which
    become ONNX's own.
    """
    if any(type(layer).__name__ == "GRU" for layer in model.layers):
        Path(path).write_bytes(_grus(model).SerializeToString())
        return
    import tensorflow as tf
    import tf2onnx

    for layer in model.layers:
        if type(layer).__name__ == "Normalization":
            # As tensors they would become inputs of the ONNX graph.
            layer.mean, layer.variance = map(np.array, (layer.mean, layer.variance))
    (entry,) = model.inputs
    spec = [tf.TensorSpec(entry.shape, entry.dtype, name="x")]
    with _no_xla():
        traced = tf.function(lambda x: model(x, training=False), input_signature=spec)
        made, _ = tf2onnx.convert.from_function(
            traced,
            input_signature=spec,
            opset=OPSET,
            custom_op_handlers={"Erfc": (_erfc, [])},
        )
    Path(path).write_bytes(made.SerializeToString())


@contextlib.contextmanager
def _no_xla() -> Iterator[None]:
    """Keras wraps grouped convolutions in an XLA call, which tf2onnx cannot read."""
    import tensorflow as tf

    real = tf.function

    def function(*args: Any, jit_compile: Any = None, **kwargs: Any) -> Any:
        if jit_compile:
            return lambda wrapped: wrapped
        return real(*args, **kwargs)

    with mock.patch.object(tf, "function", function):
        yield


def _erfc(context: Any, node: Any, _name: str, _args: Any) -> None:
    """erfc(x) = 1 - erf(x)."""
    (result,), (x,) = node.output, node.input
    shape, dtype = context.get_shape(result), context.get_dtype(result)
    context.remove_node(node.name)
    erf = context.make_node("Erf", [x], shapes=[shape], dtypes=[dtype])
    one = context.make_const(f"{node.name}_one", np.ones((), np.float32))
    context.make_node(
        "Sub",
        [one.output[0], erf.output[0]],
        outputs=[result],
        name=node.name,
        shapes=[shape],
        dtypes=[dtype],
    )


def _grus(model: Any) -> Any:
    """A stack of GRUs under one softmax layer, by hand.

    tf2onnx turns Keras's loop into an ONNX `Loop`, many times slower than `GRU`.
    Both order the gates z, r, h.
    """
    import onnx
    from onnx import helper, numpy_helper

    *recurrent, last = [layer for layer in model.layers if layer.weights]
    weights: dict[str, Any] = {"zero": np.zeros(1, np.int64)}
    nodes = [helper.make_node("Transpose", ["x"], ["y0"], perm=[1, 0, 2])]
    for at, layer in enumerate(recurrent):
        kernel, back, bias = layer.get_weights()
        weights[f"w{at}"], weights[f"r{at}"] = kernel.T[None], back.T[None]
        weights[f"b{at}"] = bias.reshape(1, -1)
        operands = [f"y{at}", f"w{at}", f"r{at}", f"b{at}"]
        whole, end = f"whole{at}", f"end{at}"
        settings = {"hidden_size": layer.units, "linear_before_reset": 1}
        nodes.append(helper.make_node("GRU", operands, [whole, end], **settings))
        # (steps, directions, n, units) and (directions, n, units)
        given = whole if layer.return_sequences else end
        axis = "one" if layer.return_sequences else "zero"
        nodes.append(helper.make_node("Squeeze", [given, axis], [f"y{at + 1}"]))
    weights["one"] = np.ones(1, np.int64)
    weights["kernel"], weights["bias"] = last.get_weights()
    state = f"y{len(recurrent)}"
    nodes.append(helper.make_node("Gemm", [state, "kernel", "bias"], ["logits"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["y"], axis=-1))
    shape = ["n", *model.inputs[0].shape[1:]]
    number = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        model.name,
        [helper.make_tensor_value_info("x", number, shape)],
        [helper.make_tensor_value_info("y", number, ["n", last.units])],
        [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in weights.items()
        ],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9
    )
