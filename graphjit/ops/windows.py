"""Sliding windows: output lengths and pads of convolutions and pooling.

Source of the lengths: Keras's conv_utils; of "same" pads: TensorFlow (more after than
before when the total is odd).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from graphjit.errors import ShapeError
from graphjit.types import Dim

__all__ = ["Padding", "explicit_pads", "output_length", "span"]

#: "valid", "same", or (before, after) per spatial axis.
Padding: TypeAlias = "str | tuple[tuple[int, int], ...]"


def span(kernel: int, dilation: int) -> int:
    """How many elements a dilated kernel covers."""
    return dilation * (kernel - 1) + 1


def output_length(
    length: Dim, window: int, stride: int, padding: str | tuple[int, int]
) -> Dim:
    """How many windows fit: ceil(h / s) for "same", floor((h + p - d) / s) + 1 else.

    A named dim keeps its name where the length does not change.

    Raises:
        ShapeError: Not a single window fits.
    """
    if window < 1 or stride < 1:
        received = f"received {window} and {stride}"
        raise ShapeError(f"expected a window and a stride >= 1, {received}")
    if padding == "same":
        if isinstance(length, int):
            return -(-length // stride)
        return length if stride == 1 else None
    before, after = (0, 0) if isinstance(padding, str) else padding
    if not isinstance(length, int):
        return length if stride == 1 and before + after == window - 1 else None
    room = length + before + after - window
    if room < 0:
        covered = f"{length}" if before == after == 0 else f"{length} + pads"
        raise ShapeError(f"a window of {window} does not fit a length of {covered}")
    return room // stride + 1


def same_pads(length: int, window: int, stride: int) -> tuple[int, int]:
    """The zeros TensorFlow's "same" puts before and after."""
    total = max((-(-length // stride) - 1) * stride + window - length, 0)
    return total // 2, total - total // 2


def explicit_pads(
    padding: Padding,
    lengths: Sequence[Dim],
    windows: Sequence[int],
    strides: Sequence[int],
) -> tuple[tuple[int, int], ...] | None:
    """`padding` as numbers; None where they depend on an unknown length.

    With stride 1 "same" needs no length.
    """
    if isinstance(padding, tuple):
        return padding
    if padding == "valid":
        return ((0, 0),) * len(windows)
    pads: list[tuple[int, int]] = []
    for length, window, stride in zip(lengths, windows, strides, strict=True):
        if stride == 1:
            pads.append(((window - 1) // 2, window - 1 - (window - 1) // 2))
        elif isinstance(length, int):
            pads.append(same_pads(length, window, stride))
        else:
            return None
    return tuple(pads)
