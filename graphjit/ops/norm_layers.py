"""LayerNormalization, GroupNormalization, RMSNormalization and UnitNormalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphjit.capture.arguments import Unfit, arg, boolean, integer, number
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.errors import ShapeError
from graphjit.initializers import Initializer, Ones
from graphjit.ir import Value
from graphjit.narrow import sequence_of
from graphjit.ops import weights
from graphjit.ops.norms import GroupNorm, LayerNorm, UnitNorm
from graphjit.regularizers import Regularizer

__all__ = [
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
]


def _axes(value: Any) -> int | tuple[int, ...]:
    """An int, or several."""
    items = sequence_of(value)
    try:
        if items is None:
            return integer(value)
        if items:
            return tuple(integer(item) for item in items)
    except Unfit:
        pass
    raise Unfit("an int, or a tuple of ints")


def _sample_axes(layer: Layer, emitter: Emitter, x: Value, axis: Any) -> list[int]:
    """The axes as a layer's argument gives them, from the front and in order."""
    given = (axis,) if isinstance(axis, int) else axis
    axes = sorted(emitter.axis(x, one) for one in given)
    if axes[0] == 0 or len(set(axes)) != len(axes):
        layer.refuse("axis", "different axes other than the batch", axis)
    return axes


def _dims(emitter: Emitter, x: Value, axes: Sequence[int]) -> list[int]:
    return [emitter.known_dim(x, axis, "a normalized axis") for axis in axes]


@LAYERS.register("LayerNormalization")
class LayerNormalization(Layer):
    """Normalize each sample over some of its axes, by its own mean and variance.

    Shapes:
        x: (n, …)   gamma, beta: the dims of x on `axis`  ->  (n, …)
        y = (x - mean) / sqrt(variance + epsilon) * gamma + beta.

    Args:
        axis: The axis or axes, in any order.
        epsilon: Added to the variance.
        center: Whether beta is added.
        scale: Whether gamma multiplies.
        beta_initializer: Of beta.
        gamma_initializer: Of gamma.
        beta_regularizer: Penalty on beta.
        gamma_regularizer: Penalty on gamma.
        beta_constraint: Projection of beta after each update.
        gamma_constraint: Projection of gamma after each update.
        rms_scaling: Divide by the deviation without subtracting the mean, and multiply
            by gamma alone, as an older Keras 3 did.
    """

    carries_mask = True
    casts_integers = True

    axis: int | tuple[int, ...] = arg(default=-1, converter=_axes)
    epsilon: float = arg(default=1e-3, converter=number)
    center: bool = arg(default=True, converter=boolean)
    scale: bool = arg(default=True, converter=boolean)
    beta_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
    gamma_initializer: Initializer = arg(default="ones", converter=weights.initializer)
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
    rms_scaling: bool = arg(default=False, converter=boolean, kw_only=True, ours=True)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_least_rank(x, 2)
        axes = _sample_axes(self, emitter, x, self.axis)
        gamma, beta = weights.gamma_and_beta(
            emitter,
            self,
            _dims(emitter, x, axes),
            self.scale or self.rms_scaling,
            self.center and not self.rms_scaling,
        )
        form = "scaled" if self.rms_scaling else "centred"
        return emitter(LayerNorm(tuple(axes), self.epsilon, form), x, gamma, beta)


@LAYERS.register("GroupNormalization")
class GroupNormalization(Layer):
    """Normalize each sample over its positions and groups of its channels.

    Shapes:
        x: (n, …, c, …)   gamma, beta: (c,)  ->  (n, …, c, …)

    Args:
        groups: Number of groups, a divisor of c; -1 for a group of each channel.
        axis: The channel axis.
        epsilon: Added to the variance.
        center: Whether beta is added.
        scale: Whether gamma multiplies.
        beta_initializer: Of beta.
        gamma_initializer: Of gamma.
        beta_regularizer: Penalty on beta.
        gamma_regularizer: Penalty on gamma.
        beta_constraint: Projection of beta after each update.
        gamma_constraint: Projection of gamma after each update.
    """

    carries_mask = True
    casts_integers = True

    groups: int = arg(default=32, converter=integer)
    axis: int = arg(default=-1, converter=integer)
    epsilon: float = arg(default=1e-3, converter=number)
    center: bool = arg(default=True, converter=boolean)
    scale: bool = arg(default=True, converter=boolean)
    beta_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
    gamma_initializer: Initializer = arg(default="ones", converter=weights.initializer)
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

    def check(self) -> None:
        if self.groups < 1 and self.groups != -1:
            self.refuse("groups", "an int >= 1, or -1", self.groups)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_least_rank(x, 2)
        (axis,) = _sample_axes(self, emitter, x, self.axis)
        channels = emitter.known_dim(x, axis, "the channel axis")
        groups = channels if self.groups == -1 else self.groups
        if channels % groups:
            raise ShapeError(
                f"{emitter.title}: groups: expected a divisor of the {channels} "
                f"channels (axis {axis}), received {groups}"
            )
        gamma, beta = weights.gamma_and_beta(
            emitter, self, (channels,), self.scale, self.center
        )
        return emitter(GroupNorm(groups, axis, self.epsilon), x, gamma, beta)


@LAYERS.register("RMSNormalization")
class RMSNormalization(Layer):
    """Divide each sample by the root of its mean square over some of its axes.

    Shapes:
        x: (n, …)   scale: the dims of x on `axis`  ->  (n, …)
        y = x / sqrt(mean(x²) + epsilon) * scale (arXiv:1910.07467).

    Args:
        axis: The axis or axes, in any order.
        epsilon: Added to the mean square.
    """

    carries_mask = True
    casts_integers = True

    axis: int | tuple[int, ...] = arg(default=-1, converter=_axes)
    epsilon: float = arg(default=1e-6, converter=number)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_least_rank(x, 2)
        axes = _sample_axes(self, emitter, x, self.axis)
        scale = emitter.param("scale", _dims(emitter, x, axes), Ones())
        return emitter(LayerNorm(tuple(axes), self.epsilon, "rms"), x, scale)


@LAYERS.register("UnitNormalization")
class UnitNormalization(Layer):
    """Scale each sample to length 1 over some of its axes.

    Shapes:
        x: (n, …)  ->  (n, …)
        y = x / sqrt(sum(x²)); zeros stay zeros.

    Args:
        axis: The axis or axes, in any order.
    """

    carries_mask = True
    casts_integers = True

    axis: int | tuple[int, ...] = arg(default=-1, converter=_axes)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        axes = _sample_axes(self, emitter, x, self.axis)
        return emitter(UnitNorm(tuple(axes)), x)
