"""Layers that Keras has no one word for, as chains of layers that it has.

Paddings given in numbers ("full", Theano's "same", `output_size`) become layers that
pad or cut; Keras 2's hard_sigmoid alone becomes a line and a ReLU. A chain stands in
the place of its layer, under its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graphjit.capture.layer import Layer
from graphjit.keras.saving_gates import OLD
from graphjit.keras.saving_written import Entry
from graphjit.narrow import sequence_of
from graphjit.ops.conv.transpose_op import ConvTransposeOp
from graphjit.ops.windows import explicit_pads, span

__all__ = ["Chain", "chain_of"]

#: Zeros before and after along every spatial axis.
Pads = tuple[tuple[int, int], ...]

_NONE: Final = (0, 0)


@dataclass(frozen=True, slots=True)
class Chain:
    """The layers in place of one.

    Attributes:
        entries: With class_name and config.
        carrier: Which of them has the weights.
    """

    entries: tuple[Entry, ...]
    carrier: int = 0


class _Unsaid(Exception):  # noqa: N818 (it never leaves this module)
    """Why a layer has no such chain."""


def chain_of(layer: Layer, name: str, config: Mapping[str, Any]) -> Chain | str | None:
    """The chain in the place of a layer; None where Keras has the layer as it is.

    Args:
        layer: The native layer.
        name: Its name in the model.
        config: Its arguments, as far as Keras has them.

    Returns:
        The chain, or why there is none.
    """
    kind = type(layer).__name__
    try:
        return _chain(layer, kind, _Maker(name, config))
    except _Unsaid as unsaid:
        return str(unsaid)


def _chain(layer: Any, kind: str, maker: _Maker) -> Chain | None:
    if kind == "Activation" and layer.activation.name == OLD:
        return maker.hard_sigmoid()
    if kind == "ThresholdedReLU":
        return maker.thresholded()
    if kind.startswith("ConvLSTM"):
        return None if isinstance(layer.padding, str) else maker.conv_lstm(layer)
    if kind.endswith("DTranspose"):
        return maker.transposed(layer)
    if kind in ("Conv1D", "Conv2D", "Conv3D"):
        return maker.convolution(layer)
    pads: Any = getattr(layer, "padding", None)
    if isinstance(pads, str):
        return None
    if kind.startswith("MaxPooling"):
        return maker.largest(layer)
    if kind.startswith("AveragePooling"):
        return maker.mean(layer)
    return None


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes chains for one layer."""

    name: str
    config: Mapping[str, Any]

    def entry(self, class_name: str, suffix: str, **config: Any) -> Entry:
        settings = {"name": f"{self.name}_{suffix}", "trainable": True}
        dtype = {"dtype": self.config["dtype"]} if "dtype" in self.config else {}
        entry = {**settings, **dtype, **config}
        return {"class_name": class_name, "config": entry}

    def itself(self, layer: Layer, **changes: Any) -> Entry:
        """The layer with other arguments, under a name inside of the chain."""
        config = {**self.config, **changes, "name": f"{self.name}_inner"}
        return {"class_name": type(layer).__name__, "config": config}

    def spatial(self, kind: str, suffix: str, layer: Any, **config: Any) -> Entry:
        """A layer that pads, cuts or pools along the spatial axes of `layer`."""
        rank = len(_window(layer))
        first = layer.data_format == "channels_first"
        if kind == "Cropping" and rank == 1:
            if first:
                raise _Unsaid("Keras's Cropping1D knows channels_last alone")
            return self.entry("Cropping1D", suffix, **config)
        config["data_format"] = layer.data_format
        return self.entry(f"{kind}{rank}D", suffix, **config)

    # --- activations --------------------------------------------------------------

    def hard_sigmoid(self) -> Chain:
        """clip(0.2 x + 0.5, 0, 1), which every Keras computes alike."""
        line = self.entry("Rescaling", "line", scale=0.2, offset=0.5)
        relu = self.entry(
            "ReLU", "clip", max_value=1.0, negative_slope=0.0, threshold=0.0
        )
        return Chain((line, relu))

    def thresholded(self) -> Chain:
        theta = self.config["theta"]
        kept = {"max_value": None, "negative_slope": 0.0, "threshold": theta}
        return Chain((self.entry("ReLU", "inner", **kept),))

    # --- convolutions -------------------------------------------------------------

    def convolution(self, layer: Any) -> Chain | None:
        windows = [
            span(size, rate)
            for size, rate in zip(layer.kernel_size, layer.dilation_rate, strict=True)
        ]
        apart = max(layer.strides) > 1 and max(layer.dilation_rate) > 1
        pads = self._pads(layer, windows, apart)
        if pads is None and not apart:
            return None
        chain: list[Entry] = []
        if pads is not None and any(pair != _NONE for pair in pads):
            chain.append(self.padded(layer, pads))
        strides = [1] * len(windows) if apart else list(layer.strides)
        carrier = len(chain)
        chain.append(self.itself(layer, padding="valid", strides=strides))
        if apart:
            ones = [1] * len(windows)
            every = {"pool_size": ones, "strides": list(layer.strides)}
            chain.append(
                self.spatial("MaxPooling", "every", layer, **every, padding="valid")
            )
        return Chain(tuple(chain), carrier)

    def _pads(self, layer: Any, windows: Sequence[int], apart: bool) -> Pads | None:
        """The pads in numbers, where Keras has no word for them."""
        if not isinstance(layer.padding, str):
            return tuple((int(a), int(b)) for a, b in layer.padding)
        if layer.padding == "full":
            return tuple((window - 1, window - 1) for window in windows)
        if not apart or layer.padding == "valid":
            return None
        if layer.padding == "causal":
            return tuple((window - 1, 0) for window in windows)
        found = explicit_pads("same", _lengths(layer), windows, layer.strides)
        if found is None:
            raise _Unsaid("padding 'same' with strides and dilation, of free lengths")
        return found

    def padded(self, layer: Any, pads: Pads) -> Entry:
        """A layer that puts zeros around."""
        flat = [list(pair) for pair in pads]
        padding = flat[0] if len(flat) == 1 else flat
        return self.spatial("ZeroPadding", "pad", layer, padding=padding)

    def conv_lstm(self, layer: Any) -> Chain:
        pads = self.padded(layer, layer.padding)
        steps = self.entry("TimeDistributed", "steps", layer=pads)
        return Chain((steps, self.itself(layer, padding="valid")), 1)

    def transposed(self, layer: Any) -> Chain | None:
        """All of the result, and a layer that cuts it."""
        if layer.output_size is None and layer.padding in ("valid", "same"):
            return None
        crops = _crops(layer)
        windows = [
            span(size, rate)
            for size, rate in zip(layer.kernel_size, layer.dilation_rate, strict=True)
        ]
        # What "valid" gives behind what the windows cover.
        more = [max(s - w, 0) for s, w in zip(layer.strides, windows, strict=True)]
        extra: list[int] | None = None
        if any(after + m < 0 for (_, after), m in zip(crops, more, strict=True)):
            extra = [max(-after, 0) for _, after in crops]
            more = extra
            if any(e >= s for e, s in zip(extra, layer.strides, strict=True)):
                raise _Unsaid("it gives more behind than Keras's output_padding can")
        cut = [[b, a + m] for (b, a), m in zip(crops, more, strict=True)]
        if any(before < 0 for before, _ in cut):
            raise _Unsaid("it gives rows before the first that a window covers")
        inner = self.itself(layer, padding="valid", output_padding=extra)
        inner["config"].pop("output_size", None)
        cropping = cut[0] if len(cut) == 1 else cut
        if all(pair == [0, 0] for pair in cut):
            return Chain((inner,))
        return Chain((inner, self.spatial("Cropping", "cut", layer, cropping=cropping)))

    # --- pooling ------------------------------------------------------------------

    def mean(self, layer: Any) -> Chain:
        """Means over windows with zeros in them, times how many of them are none."""
        scale: NDArray[Any] = np.ones(())
        for length, size, stride, pair in zip(
            _known(_lengths(layer)),
            layer.pool_size,
            layer.strides,
            layer.padding,
            strict=True,
        ):
            counts = _counts(length, size, stride, pair)
            scale = scale[..., None] * (size / counts)
        first = layer.data_format == "channels_first"
        scale = scale[None] if first else scale[..., None]
        valid = self.itself(layer, padding="valid")
        rescaled = self.entry("Rescaling", "count", scale=scale.tolist(), offset=0.0)
        return Chain((self.padded(layer, layer.padding), valid, rescaled))

    def largest(self, layer: Any) -> Chain:
        """Largest of windows whose pads repeat the border: the border is in them too.

        Zeros would win over what is negative.
        """
        lengths = _known(_lengths(layer))
        pairs = zip(layer.pool_size, layer.padding, strict=True)
        if any(max(pair) >= size for size, pair in pairs):
            raise _Unsaid("it has windows that lie outside")
        borders = _Borders(self, layer, lengths)
        return Chain((borders.model(), self.itself(layer, padding="valid")))


