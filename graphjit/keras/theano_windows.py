"""Where windows begin under Theano: what "same" means for a file that it wrote.

TensorFlow's "same" puts more zeros behind than before, as many as the length asks for.
Theano's puts them before (source: Keras 1.2.2, 2.0.9 and 2.2.4, theano_backend.py):

- convolution: k // 2 on both sides, the result cut to ceil(n / stride). That is k // 2
  before and k - 1 - k // 2 behind, for every n.
- pooling: p = size - 2 for an odd size above 2, else size - 1, on both sides, the
  result cut to ceil(n / stride): p before and size - 1 - p behind, for every n.
- transposed convolution, of odd kernels: k // 2 is cut before, k - stride in all.
"""

from __future__ import annotations

from typing import Any, Final

from graphjit.capture.layer import Layer
from graphjit.ops.windows import span

__all__ = ["as_on_theano", "differs_on_theano"]

_CONV: Final = ("Conv1D", "Conv2D", "Conv3D")
_TRANSPOSED: Final = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
_LSTM: Final = ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_POOLS: Final = tuple(
    f"{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in (1, 2, 3)
)


def differs_on_theano(layer: Layer) -> bool:
    """Whether the layer's windows would begin elsewhere under Theano."""
    return bool(_changes(layer))


def as_on_theano(layer: Layer, generation: int) -> dict[str, Any]:
    """Arguments that say in numbers what "same" meant for a layer under Theano.

    Args:
        layer: As the file says it, read natively.
        generation: Of Keras.
    """
    name = type(layer).__name__
    if name == "Conv3D" and generation == 1:
        # Keras 1 pads volumes itself, (k - 1) // 2 before, and has no strides then.
        return {}
    return _changes(layer)


def _changes(layer: Layer) -> dict[str, Any]:
    name = type(layer).__name__
    if name in _LSTM:
        return {**_of_states(layer), **_padding(layer, name)}
    return _padding(layer, name)


def _padding(layer: Layer, name: str) -> dict[str, Any]:
    if getattr(layer, "padding", None) != "same":
        return {}
    if name in (*_CONV, *_LSTM):
        return _conv(layer)
    if name in _TRANSPOSED:
        return _transposed(layer)
    if name in _POOLS:
        return _pool(layer)
    return {}


def _numbers(layer: Layer, argument: str) -> tuple[int, ...]:
    return tuple(getattr(layer, argument))


def _conv(layer: Layer) -> dict[str, Any]:
    sizes, rates = _numbers(layer, "kernel_size"), _numbers(layer, "dilation_rate")
    windows = [span(size, rate) for size, rate in zip(sizes, rates, strict=True)]
    strides = _numbers(layer, "strides")
    if all(s == 1 and w % 2 for w, s in zip(windows, strides, strict=True)):
        return {}
    return {"padding": [(w // 2, w - 1 - w // 2) for w in windows]}


def _of_states(layer: Layer) -> dict[str, Any]:
    """The state is convolved with "same" whatever `padding` says."""
    sizes = _numbers(layer, "kernel_size")
    if all(size % 2 for size in sizes):
        return {}
    return {"recurrent_padding": [(k // 2, k - 1 - k // 2) for k in sizes]}


def _transposed(layer: Any) -> dict[str, Any]:
    sizes, strides = _numbers(layer, "kernel_size"), _numbers(layer, "strides")
    if all(max(k - s, 0) // 2 == k // 2 for k, s in zip(sizes, strides, strict=True)):
        return {}
    made: dict[str, Any] = {"padding": [(k // 2, k // 2) for k in sizes]}
    if layer.output_size is None and layer.output_padding is None:
        made["output_padding"] = [
            2 * (k // 2) - (k - s) for k, s in zip(sizes, strides, strict=True)
        ]
    return made


def _pool(layer: Layer) -> dict[str, Any]:
    sizes = _numbers(layer, "pool_size")
    if all(size == 1 for size in sizes):
        return {}
    before = [size - 2 if size > 2 and size % 2 else size - 1 for size in sizes]
    return {
        "padding": [(p, size - 1 - p) for p, size in zip(before, sizes, strict=True)]
    }
