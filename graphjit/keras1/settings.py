"""Readers of Keras 1's settings: initializers, constraints, the place of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from graphjit import config, constraints
from graphjit.capture.arguments import Unfit
from graphjit.constraints import Constraint
from graphjit.errors import CaptureError
from graphjit.formats.keras1_layouts import KernelLayout
from graphjit.host_random import HostRandom
from graphjit.initializers import (
    FromCallable,
    GlorotUniform,
    HeUniform,
    Initializer,
    LecunUniform,
    Orthogonal,
    VarianceScaling,
)
from graphjit.keras1.spelling import Given, Rule, Spelled, as_given, spelled
from graphjit.keras1_initializers import Keras1Scaling
from graphjit.settings import DIM_ORDERINGS

__all__ = [
    "DIM_ORDERING",
    "SCALED",
    "any_shape",
    "data_format",
    "dim_ordering",
    "initial",
    "kernel_constraint",
    "kernel_initial",
    "sequence_input",
]

#: Keras 1's initializers that scale with the number of units: the scale, which units,
#: and the distribution. Its normals are plain ones (1.2.2).
SCALED: Final[dict[str, tuple[float, Any, Any]]] = {
    "lecun_uniform": (1.0, "fan_in", "uniform"),
    "glorot_normal": (1.0, "fan_avg", "untruncated_normal"),
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "he_normal": (2.0, "fan_in", "untruncated_normal"),
    "he_uniform": (2.0, "fan_in", "uniform"),
}
#: Those among them that have a native name.
_NATIVE: Final = {
    "lecun_uniform": LecunUniform,
    "glorot_uniform": GlorotUniform,
    "he_uniform": HeUniform,
}
#: Keras 1's orthogonal matrices are a little larger than orthogonal.
ORTHOGONAL_SCALE: Final = 1.1

#: The axes of a weight that count as inputs and as outputs; None for the native rule.
Fans = tuple[tuple[int, ...], tuple[int, ...]]


def _name_of(value: Any) -> Any:
    """The name of one of `keras1.initializations`' functions; other values as is."""
    return getattr(value, "keras1_name", value)


def initial(value: Any, fans: Fans | None = None) -> Any:
    """Reader of `init` for a matrix, or for a weight whose `fans` are said."""
    name = _name_of(value)
    if name == "orthogonal":
        return Orthogonal(ORTHOGONAL_SCALE)
    if not isinstance(name, str) or name not in SCALED:
        return name
    axes: dict[str, Any] = {}
    if fans is not None:
        axes = {"input_axes": fans[0], "output_axes": fans[1]}
    native = _NATIVE.get(name)
    return VarianceScaling(*SCALED[name], **axes) if native is None else native(**axes)


def any_shape(value: Any) -> Any:
    """Reader of `init` for a weight that is neither a matrix nor a kernel."""
    name = _name_of(value)
    if isinstance(name, str) and name in SCALED:
        return Keras1Scaling(*SCALED[name])
    return initial(name)


def kernel_initial(value: Any, layout: KernelLayout, fans: Fans | None = None) -> Any:
    """Reader of `init` for the kernel of a convolution.

    A user's function is given the shape that Keras 1 gives it.
    """
    if callable(value) and not isinstance(value, (type, Initializer)):
        name = _name_of(value)
        if name is value:
            return FromCallable(_drawn_as_keras1(value, layout))
    return initial(value, fans)


def _drawn_as_keras1(fn: Callable[..., Any], layout: KernelLayout) -> Any:
    inner = FromCallable(fn)

    def draw(shape: Sequence[int], name: str | None = None) -> Any:
        random = HostRandom(0, name or "")
        drawn = inner.sample(layout.keras1_shape(shape), config.floatx(), random)
        return layout.to_native(drawn)

    draw.__qualname__ = getattr(fn, "__qualname__", type(fn).__qualname__)
    return draw


# --- constraints ------------------------------------------------------------------


def kernel_constraint(value: Any, layout: KernelLayout) -> Constraint | None:
    """Reader of a constraint on a kernel: its axes are those of Keras 1's kernel."""
    constraint = constraints.get(value, "constraint")
    axis: Any = getattr(constraint, "axis", None)
    if constraint is None or axis is None:
        return constraint
    axes = (axis,) if isinstance(axis, int) else axis
    moved = layout.native_axes(axes)
    if not moved:
        raise CaptureError(
            f"{type(constraint).__name__}: axis {axis} of a Keras 1 kernel has one "
            "element: there is no norm over it"
        )
    one: Any = moved[0] if isinstance(axis, int) else moved
    changed: Any = replace(constraint, axis=one)  # pyright: ignore[reportCallIssue]
    return changed


# --- the place of channels --------------------------------------------------------


def dim_ordering(value: Any) -> str:
    """Reader of `dim_ordering`: "th", "tf", or "default" for the configured one."""
    if value == "default":
        return config.image_dim_ordering()
    if not isinstance(value, str) or value not in DIM_ORDERINGS:
        raise Unfit("'th', 'tf' or 'default'")
    return value


def data_format(value: Any) -> str:
    """Reader of `dim_ordering`, as the native layers call it."""
    return DIM_ORDERINGS[dim_ordering(value)]


#: The argument of layers whose weights do not depend on it.
DIM_ORDERING: Final[Spelled] = spelled(
    "dim_ordering", "data_format", "default", data_format
)


# --- the first layer's input ------------------------------------------------------


def _sequences(given: Given) -> dict[str, Any]:
    dim, length = given["input_dim"], given["input_length"]
    if dim is not None:
        return {"input_shape": (length, dim)}
    return {} if length is None else {"input_length": length}


#: `input_dim` and `input_length` of a layer over sequences: steps of that many
#: features, of any number where there is no length.
sequence_input: Final[tuple[tuple[Spelled, ...], Rule]] = (
    (
        spelled("input_dim", None, None, as_given),
        spelled("input_length", None, None, as_given),
    ),
    _sequences,
)
