"""Activations with weights: PReLU, ParametricSoftplus and SReLU.

Their weights have the dims of the input without its batch, or 1 on shared axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.capture.arguments import Unfit, arg, number, optional, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.errors import ShapeError
from graphjit.initializers import Constant, Initializer
from graphjit.ir import Value
from graphjit.layout import Layout
from graphjit.narrow import sequence_of
from graphjit.ops import weights
from graphjit.ops.base import Array, Elementwise, Op, Permuted, register_op
from graphjit.ops.wide_sums import spread
from graphjit.regularizers import Regularizer
from graphjit.types import TensorType

__all__ = [
    "PReLU",
    "ParametricSoftplus",
    "ParametricSoftplusOp",
    "Prelu",
    "SReLU",
    "Srelu",
]


class LearnedOp(Op, Elementwise):
    """An op on each element of x and of weights that broadcast to a sample.

    Shapes:
        x: (n, d1, d2, …)   every weight: (d1 or 1, d2 or 1, …)  ->  (n, d1, d2, …)
    """

    __slots__ = ()

    def infer(self, x: TensorType, *learned: TensorType | None) -> TensorType:
        for role, weight in zip(self.roles[1:], learned, strict=True):
            dims = x.shape[1:]
            fits = weight is not None and weight.rank == len(dims)
            if weight is None or not fits or not _broadcasts(weight.shape, dims):
                wanted = f"the shape {dims} or 1 on its axes"
                received = "none" if weight is None else weight.shape
                raise ShapeError(f"{role}: expected {wanted}, received {received}")
        return x

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.perm[0] != 0:
            return None
        perm = tuple(axis - 1 for axis in layout.perm[1:])
        operands = [layout]
        for weight in types[1:]:
            assert weight is not None
            pairs = zip(layout.inner[1:], weight.shape, strict=False)
            inner = tuple(None if dim == 1 else order for order, dim in pairs)
            operands.append(Layout(perm, inner))
        return Permuted(self, tuple(operands), (layout,))


def _broadcasts(weight: Sequence[object], dims: Sequence[object]) -> bool:
    pairs = zip(weight, dims, strict=True)
    return all(w == 1 or d is None or w == d for w, d in pairs)


@register_op("prelu", roles=("x", "alpha"))
class Prelu(LearnedOp):
    """x for x >= 0, alpha * x below (arXiv:1502.01852)."""

    def lower(self, x: Array, alpha: Array) -> Array:
        return jnp.where(x >= 0, x, spread(alpha, x.shape) * x)


@register_op("parametric_softplus", roles=("x", "alpha", "beta"))
class ParametricSoftplusOp(LearnedOp):
    """alpha * log(1 + exp(beta * x)), without overflow."""

    def lower(self, x: Array, alpha: Array, beta: Array) -> Array:
        alpha, beta = spread(alpha, x.shape), spread(beta, x.shape)
        return alpha * jax.nn.softplus(beta * x)


@register_op("srelu", roles=("x", "t_left", "a_left", "t_right", "a_right"))
class Srelu(LearnedOp):
    """x between two thresholds, a line of another slope beyond each (arXiv:1512.07030).

    With l = t_left and r = t_left + |t_right|: r + a_right * (x - r) for x >= r,
    l + a_left * (x - l) for x <= l. Source: Keras 1.2.2.
    """

    def lower(
        self, x: Array, t_left: Array, a_left: Array, t_right: Array, a_right: Array
    ) -> Array:
        t_left, a_left, t_right, a_right = (
            spread(weight, x.shape) for weight in (t_left, a_left, t_right, a_right)
        )
        right = t_left + jnp.abs(t_right)
        above = right + a_right * (x - right)
        below = t_left + a_left * (x - t_left)
        return jnp.where(x >= right, above, jnp.where(x > t_left, x, below))


# --- the layers -------------------------------------------------------------------


def _shared_axes(value: Any) -> tuple[int, ...]:
    """Axes counted with the batch, which is not among them."""
    items = sequence_of(value)
    try:
        return tuple(size(item) for item in ([value] if items is None else items))
    except Unfit:
        raise Unfit("axes counted with the batch, from 1") from None


def _weight_shape(emitter: Emitter, x: Value, shared: Sequence[int]) -> list[int]:
    """The dims of x without its batch, 1 on shared axes.

    Raises:
        ShapeError: A shared axis that x has not, or a dim that is not known.
    """
    emitter.check_least_rank(x, 2)
    type_ = emitter.type_of(x)
    for axis in shared:
        if axis >= type_.rank:
            message = f"shared_axes: axis {axis} does not fit an input of rank"
            raise ShapeError(f"{emitter.title}: {message} {type_.rank}")
    dims: list[int] = []
    for axis, dim in enumerate(type_.shape[1:], start=1):
        dim = 1 if axis in shared else dim
        if not isinstance(dim, int):
            raise ShapeError(
                f"{emitter.title}: its weights need to know axis {axis}, the input is "
                f"{type_}",
                hint=f"give the full shape to Input, or shared_axes=[{axis}]",
            )
        dims.append(dim)
    return dims


@LAYERS.register("PReLU")
class PReLU(Layer):
    """x for x >= 0, alpha * x below, with a learned alpha.

    Shapes:
        x: (n, d1, d2, …)   alpha: (d1, d2, …), 1 on shared axes  ->  (n, d1, d2, …)

    Args:
        alpha_initializer: Of alpha.
        alpha_regularizer: Penalty on alpha.
        alpha_constraint: Projection of alpha after each update.
        shared_axes: Axes along which alpha is the same, counted with the batch: [1, 2]
            for one alpha a channel of an image.
    """

    carries_mask = True
    casts_integers = True
    renamed = {"init": "alpha_initializer"}

    alpha_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
    alpha_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    alpha_constraint: Constraint | None = arg(
        default=None, converter=weights.constraint
    )
    shared_axes: tuple[int, ...] | None = arg(
        default=None, converter=optional(_shared_axes)
    )

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        alpha = emitter.param(
            "alpha",
            _weight_shape(emitter, x, self.shared_axes or ()),
            self.alpha_initializer,
            self.alpha_regularizer,
            self.alpha_constraint,
        )
        return emitter(Prelu(), x, alpha)


def _constant(value: Any) -> Initializer:
    """A number, which every weight begins with, or an initializer."""
    try:
        return Constant(number(value))
    except Unfit:
        return weights.initializer(value)


@LAYERS.register("ParametricSoftplus")
class ParametricSoftplus(Layer):
    """alpha * log(1 + exp(beta * x)), with learned alpha and beta.

    Shapes:
        x: (n, d1, d2, …)   alpha, beta: (d1, d2, …), 1 on shared axes
        ->  (n, d1, d2, …)

    Args:
        alpha_initializer: A number, or an initializer.
        beta_initializer: A number, or an initializer.
        shared_axes: Axes along which the weights are the same, counted with the batch.
    """

    carries_mask = True
    casts_integers = True
    renamed = {"alpha_init": "alpha_initializer", "beta_init": "beta_initializer"}

    alpha_initializer: Initializer = arg(default=0.2, converter=_constant)
    beta_initializer: Initializer = arg(default=5.0, converter=_constant)
    shared_axes: tuple[int, ...] | None = arg(
        default=None, converter=optional(_shared_axes)
    )

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        shape = _weight_shape(emitter, x, self.shared_axes or ())
        alpha = emitter.param("alpha", shape, self.alpha_initializer)
        beta = emitter.param("beta", shape, self.beta_initializer)
        return emitter(ParametricSoftplusOp(), x, alpha, beta)


@LAYERS.register("SReLU")
class SReLU(Layer):
    """S-shaped ReLU: x between two learned thresholds, learned slopes beyond them.

    Shapes:
        x: (n, d1, d2, …)   t_left, a_left, t_right, a_right: (d1, d2, …), 1 on shared
        axes  ->  (n, d1, d2, …)
        With r = t_left + |t_right|: r + a_right * (x - r) for x >= r; x for
        t_left < x < r; t_left + a_left * (x - t_left) for x <= t_left.

    Args:
        t_left_initializer: Of the left threshold.
        a_left_initializer: Of the slope left of it.
        t_right_initializer: Of the distance to the right threshold.
        a_right_initializer: Of the slope right of that.
        shared_axes: Axes along which the weights are the same, counted with the batch.
    """

    carries_mask = True
    casts_integers = True
    renamed = {
        "t_left_init": "t_left_initializer",
        "a_left_init": "a_left_initializer",
        "t_right_init": "t_right_initializer",
        "a_right_init": "a_right_initializer",
    }

    t_left_initializer: Initializer = arg(
        default="zeros", converter=weights.initializer
    )
    a_left_initializer: Initializer = arg(
        default="glorot_uniform", converter=weights.initializer
    )
    t_right_initializer: Initializer = arg(
        default="glorot_uniform", converter=weights.initializer
    )
    a_right_initializer: Initializer = arg(
        default="ones", converter=weights.initializer
    )
    shared_axes: tuple[int, ...] | None = arg(
        default=None, converter=optional(_shared_axes)
    )

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        shape = _weight_shape(emitter, x, self.shared_axes or ())
        learned = [
            emitter.param("t_left", shape, self.t_left_initializer),
            emitter.param("a_left", shape, self.a_left_initializer),
            emitter.param("t_right", shape, self.t_right_initializer),
            emitter.param("a_right", shape, self.a_right_initializer),
        ]
        return emitter(Srelu(), x, *learned)