class _Borders:
    """A functional model that repeats the borders of its input."""

    def __init__(self, maker: _Maker, layer: Any, lengths: Sequence[int]) -> None:
        self._maker = maker
        self._layer = layer
        self._lengths = lengths
        self._layers: list[Entry] = []

    def model(self) -> Entry:
        name = f"{self._maker.name}_borders"
        start = f"{name}_in"
        config: dict[str, Any] = {
            "name": start,
            "batch_input_shape": [None, *_shape(self._layer)[1:]],
            "dtype": self._maker.config.get("dtype", "float32"),
        }
        self._add("InputLayer", [], config)
        last = start
        first = self._layer.data_format == "channels_first"
        for at, (before, after) in enumerate(self._layer.padding):
            if before == after == 0:
                continue
            pieces = [last]
            if before:
                pieces = [*[self._edge(last, at, 0)] * before, *pieces]
            if after:
                pieces += [self._edge(last, at, 1)] * after
            joined = f"{name}_axis{at}"
            axis = at + (2 if first else 1)
            self._add("Concatenate", pieces, {"name": joined, "axis": axis})
            last = joined
        ends = {"input_layers": [[start, 0, 0]], "output_layers": [[last, 0, 0]]}
        config = {"name": name, "trainable": True, "layers": self._layers, **ends}
        return {"class_name": "Functional", "config": config}

    def _edge(self, source: str, at: int, end: int) -> str:
        """The name of a layer that leaves one element of an axis: its first or last."""
        name = f"{source}_{at}{'ab'[end]}"
        cut = [[0, 0] for _ in self._lengths]
        cut[at][1 - end] = self._lengths[at] - 1
        cropping: Any = cut[0] if len(cut) == 1 else cut
        made = self._maker.spatial("Cropping", "edge", self._layer, cropping=cropping)
        self._add(made["class_name"], [source], {**made["config"], "name": name})
        return name

    def _add(
        self, class_name: str, sources: Sequence[str], config: dict[str, Any]
    ) -> None:
        node: list[Any] = [[source, 0, 0, {}] for source in sources]
        self._layers.append(
            {
                "class_name": class_name,
                "name": config["name"],
                "config": config,
                "inbound_nodes": [node] if node else [],
            }
        )


