"""Activation functions as layers: Activation, ReLU and its kin, ELU, Softmax."""

from __future__ import annotations

from graphjit import activations
from graphjit.activations import Activation as ActivationFunction
from graphjit.capture.arguments import arg, integer, number, optional
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.ir import Value
from graphjit.ops.elementwise import Elu, Relu, ThresholdedRelu
from graphjit.ops.reduce import Softmax as SoftmaxOp

__all__ = ["ELU", "Activation", "LeakyReLU", "ReLU", "Softmax", "ThresholdedReLU"]


@LAYERS.register("Activation")
class Activation(Layer):
    """An activation function as a layer.

    Shapes:
        x: (...)  ->  (...)

    Args:
        activation: Name or function.
    """

    carries_mask = True
    casts_integers = True

    activation: ActivationFunction = arg(converter=activations.get)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return self.activation.emit(emitter, x)


@LAYERS.register("ReLU")
class ReLU(Layer):
    """Rectified linear unit with its three bends.

    Shapes:
        x: (...)  ->  (...)
        max_value for x >= max_value; x for threshold <= x < max_value;
        negative_slope * (x - threshold) below.

    Args:
        max_value: Upper bound; None for none.
        negative_slope: Slope below the threshold.
        threshold: Where the line below ends.
    """

    carries_mask = True
    casts_integers = True

    max_value: float | None = arg(default=None, converter=optional(number))
    negative_slope: float = arg(default=0.0, converter=number)
    threshold: float = arg(default=0.0, converter=number)

    def check(self) -> None:
        if self.max_value is not None and self.max_value < 0:
            self.refuse("max_value", "a number >= 0", self.max_value)
        if self.negative_slope < 0:
            self.refuse("negative_slope", "a number >= 0", self.negative_slope)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return emitter(Relu(self.negative_slope, self.max_value, self.threshold), x)


@LAYERS.register("LeakyReLU")
class LeakyReLU(Layer):
    """x for x >= 0, alpha * x below.

    Shapes:
        x: (...)  ->  (...)

    Args:
        alpha: Slope below 0.
        negative_slope: The same under its Keras 3 name, in place of alpha.
    """

    carries_mask = True
    casts_integers = True

    alpha: float = arg(default=0.3, converter=number)
    negative_slope: float | None = arg(
        default=None, converter=optional(number), kw_only=True, ours=True
    )

    def check(self) -> None:
        if self.negative_slope is not None:
            if self.alpha not in (self.negative_slope, 0.3):
                self.refuse("negative_slope", "alpha or it, not both", self.alpha)
            object.__setattr__(self, "alpha", self.negative_slope)
            object.__setattr__(self, "negative_slope", None)
        if self.alpha < 0:
            self.refuse("alpha", "a number >= 0", self.alpha)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return emitter(Relu(self.alpha), x)


@LAYERS.register("ELU")
class ELU(Layer):
    """x for x >= 0, alpha * (exp(x) - 1) below (arXiv:1511.07289).

    Shapes:
        x: (...)  ->  (...)

    Args:
        alpha: The limit far below 0, negated.
    """

    carries_mask = True
    casts_integers = True

    alpha: float = arg(default=1.0, converter=number)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return emitter(Elu(self.alpha), x)


@LAYERS.register("ThresholdedReLU")
class ThresholdedReLU(Layer):
    """x for x > theta, 0 for all others, theta itself among them (arXiv:1402.3337).

    Shapes:
        x: (...)  ->  (...)

    Args:
        theta: The threshold.
    """

    carries_mask = True
    casts_integers = True

    theta: float = arg(default=1.0, converter=number)

    def check(self) -> None:
        if self.theta < 0:
            self.refuse("theta", "a number >= 0", self.theta)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return emitter(ThresholdedRelu(self.theta), x)


@LAYERS.register("Softmax")
class Softmax(Layer):
    """exp(x) / sum(exp(x)) along an axis.

    Shapes:
        x: (...)  ->  (...)

    Args:
        axis: The axis that sums to one.
    """

    carries_mask = True
    casts_integers = True

    axis: int = arg(default=-1, converter=integer)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return emitter(SoftmaxOp(emitter.axis(x, self.axis)), x)
