"""Graphs, tensors and forged files that the tests of the formats share."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest

import graphjit as gj
from graphjit.builder import Builder
from graphjit.errors import FormatError
from graphjit.formats import container
from graphjit.formats.container import Limits
from graphjit.functions import function_of
from graphjit.host_random import numpy_dtype
from graphjit.ir import Config, Graph, LayerCall, Param
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.dense import DenseOp
from graphjit.ops.elementwise import Add, Relu, Tanh
from graphjit.ops.function_op import FunctionOp
from graphjit.ops.scan import Scan
from graphjit.types import DTYPE_BYTES, TensorType
from graphjit.verify import verify

L = gj.layers
Array = np.ndarray[Any, Any]


@gj.register("tests>twice")
def twice(x: Any) -> Any:
    return 2 * x


# --- graphs -----------------------------------------------------------------------


@functools.cache
def tiny() -> Graph:
    """Two small params, one of each collection: a file of little more than 1 kB."""
    builder = Builder("tiny")
    x = builder.input("x", TensorType(("batch", 3)))
    kernel = builder.param(Param("d/kernel", TensorType((3, 2))))
    state = Param("d/on", TensorType((5,), "bool"), collection="state")
    builder.update("d/on", builder.param(state))
    builder.output("y", builder.node(DenseOp(), (x, kernel), name="d")[0])
    return verify(builder.build())


@functools.cache
def digits() -> Graph:
    x = gj.Input((8, 8, 1), name="image")
    h = L.Conv2D(
        4,
        3,
        strides=(2, 1),
        padding="same",
        activation="relu",
        kernel_regularizer=gj.regularizers.L1L2(0.01, 0.02),
        kernel_constraint=gj.constraints.MaxNorm(3.0, axis=(0, 1, 2)),
        name="conv",
    )(x)
    h = L.BatchNormalization(momentum=0.9, epsilon=1e-4, name="bn")(h)
    h = L.MaxPooling2D(name="pool")(h)
    h = L.Dropout(0.25, noise_shape=(None, 1, 1, 4), name="drop")(h)
    h = L.Flatten(name="flat")(h)
    h = L.Dense(6, activity_regularizer="l2", name="hidden")(h)
    y = L.Dense(10, activation="softmax", name="digit")(h)
    return gj.Model(x, y, name="digits").graph


@functools.cache
def shared() -> Graph:
    a, b = gj.Input((4,), name="a"), gj.Input((4,), name="b")
    dense = L.Dense(3, name="dense")
    norm = L.BatchNormalization(name="norm")
    y = L.Add(name="sum")([norm(dense(a)), norm(dense(b))])
    return gj.Model([a, b], y, name="shared").graph


@functools.cache
def nested() -> Graph:
    inner_in = gj.Input((4,), name="inner_in")
    inner_out = L.Dense(4, activation="tanh", name="dense")(inner_in)
    inner = gj.Model(inner_in, inner_out, name="inner")
    x = gj.Input((4,), name="x")
    return gj.Model(x, inner(inner(x)), name="outer").graph


@functools.cache
def scan() -> Graph:
    body = Builder("step")
    carry = body.input("h", TensorType(("batch", 4)))
    item = body.input("x", TensorType(("batch", 4)))
    weight = body.input("w", TensorType((4, 4)))
    summed = body(Add(), body(DenseOp(), carry, weight), item)
    new = body.node(Tanh(), (summed,), epilogue=(Relu(negative_slope=0.5),))[0]
    body.output("h", new)
    body.output("y", item)
    builder = Builder("scan")
    x = builder.input("x", TensorType(("batch", None, 4)))
    start = builder.input("start", TensorType(("batch", 4)))
    kernel = builder.param(Param("rnn/w", TensorType((4, 4))))
    op = Scan(body.build(), carries=1, sequences=1, reverse=True)
    last, ys = builder.node(op, (start, x, kernel), name="rnn/scan")
    builder.output("last", last)
    builder.output("ys", ys)
    return verify(builder.build())


@functools.cache
def chosen_kernel() -> Graph:
    """A node with an epilogue and a kernel, as passes leave it."""
    builder = Builder("chosen")
    x = builder.input("x", TensorType(("batch", 8, 8, 6)))
    kernel = builder.param(Param("dw/kernel", TensorType((3, 3, 1, 6))))
    op = ConvOp((1, 1), ((1, 1), (2, 0)), groups=6)
    y = builder.node(
        op,
        (x, kernel),
        name="dw/conv",
        epilogue=(Relu(max_value=6.0), Tanh()),
        kernel="depthwise_shifted",
    )[0]
    builder.output("y", y)
    return verify(builder.build())


@functools.cache
def function() -> Graph:
    builder = Builder("function")
    type_ = TensorType(("batch", 4))
    x = builder.input("x", type_)
    builder.output("y", builder(FunctionOp(function_of(twice), type_), x))
    return verify(builder.build())


@functools.cache
def every_dtype() -> Graph:
    """A param of every element type, of rank 0 to 2, one of them empty; no input."""
    shapes = [(3, 2), (), (5,), (0, 4)]
    builder = Builder("dtypes")
    for at, dtype in enumerate(DTYPE_BYTES):
        type_ = TensorType(shapes[at % len(shapes)], dtype)
        trainable = at % 2 == 0
        value = builder.param(Param(f"p/{dtype}", type_, trainable=trainable))
        builder.output(dtype, value)
    return verify(builder.build())


@functools.cache
def masked() -> Graph:
    """An output with a mask, a loss, and a layer table of odd configurations."""
    config = Config.freeze(
        {"b": True, "a": (1, 1.0, None, "x", [2]), "empty": {}, "deep": {"z": {"y": 0}}}
    )
    row = LayerCall("in", "in", "InputLayer", config, types=(TensorType(("n", None)),))
    builder = Builder("masked", [row])
    x = builder.input("x", TensorType(("batch", "time")))
    mask = builder.input("mask", TensorType(("batch", "time"), "bool"))
    loss = builder.input("loss", TensorType(()))
    builder.output("y", x, mask)
    builder.loss("extra", loss)
    return verify(builder.build())


GRAPHS: dict[str, Callable[[], Graph]] = {
    make.__name__: make
    for make in (
        tiny,
        digits,
        shared,
        nested,
        scan,
        chosen_kernel,
        function,
        every_dtype,
        masked,
    )
}


# --- tensors ----------------------------------------------------------------------


def tensors_of(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """An array for every param."""
    rng = np.random.default_rng(seed)
    return {p.name: _array(rng, p.type) for p in graph.params}


def _array(rng: np.random.Generator, type_: TensorType) -> Array:
    shape = tuple(dim for dim in type_.shape if isinstance(dim, int))
    if type_.dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    return np.asarray(100 * rng.random(shape)).astype(numpy_dtype(type_.dtype))


def same_tensors(found: Any, wanted: Any) -> bool:
    """Equal names, order, types and bytes."""
    if list(found) != list(wanted):
        return False
    pairs = [(np.asarray(found[name]), np.asarray(wanted[name])) for name in wanted]
    return all(
        (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        for a, b in pairs
    )


@functools.cache
def tiny_file() -> bytes:
    return container.encode(tiny(), tensors_of(tiny()))


# --- forgery ----------------------------------------------------------------------


def header_of(data: bytes) -> tuple[Any, bytes]:
    """A file's header as plain data, and its payload from the first data byte on."""
    length = int.from_bytes(data[1:5], "big")
    header = msgpack.unpackb(data[5 : 5 + length])
    end = 5 + length + 34
    return header, data[-(-(end + 5) // 64) * 64 :]


def assembled(packed: bytes, payload: bytes = b"", first: int = 0) -> bytes:
    """A file of any header and payload, framed and hashed as they should be.

    `first` is the length of the payload's first binary.
    """
    head = b"\xc6" + len(packed).to_bytes(4, "big") + packed
    head += b"\xc4\x20" + hashlib.sha256(packed).digest()
    if not payload and not first:
        return head
    start = -(-(len(head) + 5) // 64) * 64
    return head.ljust(start - 5, b"\xc0") + b"\xc6" + first.to_bytes(4, "big") + payload


def forged(data: bytes, change: Callable[[Any], Any]) -> bytes:
    """The file with its header changed, and every hash of the header right again.

    `change` gets the header as plain data, and may return another.
    """
    header, payload = header_of(data)
    first = header["tensors"][0]["bytes"] if header["tensors"] else 0
    other = change(header)
    packed = msgpack.packb(header if other is None else other)
    return assembled(packed, payload, first)


def refused(data: bytes, match: str, limits: Limits | None = None) -> FormatError:
    """Assert that a file is refused, with a message that matches."""
    with pytest.raises(FormatError, match=match) as caught:
        container.decode(data, limits=limits or Limits())
    return caught.value


def file_of(name: str) -> bytes:
    """One of `GRAPHS` as a file."""
    graph = GRAPHS[name]()
    return container.encode(graph, tensors_of(graph))
