"""Layers of residual branches, as the networks of `keras.applications` have them."""

from __future__ import annotations

from graphjit.capture.arguments import arg, fraction, number, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.initializers import Constant
from graphjit.ir import Value
from graphjit.ops.dropout import DropoutOp
from graphjit.ops.elementwise import Add, Multiply
from graphjit.ops.rescaling import Affine

__all__ = ["CustomScaleLayer", "LayerScale", "StochasticDepth"]


@LAYERS.register("LayerScale")
class LayerScale(Layer):
    """x times a weight for every channel (arXiv:2103.17239).

    Shapes:
        x: (..., c)   gamma: (c,)  ->  (..., c)

    Args:
        init_values: What the weights begin as.
        projection_dim: c.
    """

    carries_mask = True

    init_values: float = arg(converter=number)
    projection_dim: int = arg(converter=size)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        start = Constant(self.init_values)
        gamma = emitter.param("gamma", (self.projection_dim,), start)
        return emitter(Multiply(), x, gamma)


@LAYERS.register("CustomScaleLayer")
class CustomScaleLayer(Layer):
    """x + scale * y: the end of a block of InceptionResNetV2 (arXiv:1602.07261).

    Shapes:
        x, y: (…)  ->  (…)

    Args:
        scale: The factor.
    """

    scale: float = arg(converter=number)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        x, y = inputs
        return emitter(Add(), x, emitter(Affine((self.scale,)), y))


@LAYERS.register("StochasticDepth")
class StochasticDepth(Layer):
    """Zero whole rows in training, scale the others up (arXiv:1603.09382).

    Shapes:
        x: (n, …)  ->  (n, …)

    Args:
        drop_path_rate: The fraction dropped; kept ones are scaled by 1 / (1 - rate).
    """

    carries_mask = True

    drop_path_rate: float = arg(converter=fraction)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        if not 0 < self.drop_path_rate < 1:
            return x
        row = (None, *(1 for _ in emitter.type_of(x).shape[1:]))
        return emitter(DropoutOp(self.drop_path_rate, 0, row), x)
