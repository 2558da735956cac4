"""Keras 1 and 2's hard_sigmoid in the words of Keras 3.

It was clip(0.2 z + 0.5, 0, 1); Keras 3 calls relu6(z + 3) / 6 so. Since
0.2 z + 0.5 = (1.2 z + 3) / 6, the new one of 1.2 z is the old one of z: where z is
linear in weights, those weights are written 1.2 times as large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEW", "OLD", "Scaling", "scaling_of"]

#: Our names of the two functions.
OLD: Final = "hard_sigmoid"
NEW: Final = "hard_sigmoid_relu6"

_FACTOR: Final = 1.2
#: Layers with gates side by side: how many blocks, which are gates, which candidates.
_LSTM: Final = (4, (0, 1, 3), None)
_GRU: Final = (3, (0, 1), 2)
_SIMPLE: Final = (1, (), 0)
_BLOCKS: Final[Mapping[str, tuple[int, tuple[int, ...], int | None]]] = {
    **dict.fromkeys(("LSTM", "LSTMCell"), _LSTM),
    **dict.fromkeys(("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), _LSTM),
    **dict.fromkeys(("GRU", "GRUCell"), _GRU),
    **dict.fromkeys(("SimpleRNN", "SimpleRNNCell"), _SIMPLE),
}
#: Weights that come before another linear step, and so stay as they are.
_INNER: Final = ("depthwise_kernel",)
_SEPARABLE: Final = ("SeparableConv1D", "SeparableConv2D")


@dataclass(frozen=True, slots=True)
class Scaling:
    """Which parts of a layer's weights are written 1.2 times as large.

    Attributes:
        blocks: Into how many parts the last axis falls.
        scaled: Which of them.
        kept: Names of weights that stay as they are.
    """

    blocks: int
    scaled: tuple[int, ...]
    kept: tuple[str, ...] = ()

    def __call__(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """The weight as it is written."""
        if name in self.kept or not self.scaled:
            return array
        factors = np.ones(self.blocks, np.float64)
        factors[list(self.scaled)] = _FACTOR
        repeated = np.repeat(factors, array.shape[-1] // self.blocks)
        return (array.astype(np.float64) * repeated).astype(array.dtype)


def scaling_of(class_name: str, config: Mapping[str, Any]) -> Scaling | str | None:
    """How a layer's weights change; None where they do not.

    Args:
        class_name: Of the layer.
        config: Its configuration.

    Returns:
        What to do, or why nothing can be done.
    """
    inner = config.get("activation") == OLD
    gates = config.get("recurrent_activation") == OLD
    if not inner and not gates:
        return None
    blocks = _BLOCKS.get(class_name)
    if blocks is None:
        return Scaling(1, (0,), _INNER if class_name in _SEPARABLE else ())
    count, of_gates, candidate = blocks
    if inner and candidate is None:
        return (
            "its activation is Keras 2's hard_sigmoid, applied to the state too, where "
            "no weight can take up the factor between it and Keras 3's"
        )
    scaled = of_gates if gates else ()
    if inner and candidate is not None:
        scaled = (*scaled, candidate)
    return Scaling(count, scaled)
