"""Batch normalization: with the batch's statistics, and with given ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from graphjit.capture.arguments import (
    Unfit,
    arg,
    boolean,
    choice,
    fraction,
    integer,
    number,
)
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.errors import ShapeError
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.layout import Layout
from graphjit.narrow import sequence_of
from graphjit.ops import weights
from graphjit.ops.base import (
    Array,
    Becomes,
    ChannelAffine,
    Emit,
    MixesRows,
    Op,
    Permuted,
    Result,
    Same,
    added,
    register_op,
)
from graphjit.ops.elementwise import Multiply, Negate, Rsqrt, Subtract
from graphjit.ops.norms import LayerNorm
from graphjit.ops.precision import KeepsPrecision
from graphjit.ops.shape import Reshape
from graphjit.ops.wide_sums import spread, sum_dtype
from graphjit.regularizers import Regularizer
from graphjit.types import TensorType, broadcast_shapes

__all__ = ["BatchNorm", "BatchNormInference", "BatchNormalization"]

_ROLES = ("x", "gamma", "beta", "mean", "variance", "row_mask", "mask")
#: What `BatchNorm.running` says where training updates the running statistics.
_UPDATED = ("update", "unread")


def _check(
    axis: int,
    x: TensorType,
    vectors: Sequence[tuple[str, TensorType | None]],
) -> None:
    if not 0 < axis < x.rank:
        raise ShapeError(f"axis {axis} does not fit rank {x.rank}")
    channels = x.shape[axis]
    for role, vector in vectors:
        if vector is not None and vector.shape != (channels,):
            message = f"{role}: expected shape ({channels},), received {vector.shape}"
            raise ShapeError(message, notes={"x": f"channels = axis {axis}"})


def _along(vector: Array, axis: int, rank: int) -> Array:
    """A vector over channels, shaped to broadcast against x."""
    shape = [1] * rank
    shape[axis] = vector.shape[0]
    return jnp.reshape(vector, shape)


def _layouts(
    axis: int, layout: Layout, types: Sequence[TensorType | None]
) -> tuple[Layout, ...] | None:
    """The layouts of x, the channel vectors and the masks; None: refuse."""
    if layout.perm[0] != 0:
        return None
    if any(o is not None and at != axis for at, o in enumerate(layout.inner)):
        return None
    vector = layout.of_axis(axis)
    mask = types[6] if len(types) > 6 else None
    shared = mask is not None and mask.shape[axis] == 1
    masks = (Layout((0,)), Layout(layout.perm) if shared else layout)
    return (layout, vector, vector, vector, vector, *masks)[: len(types)]


def _count(x: Array, valid: Array | None, axes: Sequence[int]) -> Any:
    """How many elements there are for each channel, 1 at the least."""
    if valid is None:
        return math.prod(x.shape[axis] for axis in axes)
    # What broadcasts is counted once and multiplied.
    shared = math.prod(x.shape[axis] for axis in axes if valid.shape[axis] == 1)
    return jnp.maximum(jnp.sum(valid.astype(x.dtype), tuple(axes)) * shared, 1)


@register_op("batch_norm", roles=_ROLES)
class BatchNorm(Op, MixesRows, KeepsPrecision):
    """Normalize by the batch's mean and biased variance; return new running ones.

    y = (x - mean(x)) / sqrt(var(x) + epsilon) * gamma + beta, statistics over all axes
    but `axis`; new = momentum * running + (1 - momentum) * batch (arXiv:1502.03167).
    Elements that a mask leaves out do not count in the statistics.
    `frozen` says what a frozen layer does: "infer" (tf.keras, Keras 3), "keep" (batch
    statistics, no update: Keras 2.1.3 to 2.3) or "update" (Keras 2.0). `running` says
    what becomes of the running statistics: "update"; "keep", as they are; "unused",
    kept too, and inference takes the batch's as well (Keras 1's mode 2); "unread", the
    same but that training updates them (a call with training=True).

    Shapes:
        x: (n, …, c, …)   gamma, beta, mean, variance: (c,)   row_mask: bool (n,)
        mask: bool, of the rank of x, its dims or 1  ->  (n, …, c, …), (c,), (c,)
    """

    row_mask: ClassVar[int | None] = 5

    axis: int
    momentum: float = 0.99
    epsilon: float = 1e-3
    frozen: str = "infer"
    running: str = added(default="update")

    @property
    def threads(self) -> tuple[tuple[int, int], ...]:
        return ((3, 1), (4, 2)) if self.running in _UPDATED else ()

    def infer(
        self,
        x: TensorType,
        gamma: TensorType | None,
        beta: TensorType | None,
        mean: TensorType,
        variance: TensorType,
        row_mask: TensorType | None = None,
        mask: TensorType | None = None,
    ) -> tuple[TensorType, ...]:
        vectors = (gamma, beta, mean, variance)
        _check(self.axis, x, list(zip(_ROLES[1:5], vectors, strict=True)))
        if row_mask is not None and (row_mask.rank != 1 or row_mask.dtype != "bool"):
            raise ShapeError(f"row_mask: expected bool[batch], received {row_mask}")
        if mask is not None and (mask.rank != x.rank or mask.dtype != "bool"):
            raise ShapeError(f"mask: expected bool of rank {x.rank}, received {mask}")
        if mask is not None:
            broadcast_shapes([x.shape, mask.shape])
        return x, mean, variance

    def lower(
        self,
        x: Array,
        gamma: Array | None,
        beta: Array | None,
        mean: Array,
        variance: Array,
        row_mask: Array | None = None,
        mask: Array | None = None,
    ) -> tuple[Array, Array, Array]:
        axes = tuple(axis for axis in range(x.ndim) if axis != self.axis)
        exact = x.astype(sum_dtype(mean.dtype)) if x.dtype.itemsize < 4 else x
        valid = mask
        if row_mask is not None:
            rows = _along(row_mask, 0, x.ndim)
            valid = rows if mask is None else rows & mask
        count = _count(exact, valid, axes)
        weigh = exact if valid is None else jnp.where(valid, exact, 0)
        batch_mean = jnp.sum(weigh, axes) / count
        centred = exact - _along(batch_mean, self.axis, x.ndim)
        weigh = centred if valid is None else jnp.where(valid, centred, 0)
        batch_variance = jnp.sum(weigh * weigh, axes) / count
        scale = jax.lax.rsqrt(batch_variance + self.epsilon)
        if gamma is not None:
            scale = scale * gamma.astype(scale.dtype)
        y = centred * _along(scale, self.axis, x.ndim)
        if beta is not None:
            y = y + _along(beta.astype(y.dtype), self.axis, x.ndim)
        if self.running not in _UPDATED:
            return y.astype(x.dtype), mean, variance
        old = jax.lax.stop_gradient((batch_mean, batch_variance))
        rest = 1.0 - self.momentum
        new_mean = mean * self.momentum + old[0].astype(mean.dtype) * rest
        new_variance = variance * self.momentum + old[1].astype(variance.dtype) * rest
        return y.astype(x.dtype), new_mean, new_variance

    def to_inference(self) -> Becomes | None:
        if self.running == "unused":
            return None
        return self._kept("unused") if self.running == "unread" else self._inferring()

    def to_always(self) -> Op | None:
        batch = "unread" if self.running in _UPDATED else "unused"
        return self if batch == self.running else replace(self, running=batch)

    def to_frozen(self) -> Becomes | None:
        if self.running == "unused":
            return None
        if self.frozen == "infer":
            return self._inferring()
        if self.frozen == "keep":
            return self._kept("unused" if self.running == "unread" else "keep")
        return None

    def _inferring(self) -> Becomes:
        op = BatchNormInference(self.axis, self.epsilon)
        return Becomes(op, (0, 1, 2, 3, 4), (Result(), Same(3), Same(4)))

    def _kept(self, running: str) -> Becomes:
        """By the batch's statistics, the running ones as they are."""
        op = replace(self, running=running)
        return Becomes(op, tuple(range(len(_ROLES))), (Result(), Same(3), Same(4)))

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        layouts = _layouts(self.axis, layout, types)
        if layouts is None:
            return None
        op = replace(self, axis=layout.physical_axis(self.axis))
        vector = layout.of_axis(self.axis)
        return Permuted(op, layouts, (layout, vector, vector))

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return 8 * Op.flops(self, operands, results[:1])


