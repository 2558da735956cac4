"""Arguments that the convolution layers share: readers, checks, and what ops take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphjit.capture.arguments import Unfit
from graphjit.capture.layer import Layer
from graphjit.narrow import sequence_of
from graphjit.ops.windows import Padding, span

__all__ = [
    "RENAMED",
    "channel_axis",
    "check_strides",
    "op_dilation",
    "op_padding",
    "padding",
    "windows_of",
]

#: Names in Keras 1, for hints.
RENAMED = {
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "nb_row": "kernel_size",
    "nb_col": "kernel_size",
    "kernel_dim1": "kernel_size",
    "kernel_dim2": "kernel_size",
    "kernel_dim3": "kernel_size",
    "init": "kernel_initializer",
    "border_mode": "padding",
    "subsample": "strides",
    "subsample_length": "strides",
    "atrous_rate": "dilation_rate",
    "dim_ordering": "data_format",
    "bias": "use_bias",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
}


def padding(rank: int, *more: str) -> Callable[[Any], Padding]:
    """Reader of `padding`: "valid", "same" or one of `more`, in any case.

    Beside Keras's names it takes a pair of ints per spatial axis: the zeros before
    and after, as files that Keras wrote over Theano need them.
    """
    names = ("valid", "same", *more)

    def convert(value: Any) -> Padding:
        if isinstance(value, str) and value.lower() in names:
            return value.lower()
        pairs = [_pair(item) for item in sequence_of(value) or []]
        found = tuple(pair for pair in pairs if pair is not None)
        if len(found) == len(pairs) == rank:
            return found
        listed = ", ".join(repr(name) for name in names)
        raise Unfit(f"one of {listed}, or a pair of ints >= 0 per spatial axis")

    return convert


def _pair(value: Any) -> tuple[int, int] | None:
    items = sequence_of(value) or []
    ints = [int(v) for v in items if type(v) is int and v >= 0]
    return (ints[0], ints[1]) if len(ints) == len(items) == 2 else None


def check_strides(
    layer: Layer, strides: tuple[int, ...], rates: tuple[int, ...]
) -> None:
    """Refuse strides together with dilation, as the documents do."""
    if any(step != 1 for step in strides) and any(rate != 1 for rate in rates):
        layer.refuse("dilation_rate", "1 where strides are not 1", rates)


def op_dilation(rates: tuple[int, ...]) -> tuple[int, ...]:
    """Dilation as the ops have it: empty when there is none."""
    return () if all(rate == 1 for rate in rates) else rates


def windows_of(size: Sequence[int], rates: Sequence[int]) -> tuple[int, ...]:
    """How many elements a kernel covers along each spatial axis."""
    return tuple(span(taps, rate) for taps, rate in zip(size, rates, strict=True))


def op_padding(given: Padding, windows: Sequence[int]) -> Padding:
    """Padding as `ConvOp` has it: "causal" and "full" are numbers there."""
    if given == "causal":
        return tuple((window - 1, 0) for window in windows)
    if given == "full":
        return tuple((window - 1, window - 1) for window in windows)
    return given


def channel_axis(data_format: str) -> int:
    """Where the channels of an image are."""
    return 1 if data_format == "channels_first" else -1
