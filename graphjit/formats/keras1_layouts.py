"""Where Keras 1's arrays differ from native ones: layouts of kernels, order of gates.

Native kernels are Keras 2's. Both `gj.keras1`, for ``weights=[…]``, and the readers of
files convert by what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from graphjit.errors import DataError

__all__ = [
    "CONV1D",
    "CONV_TF",
    "CONV_TH",
    "DECONV_TF",
    "DECONV_TH",
    "DEPTHWISE",
    "KernelLayout",
    "gates_side_by_side",
    "kernel_and_bias",
]

Array = np.ndarray[Any, Any]
#: From Keras 1's arrays to those of `get_weights`.
Converter = Callable[[Sequence[Any]], list[Any]]


@dataclass(frozen=True, slots=True)
class KernelLayout:
    """Where the axes of a native kernel are in Keras 1's.

    Attributes:
        perm: Native axis i is Keras 1's axis perm[i].
        dropped: Keras 1's axes of one element that native kernels lack.
    """

    perm: tuple[int, ...]
    dropped: tuple[int, ...] = ()

    def to_native(self, kernel: Any) -> Array:
        """A Keras 1 kernel as a native one.

        Raises:
            DataError: It has another rank, or more than one element on an axis that
                Keras 1 has for one.
        """
        array = np.asarray(kernel)
        rank = len(self.perm) + len(self.dropped)
        if array.ndim != rank or any(array.shape[axis] != 1 for axis in self.dropped):
            ones = "".join(f", axis {axis} of 1 element" for axis in self.dropped)
            raise DataError(
                f"weights: expected a Keras 1 kernel of rank {rank}{ones}, received "
                f"shape {array.shape}"
            )
        moved = np.transpose(array, (*self.perm, *self.dropped))
        return moved.reshape(moved.shape[: len(self.perm)])

    def keras1_shape(self, native: Sequence[int]) -> tuple[int, ...]:
        """The shape of the Keras 1 kernel that is a native one of this shape."""
        shape = [1] * (len(self.perm) + len(self.dropped))
        for axis, dim in zip(self.perm, native, strict=True):
            shape[axis] = dim
        return tuple(shape)

    def native_axes(self, axes: Sequence[int]) -> tuple[int, ...]:
        """Axes of a Keras 1 kernel as those of the native one; dropped ones go."""
        rank = len(self.perm) + len(self.dropped)
        counted = [axis % rank if -rank <= axis < rank else axis for axis in axes]
        # An axis that no kernel has stays: the constraint says so when it is applied.
        return tuple(
            self.perm.index(axis) if axis in self.perm else axis
            for axis in counted
            if axis not in self.dropped
        )


#: (length, 1, in, out), from Keras 1.1.
CONV1D: Final = KernelLayout((0, 2, 3), (1,))
#: By rank: (*window, in, out), and (out, in, *window).
CONV_TF: Final = {n: KernelLayout(tuple(range(n + 2))) for n in (2, 3)}
CONV_TH: Final = {n: KernelLayout((*range(2, n + 2), 1, 0)) for n in (2, 3)}
#: The same two of a transposed convolution, natively (*window, out, in).
DECONV_TF: Final = KernelLayout((0, 1, 3, 2))
DECONV_TH: Final = KernelLayout((2, 3, 0, 1))
#: (multiplier, in, rows, cols) under "th"; a pointwise kernel is (out, in, 1, 1).
DEPTHWISE: Final = {"tf": CONV_TF[2], "th": CONV_TH[2]}


def kernel_and_bias(arrays: Sequence[Any], *layouts: KernelLayout) -> list[Any]:
    """Kernels of the given layouts, then the rest as it is."""
    kernels = [
        layout.to_native(array) for layout, array in zip(layouts, arrays, strict=False)
    ]
    return [*kernels, *arrays[len(layouts) :]]


#: Where each gate stands among Keras 1's, by the number of arrays that a layer with an
#: array for every gate has. An LSTM's come in the order i, c, f, o there.
_GATES: Final = {9: (0, 1, 2), 12: (0, 2, 1, 3)}


def gates_side_by_side(count: int) -> Converter:
    """Arrays (W, U, b) of every gate, as many as `count`, as three native ones.

    Three arrays, as `consume_less="gpu"` has them, stay as they are.
    """

    def convert(arrays: Sequence[Any]) -> list[Any]:
        if len(arrays) != count or count not in _GATES:
            return list(arrays)
        order = _GATES[count]
        return [
            np.concatenate([np.asarray(arrays[3 * gate + at]) for gate in order], -1)
            for at in range(3)
        ]

    return convert
