"""The problems of every kernel, by the op's kind and the kernel's name."""

from __future__ import annotations

from tests.conformance.kernel_problems import (
    conv1d,
    conv2d,
    conv3d,
    depthwise,
    grouped,
    local,
    pool,
    recurrent,
    transposed,
)
from tests.conformance.kernel_problems.problem import Problems

__all__ = ["PROBLEMS"]

PROBLEMS: Problems = {
    **transposed.PROBLEMS,
    **grouped.PROBLEMS,
    **local.PROBLEMS,
    **conv3d.PROBLEMS,
    **conv1d.PROBLEMS,
    **conv2d.PROBLEMS,
    **depthwise.PROBLEMS,
    **pool.PROBLEMS,
    **recurrent.PROBLEMS,
}
