"""From the arrays that some Keras stored for a layer to the native layer's.

Native weights are laid out as tf.keras and Keras 3 lay them out. Before that, arrays
differed by generation (Keras 1), by backend (Theano turns kernels round), and by what
a layer was computed with (CuDNN, the implementations of LocallyConnected).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graphjit.capture.layer import Layer
from graphjit.errors import DataError
from graphjit.formats.keras1_layouts import (
    CONV1D,
    CONV_TF,
    CONV_TH,
    DECONV_TF,
    DECONV_TH,
    DEPTHWISE,
    gates_side_by_side,
    kernel_and_bias,
)

__all__ = ["Writer", "depends_on_backend", "native_arrays", "possible_counts"]

Array = NDArray[Any]
Shapes = Sequence[tuple[int, ...]]

#: Theano turns these kernels round: it convolves where others correlate.
_TURNED: Final[Mapping[str, tuple[int, ...]]] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), (0,)),
    **dict.fromkeys((f"Conv{rank}DTranspose" for rank in (1, 2, 3)), (0,)),
    **dict.fromkeys((f"ConvLSTM{rank}D" for rank in (1, 2, 3)), (0, 1)),
}


@dataclass(frozen=True, slots=True)
class Writer:
    """What wrote the arrays.

    Attributes:
        generation: Of Keras: 1, 2 or 3.
        backend: Such as "theano"; None where nobody says.
    """

    generation: int
    backend: str | None


def depends_on_backend(layer: Layer | None, shapes: Shapes) -> bool:
    """Whether Theano's arrays for the layer differ from those of other backends."""
    places = _TURNED.get(type(layer).__name__, ())
    return any(max(shapes[at][:-2], default=1) > 1 for at in places)


def possible_counts(layer: Layer | None, count: int, writer: Writer) -> tuple[int, ...]:
    """How many arrays the file may hold for a layer that natively has `count`.

    The likeliest first: Keras 1 has an array for every gate, unless it was made with
    ``consume_less="gpu"``.
    """
    gates = {"LSTM": 12, "ConvLSTM2D": 12, "GRU": 9}.get(type(layer).__name__)
    if writer.generation != 1 or gates is None or count != 3:
        return (count,)
    fused = getattr(layer, "implementation", 0) == 2
    return (count, gates) if fused else (gates, count)


def native_arrays(
    layer: Layer | None, arrays: Sequence[Array], shapes: Shapes, writer: Writer
) -> list[Array]:
    """The arrays of a file as the native layer has them.

    Args:
        layer: The native layer.
        arrays: As the file has them.
        shapes: Those of the native weights.
        writer: What wrote them.

    Raises:
        DataError: They are nothing that Keras stores for such a layer.
    """
    name = type(layer).__name__
    made = list(arrays)
    if writer.generation == 1 and name in _KERAS_1:
        made = _KERAS_1[name](layer, made)
    elif name in _OTHERS:
        made = _OTHERS[name](layer, made, shapes)
    if writer.backend == "theano":
        for at in _TURNED.get(name, ())[: len(made)]:
            made[at] = np.flip(made[at], axis=tuple(range(made[at].ndim - 2)))
    return made


# --- Keras 1 --------------------------------------------------------------------


def _is_th(layer: Any) -> bool:
    return layer.data_format == "channels_first"


def _conv1d(layer: Any, arrays: list[Array]) -> list[Array]:
    kernel = arrays[0]
    length, filters = layer.kernel_size[0], layer.filters
    if kernel.ndim == 4 and (
        kernel.shape[:2] != (length, 1) or kernel.shape[3] != filters
    ):
        # Before Keras 1.1: (out, in, length, 1).
        arrays = [np.transpose(kernel, (2, 3, 1, 0)), *arrays[1:]]
    return kernel_and_bias(arrays, CONV1D)


def _conv(layer: Any, arrays: list[Array]) -> list[Array]:
    layouts = CONV_TH if _is_th(layer) else CONV_TF
    return kernel_and_bias(arrays, layouts[len(layer.kernel_size)])


def _deconv(layer: Any, arrays: list[Array]) -> list[Array]:
    return kernel_and_bias(arrays, DECONV_TH if _is_th(layer) else DECONV_TF)


def _separable(layer: Any, arrays: list[Array]) -> list[Array]:
    layout = DEPTHWISE["th" if _is_th(layer) else "tf"]
    return kernel_and_bias(arrays, layout, layout)


def _conv_lstm(layer: Any, arrays: list[Array]) -> list[Array]:
    layout = (CONV_TH if _is_th(layer) else CONV_TF)[2]
    moved = [layout.to_native(a) if a.ndim == 4 else a for a in arrays]
    return gates_side_by_side(12)(moved)


def _highway(layer: Any, arrays: list[Array]) -> list[Array]:
    del layer
    if len(arrays) == 4 and arrays[1].ndim == 1:
        # Before Keras 1.2: W, b, W_carry, b_carry.
        return [arrays[0], arrays[2], arrays[1], arrays[3]]
    return arrays


