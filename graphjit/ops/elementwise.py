"""Elementwise ops: the activation functions, and arithmetic with broadcasting.

Formulas are those of the Keras 1 and Keras 2 documents and sources; `hard_sigmoid` is
clip(0.2 x + 0.5, 0, 1), `hard_sigmoid_relu6` is the one of Keras 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.layout import Layout
from graphjit.ops.base import (
    Array,
    Elementwise,
    KeepsElements,
    Op,
    Permuted,
    register_op,
)
from graphjit.ops.precision import KeepsPrecision
from graphjit.ops.wide_sums import spread
from graphjit.types import DTYPE_BYTES, TensorType, broadcast_shapes

__all__ = [
    "Add",
    "AtLeast",
    "Average",
    "Cast",
    "Elu",
    "Exponential",
    "Gelu",
    "HardSigmoid",
    "HardSigmoidRelu6",
    "HardSilu",
    "Maximum",
    "Minimum",
    "Mish",
    "Multiply",
    "Negate",
    "Relu",
    "Rsqrt",
    "Selu",
    "Sigmoid",
    "Silu",
    "Softplus",
    "Softsign",
    "Subtract",
    "Tanh",
    "ThresholdedRelu",
]


class UnaryOp(Op, Elementwise):
    """An op on each element of one tensor.

    Shapes:
        x: (...)  ->  (...)
    """

    __slots__ = ()

    def infer(self, x: TensorType) -> TensorType:
        return x

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        return Permuted(self, (layout,), (layout,))


@register_op("relu")
class Relu(UnaryOp):
    """max_value where x >= max_value, x above threshold, else a line below it.

    f(x) = negative_slope * (x - threshold) for x < threshold. Source: Keras 2, ReLU.
    """

    negative_slope: float = 0.0
    max_value: float | None = None
    threshold: float = 0.0

    def lower(self, x: Array) -> Array:
        below = self.negative_slope * (x - self.threshold)
        if self.threshold == 0.0 and self.negative_slope == 0.0:
            y = jax.nn.relu(x)  # slope 0 at 0, as in Keras; maximum's is a half
        else:
            y = jnp.where(x >= self.threshold, x, below)
        if self.max_value is None:
            return y
        return jnp.where(y < self.max_value, y, jnp.asarray(self.max_value, y.dtype))


@register_op("thresholded_relu")
class ThresholdedRelu(UnaryOp):
    """x where x > theta, strictly; 0 otherwise (arXiv:1402.3337)."""

    theta: float = 1.0

    def lower(self, x: Array) -> Array:
        return jnp.where(x > self.theta, x, jnp.zeros((), x.dtype))


@register_op("elu")
class Elu(UnaryOp):
    """x for x > 0, alpha * (exp(x) - 1) otherwise (arXiv:1511.07289)."""

    alpha: float = 1.0

    def lower(self, x: Array) -> Array:
        # Not minimum(x, 0), whose slope at 0 is a half.
        return jnp.where(x > 0, x, self.alpha * jnp.expm1(jnp.where(x > 0, 0, x)))


@register_op("selu")
class Selu(UnaryOp):
    """scale * elu(x, alpha) with the self-normalizing constants (arXiv:1706.02515)."""

    alpha: ClassVar[float] = 1.6732632423543772
    scale: ClassVar[float] = 1.0507009873554805

    def lower(self, x: Array) -> Array:
        below = self.alpha * jnp.expm1(jnp.where(x > 0, 0, x))
        return self.scale * jnp.where(x > 0, x, below)


@register_op("sigmoid")
class Sigmoid(UnaryOp):
    """1 / (1 + exp(-x))."""

    def lower(self, x: Array) -> Array:
        return jax.nn.sigmoid(x)


@register_op("tanh")
class Tanh(UnaryOp):
    """Hyperbolic tangent."""

    def lower(self, x: Array) -> Array:
        return jnp.tanh(x)


@register_op("softplus")
class Softplus(UnaryOp):
    """log(1 + exp(x)), without overflow."""

    def lower(self, x: Array) -> Array:
        return jax.nn.softplus(x)


@register_op("softsign")
class Softsign(UnaryOp):
    """x / (1 + |x|)."""

    def lower(self, x: Array) -> Array:
        return x / (1 + jnp.abs(x))


@register_op("hard_sigmoid")
class HardSigmoid(UnaryOp):
    """clip(0.2 x + 0.5, 0, 1): Keras 1 and Keras 2."""

    def lower(self, x: Array) -> Array:
        return jnp.clip(0.2 * x + 0.5, 0, 1)


@register_op("hard_sigmoid_relu6")
class HardSigmoidRelu6(UnaryOp):
    """relu6(x + 3) / 6: what Keras 3 calls hard_sigmoid."""

    def lower(self, x: Array) -> Array:
        return jnp.clip(x + 3, 0, 6) / 6


@register_op("hard_silu")
class HardSilu(UnaryOp):
    """x * relu6(x + 3) / 6 (arXiv:1905.02244)."""

    def lower(self, x: Array) -> Array:
        return x * (jnp.clip(x + 3, 0, 6) / 6)


@register_op("exponential")
class Exponential(UnaryOp):
    """exp(x)."""

    def lower(self, x: Array) -> Array:
        return jnp.exp(x)


@register_op("silu")
class Silu(UnaryOp):
    """x * sigmoid(x), also called swish (arXiv:1710.05941)."""

    def lower(self, x: Array) -> Array:
        return jax.nn.silu(x)


@register_op("gelu")
class Gelu(UnaryOp):
    """x * P(X <= x) for X ~ N(0, 1), exact or by tanh (arXiv:1606.08415)."""

    approximate: bool = False

    def lower(self, x: Array) -> Array:
        return jax.nn.gelu(x, approximate=self.approximate)


@register_op("mish")
class Mish(UnaryOp):
    """x * tanh(softplus(x)) (arXiv:1908.08681)."""

    def lower(self, x: Array) -> Array:
        return x * jnp.tanh(jax.nn.softplus(x))


@register_op("rsqrt")
class Rsqrt(UnaryOp, KeepsPrecision):
    """1 / sqrt(x + epsilon)."""

    epsilon: float = 0.0

    def lower(self, x: Array) -> Array:
        return jax.lax.rsqrt(x + self.epsilon)


@register_op("at_least")
class AtLeast(UnaryOp):
    """max(x, bound)."""

    bound: float

    def lower(self, x: Array) -> Array:
        return jnp.maximum(x, jnp.asarray(self.bound, x.dtype))


@register_op("negate")
class Negate(UnaryOp):
    """-x."""

    def lower(self, x: Array) -> Array:
        return -x


@register_op("cast")
class Cast(UnaryOp, KeepsElements, KeepsPrecision):
    """The same values in another element type."""

    dtype: str = "float32"

    def infer(self, x: TensorType) -> TensorType:
        if self.dtype not in DTYPE_BYTES:
            raise ShapeError(f"expected a dtype, received {self.dtype!r}")
        return TensorType(x.shape, self.dtype)

    def lower(self, x: Array) -> Array:
        return x.astype(self.dtype)

    def is_identity(self, types: Sequence[TensorType | None]) -> bool:
        return types[0] is not None and types[0].dtype == self.dtype


class BroadcastOp(Op, Elementwise):
    """An op on the matching elements of several tensors, with broadcasting.

    Shapes:
        x0, x1, …: broadcastable to (...)  ->  (...)
    """

    __slots__ = ()

    def infer(self, *xs: TensorType | None) -> TensorType:
        types = [x for x in xs if x is not None]
        if len(types) != len(xs) or not types:
            raise ShapeError(f"expected every operand, received {len(types)}")
        dtype = types[0].dtype
        if any(x.dtype != dtype for x in types):
            found = ", ".join(x.dtype for x in types)
            raise ShapeError(f"expected one dtype, received {found}")
        try:
            shape = broadcast_shapes([x.shape for x in types])
        except ShapeError as error:
            message = f"shapes do not broadcast: {error.message}"
            raise ShapeError(message) from None
        return types[0] if shape == types[0].shape else TensorType(shape, dtype)

    def spread(self, xs: Sequence[Array]) -> list[Array]:
        """The operands, ready to be combined."""
        shape = jnp.broadcast_shapes(*(x.shape for x in xs))
        return [spread(x, shape) for x in xs]

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        ranks = {None if x is None else x.rank for x in types}
        if ranks != {len(layout.perm)}:
            return None
        if layout.inner and len({x.shape for x in types if x is not None}) > 1:
            return None
        return Permuted(self, (layout,) * len(types), (layout,))


@register_op("add", roles=("x*",))
class Add(BroadcastOp):
    """x0 + x1 + …"""

    def lower(self, *xs: Array) -> Array:
        total, *others = self.spread(xs)
        for x in others:
            total = total + x
        return total


@register_op("subtract", roles=("x", "y"))
class Subtract(BroadcastOp):
    """x - y."""

    def lower(self, x: Array, y: Array) -> Array:
        x, y = self.spread((x, y))
        return x - y


@register_op("multiply", roles=("x*",))
class Multiply(BroadcastOp):
    """x0 * x1 * …"""

    def lower(self, *xs: Array) -> Array:
        product, *others = self.spread(xs)
        for x in others:
            product = product * x
        return product


@register_op("average", roles=("x*",))
class Average(BroadcastOp):
    """(x0 + x1 + …) / count."""

    def lower(self, *xs: Array) -> Array:
        total, *others = self.spread(xs)
        for x in others:
            total = total + x
        return total / len(xs)


@register_op("maximum", roles=("x*",))
class Maximum(BroadcastOp):
    """The largest of x0, x1, …"""

    def lower(self, *xs: Array) -> Array:
        result, *others = self.spread(xs)
        for x in others:
            result = jnp.maximum(result, x)
        return result


@register_op("minimum", roles=("x*",))
class Minimum(BroadcastOp):
    """The smallest of x0, x1, …"""

    def lower(self, *xs: Array) -> Array:
        result, *others = self.spread(xs)
        for x in others:
            result = jnp.minimum(result, x)
        return result