@register_op("batch_norm_inference", roles=_ROLES[:5])
class BatchNormInference(Op, ChannelAffine, KeepsPrecision):
    """Normalize by given statistics: (x - mean) * rsqrt(variance + e) * gamma + beta.

    Shapes:
        x: (n, …, c, …)   gamma, beta, mean, variance: (c,)  ->  (n, …, c, …)
    """

    axis: int
    epsilon: float = 1e-3

    def infer(
        self,
        x: TensorType,
        gamma: TensorType | None,
        beta: TensorType | None,
        mean: TensorType,
        variance: TensorType,
    ) -> TensorType:
        vectors = (gamma, beta, mean, variance)
        _check(self.axis, x, list(zip(_ROLES[1:5], vectors, strict=True)))
        return x

    def lower(
        self,
        x: Array,
        gamma: Array | None,
        beta: Array | None,
        mean: Array,
        variance: Array,
    ) -> Array:
        scale = jax.lax.rsqrt(variance + self.epsilon)
        if gamma is not None:
            scale = scale * gamma

        def along(vector: Array) -> Array:
            shaped = _along(vector, self.axis, x.ndim).astype(x.dtype)
            return spread(shaped, x.shape)

        y = (x - along(mean)) * along(scale)
        return y if beta is None else y + along(beta)

    def scale_and_shift(self, emit: Emit, operands: Sequence[Any]) -> tuple[Any, Any]:
        _, gamma, beta, mean, variance = operands
        scale = emit(Rsqrt(self.epsilon), variance)
        if gamma is not None:
            scale = emit(Multiply(), scale, gamma)
        moved = emit(Multiply(), mean, scale)
        if beta is None:
            return scale, emit(Negate(), moved)
        return scale, emit(Subtract(), beta, moved)

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        layouts = _layouts(self.axis, layout, types)
        if layouts is None:
            return None
        op = BatchNormInference(layout.physical_axis(self.axis), self.epsilon)
        return Permuted(op, layouts, (layout,))

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return 2 * Op.flops(self, operands, results)