# --- what is known of a layer's calls ---------------------------------------------


def _window(layer: Any) -> Sequence[int]:
    return getattr(layer, "kernel_size", None) or layer.pool_size


def _counts(length: int, size: int, stride: int, pads: tuple[int, int]) -> NDArray[Any]:
    """How many elements of each window are no pads."""
    before, after = pads
    starts = np.arange(0, length + before + after - size + 1, stride) - before
    return np.minimum(starts + size, length) - np.maximum(starts, 0)


def _shape(layer: Any) -> tuple[Any, ...]:
    """The shape of what the layer is called on, the same at every call."""
    shapes = {call.inputs[0].type.shape for call in layer.calls}
    if len(shapes) != 1:
        raise _Unsaid("its pads depend on the lengths of its input, which are not one")
    (shape,) = shapes
    return tuple(dim if isinstance(dim, int) else None for dim in shape)


def _lengths(layer: Any) -> list[int | None]:
    shape = _shape(layer)
    first = layer.data_format == "channels_first"
    return list(shape[2:] if first else shape[1:-1])


def _known(lengths: Sequence[int | None]) -> list[int]:
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        raise _Unsaid("its pads depend on the lengths of its input, which are free")
    return known


def _crops(layer: Any) -> Pads:
    """What the layer's op cuts before and after, the same at every call."""
    found = {
        node.op.crops
        for call in layer.calls
        for node in call.fragment.nodes
        if isinstance(node.op, ConvTransposeOp)
    }
    if len(found) != 1:
        raise _Unsaid("what it cuts depends on its input, which is not one")
    (crops,) = found
    return tuple((int(a), int(b)) for a, b in sequence_of(crops) or ())
