"""Keras 1's arrays in the native order and layout: what ``weights=[…]`` holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphjit.formats.keras1_layouts import (
    CONV1D,
    CONV_TF,
    CONV_TH,
    DECONV_TF,
    DECONV_TH,
    DEPTHWISE,
    KernelLayout,
    gates_side_by_side,
    kernel_and_bias,
)

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
    "norm_arrays",
]


def norm_arrays(arrays: Sequence[Any]) -> list[Any]:
    """Gamma and beta, with running statistics of 0 and 1 where there are none."""
    if len(arrays) != 2:
        return list(arrays)
    shape = np.shape(arrays[0])
    return [*arrays, np.zeros(shape), np.ones(shape)]