def _axis(value: Any) -> int:
    """An int, or the one-element list that some files hold."""
    items = sequence_of(value)
    return integer(items[0] if items is not None and len(items) == 1 else value)


def _mode(value: Any) -> int:
    """One of Keras 1's modes."""
    found = integer(value)
    if found not in (0, 1, 2):
        raise Unfit("0, 1 or 2")
    return found


@LAYERS.register("BatchNormalization")
class BatchNormalization(Layer):
    """Normalize each channel, by the batch in training and by running statistics else.

    Shapes:
        x: (n, …, c, …)   gamma, beta, moving_mean, moving_variance: (c,)
        ->  (n, …, c, …)

    Args:
        axis: The channel axis.
        momentum: Of the running statistics.
        epsilon: Added to the variance.
        center: Whether beta is added.
        scale: Whether gamma multiplies.
        frozen: What a frozen layer does in training: "infer" uses the running
            statistics (tf.keras, Keras 3), "keep" the batch's without updating
            (Keras 2.1.3 to 2.3), "update" trains on (Keras 2.0).
        mode: 0 for what is said above. 1 normalizes each row of a matrix by itself:
            (x - mean) / (s + epsilon) * gamma + beta, s = sqrt(variance + epsilon).
            2 uses the batch's statistics always. Both leave the running ones as they
            are (Keras 1).
        masked: Whether what the input's mask leaves out is left out of the batch's
            statistics too (Keras 3); before, it counted.
    """

    carries_mask = True
    casts_integers = True
    renamed = {
        "beta_init": "beta_initializer",
        "gamma_init": "gamma_initializer",
    }

    axis: int = arg(default=-1, converter=_axis)
    momentum: float = arg(default=0.99, converter=fraction)
    epsilon: float = arg(default=1e-3, converter=number)
    center: bool = arg(default=True, converter=boolean)
    scale: bool = arg(default=True, converter=boolean)
    beta_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
    gamma_initializer: Initializer = arg(default="ones", converter=weights.initializer)
    moving_mean_initializer: Initializer = arg(
        default="zeros", converter=weights.initializer
    )
    moving_variance_initializer: Initializer = arg(
        default="ones", converter=weights.initializer
    )
    beta_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    gamma_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    beta_constraint: Constraint | None = arg(default=None, converter=weights.constraint)
    gamma_constraint: Constraint | None = arg(
        default=None, converter=weights.constraint
    )
    frozen: str = arg(
        default="infer",
        converter=choice("infer", "keep", "update"),
        kw_only=True,
        ours=True,
    )
    mode: int = arg(default=0, converter=_mode, kw_only=True, ours=True)
    masked: bool = arg(default=True, converter=boolean, kw_only=True, ours=True)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_least_rank(x, 2)
        axis = self._channel_axis(emitter, x)
        shape = (emitter.known_dim(x, axis, "the channel axis"),)
        gamma, beta = weights.gamma_and_beta(
            emitter, self, shape, self.scale, self.center
        )
        mean = emitter.state("moving_mean", shape, self.moving_mean_initializer)
        variance = emitter.state(
            "moving_variance", shape, self.moving_variance_initializer
        )
        if self.mode == 1:
            own = LayerNorm((axis,), self.epsilon, outer_epsilon=self.epsilon)
            return emitter(own, x, gamma, beta)
        running = "update" if self.mode == 0 else "unused"
        op = BatchNorm(axis, self.momentum, self.epsilon, self.frozen, running)
        mask = self._counted(emitter, x)
        operands = (x, gamma, beta, mean, variance, None, mask)
        y, new_mean, new_variance = emitter.node(op, *operands)
        if self.mode == 0:
            emitter.update("moving_mean", new_mean)
            emitter.update("moving_variance", new_variance)
        return y

    def _channel_axis(self, emitter: Emitter, x: Value) -> int:
        emitter.check_least_rank(x, 2)
        axis = emitter.axis(x, self.axis)
        if axis == 0:
            self.refuse("axis", "an axis other than the batch", self.axis)
        if self.mode == 1 and emitter.type_of(x).rank != 2:
            received = f"mode 1 takes inputs of rank 2, received {emitter.type_of(x)}"
            raise ShapeError(f"{emitter.title}: {received}")
        return axis

    def _counted(self, emitter: Emitter, x: Value) -> Value | None:
        """The input's mask, as the statistics use it: of the input's rank."""
        mask = emitter.masks[0] if emitter.masks and self.masked else None
        if mask is None:
            return None
        missing = emitter.type_of(x).rank - emitter.type_of(mask).rank
        if missing <= 0:
            return mask
        kept = emitter.type_of(mask).rank
        return emitter(Reshape((1,) * missing, keep=kept), mask)
