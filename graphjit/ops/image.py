"""Image layouts: layers work channels last; a channels_first one is wrapped.

A channels_first layer emits transpose -> op -> transpose, and the passes cancel, move
and absorb them.
"""

from __future__ import annotations

from collections.abc import Callable

from graphjit import config as settings
from graphjit.capture.arguments import Unfit
from graphjit.capture.emitter import Emitter
from graphjit.ir import Value
from graphjit.layout import invert
from graphjit.ops.shape import Transpose

__all__ = ["channels_last", "data_format", "spatial_axes"]

_FORMATS = ("channels_last", "channels_first")


def data_format(value: str | None) -> str:
    """Reader of the `data_format` argument; None means the configured one."""
    if value is None:
        return settings.image_data_format()
    if value in _FORMATS:
        return value
    raise Unfit("'channels_last' or 'channels_first'")


def channels_last(
    emitter: Emitter,
    x: Value,
    data_format: str,
    compute: Callable[[Value], Value],
) -> Value:
    """`compute` on a channels-last view of x; the result in x's own format.

    Shapes:
        x: (n, h, w, c), or (n, c, h, w) for channels_first; any number of spatial axes.
    """
    if data_format == "channels_last":
        return compute(x)
    rank = emitter.type_of(x).rank
    perm = (0, *range(2, rank), 1)
    y = compute(emitter(Transpose(perm), x))
    return emitter(Transpose(invert(perm)), y)


def spatial_axes(rank: int, data_format: str) -> tuple[int, ...]:
    """The spatial axes of an image of this rank."""
    first = 1 if data_format == "channels_last" else 2
    return tuple(range(first, first + rank - 2))