_KERAS_1: Final[Mapping[str, Callable[[Any, list[Array]], list[Array]]]] = {
    "Conv1D": _conv1d,
    "Conv2D": _conv,
    "Conv3D": _conv,
    "Conv2DTranspose": _deconv,
    "SeparableConv2D": _separable,
    "ConvLSTM2D": _conv_lstm,
    "GRU": lambda layer, arrays: gates_side_by_side(9)(arrays),
    "Highway": _highway,
    "LSTM": lambda layer, arrays: gates_side_by_side(12)(arrays),
}

# --- CuDNN ----------------------------------------------------------------------


def _from_cudnn(kernel: Array, recurrent: Array, gates: int) -> list[Array]:
    """Kernels of CuDNN's layers; source: Keras 2.2.4, `_convert_rnn_weights`.

    Every gate's kernel is stored transposed, the input's in Fortran's order.
    """
    return [
        np.hstack([k.T.reshape(k.shape, order="F") for k in np.hsplit(kernel, gates)]),
        np.hstack([k.T for k in np.hsplit(recurrent, gates)]),
    ]


def _lstm(layer: Any, arrays: list[Array], shapes: Shapes) -> list[Array]:
    del shapes
    if len(arrays) != 3 or arrays[2].shape != (8 * layer.units,):
        return arrays
    bias = arrays[2].reshape(2, -1)
    return [*_from_cudnn(arrays[0], arrays[1], 4), bias[0] + bias[1]]


def _gru(layer: Any, arrays: list[Array], shapes: Shapes) -> list[Array]:
    del shapes
    units = layer.units
    if len(arrays) != 3 or arrays[2].shape != (6 * units,) or not layer.reset_after:
        return arrays
    return [*_from_cudnn(arrays[0], arrays[1], 3), arrays[2].reshape(2, -1)]


# --- LocallyConnected ------------------------------------------------------------


def _local(layer: Any, arrays: list[Array], shapes: Shapes) -> list[Array]:
    """The kernels of implementations 2 (dense) and 3 (sparse) of tf.keras.

    Both have a number for every pair of an element of the result and one of the
    input; a sparse kernel has those that a window joins, in the order of the pairs.
    """
    if layer.implementation == 1 or not arrays or arrays[0].shape == shapes[0]:
        return arrays  # as implementation 1 has them, and as they are written here
    kernel, (places, patch, filters) = arrays[0], shapes[0]
    given: tuple[int, ...] = layer.calls[0].inputs[0].type.shape
    first = _is_th(layer)
    lengths = tuple(given[2:] if first else given[1:-1])
    channels = given[1] if first else given[-1]
    outputs = tuple(
        (n - window) // stride + 1
        for n, window, stride in zip(
            lengths, layer.kernel_size, layer.strides, strict=True
        )
    )
    data = (channels, *lengths) if first else (*lengths, channels)
    result = (filters, *outputs) if first else (*outputs, filters)
    wanted = (
        (*data, *result) if layer.implementation == 2 else (places * patch * filters,)
    )
    if kernel.shape != wanted:
        raise DataError(f"expected a kernel of shape {wanted}, found {kernel.shape}")
    # Axes from here on: place, tap, channel, filter.
    place = _grid(outputs, (-1, 1, 1, 1))
    tap = _grid(layer.kernel_size, (1, -1, 1, 1))
    spot = [p * s + t for p, s, t in zip(place, layer.strides, tap, strict=True)]
    channel = _grid((channels,), (1, 1, -1, 1))[0]
    filter_ = _grid((filters,), (1, 1, 1, -1))[0]
    source = (channel, *spot) if first else (*spot, channel)
    target = (filter_, *place) if first else (*place, filter_)
    if layer.implementation == 2:
        made = kernel[(*source, *target)]
    else:
        into = np.ravel_multi_index(np.broadcast_arrays(*source), data)
        out = np.ravel_multi_index(np.broadcast_arrays(*target), result)
        into, out = np.broadcast_arrays(into, out)
        made = np.empty(into.shape, kernel.dtype)
        made.ravel()[np.lexsort((into.ravel(), out.ravel()))] = kernel
    if first:
        made = np.swapaxes(made, 1, 2)
    return [made.reshape(shapes[0]), *arrays[1:]]


def _grid(dims: Sequence[int], shape: tuple[int, ...]) -> list[Array]:
    """For every axis of a grid the positions along it, in C order."""
    return [axis.reshape(shape) for axis in np.indices(tuple(dims))]


_OTHERS: Final[Mapping[str, Callable[[Any, list[Array], Shapes], list[Array]]]] = {
    "GRU": _gru,
    "LSTM": _lstm,
    "LocallyConnected1D": _local,
    "LocallyConnected2D": _local,
}
