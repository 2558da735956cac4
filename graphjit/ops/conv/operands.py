"""What the convolution ops check of their operands."""

from __future__ import annotations

from graphjit.errors import ShapeError
from graphjit.types import Dim, TensorType, known_size

__all__ = [
    "FORMAT_HINT",
    "SPATIAL",
    "check_operands",
    "check_ranks",
    "convolution_flops",
]

#: Letters of the spatial axes; an image of rank r has the last r of them.
SPATIAL = "DHW"
FORMAT_HINT = 'the input looks channels_first; say data_format="channels_first"'


def check_operands(
    x: TensorType,
    kernel: TensorType,
    bias: TensorType | None,
    *,
    axes: str,
    channels: Dim,
    filters: Dim,
) -> None:
    """Refuse operands of a convolution that do not fit each other.

    Args:
        x: Channels last.
        kernel: As many axes as x.
        bias: A vector over the output channels, or none.
        axes: The letters of the kernel's axes.
        channels: How many the kernel wants x to have.
        filters: How many come out.

    Raises:
        ShapeError: A dtype or a dim differs.
    """
    layout = f"N{axes[:-2]}C"
    if x.dtype != kernel.dtype:
        raise ShapeError(f"x is {x.dtype}, kernel is {kernel.dtype}")
    if x.shape[-1] != channels:
        found = "an unknown number" if x.shape[-1] is None else x.shape[-1]
        raise ShapeError(
            f"kernel wants {channels} input channels, x has {found}",
            notes={
                "x": f"read as {layout}, channels = axis {x.rank - 1}",
                "kernel": axes,
            },
            hint=FORMAT_HINT if x.shape[1] == channels else None,
        )
    if bias is not None and bias.shape != (filters,):
        message = f"bias: expected shape ({filters},), received {bias.shape}"
        raise ShapeError(message)


def check_ranks(x: TensorType, kernel: TensorType, rank: int) -> None:
    """Refuse operands that have not `rank` spatial axes."""
    if x.rank != rank + 2:
        layout = f"N{SPATIAL[3 - rank :]}C"
        message = f"expected x of rank {rank + 2} ({layout}), received rank {x.rank}"
        raise ShapeError(message)
    if kernel.rank != rank + 2:
        raise ShapeError(f"expected a kernel of rank {rank + 2}, received {kernel}")


def convolution_flops(kernel: TensorType | None, result: TensorType) -> int:
    """A product and a sum for every weight that one filter has, at every result."""
    assert kernel is not None
    per_output = known_size(kernel.shape[:-1]) or 1
    sizes = [dim if isinstance(dim, int) else 1 for dim in result.shape]
    return 2 * per_output * (known_size(sizes) or 1)
