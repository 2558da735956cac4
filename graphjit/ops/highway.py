"""Highway: a dense layer whose input goes by it, as far as a learned gate says."""

from __future__ import annotations

from graphjit import activations
from graphjit.activations import Activation
from graphjit.capture.arguments import arg, boolean
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.ops import elementwise as ew
from graphjit.ops import weights
from graphjit.ops.dense import DenseOp
from graphjit.regularizers import Regularizer

__all__ = ["Highway"]


@LAYERS.register("Highway")
class Highway(Layer):
    """t * activation(x @ kernel + bias) + (1 - t) * x (arXiv:1505.00387).

    The gate is t = sigmoid(x @ gate_kernel + gate_bias). Source: Keras 1.2.2.

    Shapes:
        x: (n, c)   kernel, gate_kernel: (c, c)   bias, gate_bias: (c,)  ->  (n, c)

    Args:
        activation: Name or function; None for none.
        use_bias: Whether both have a bias.
        kernel_initializer: Of both kernels.
        bias_initializer: Of the bias.
        gate_bias_initializer: Of the gate's bias.
        kernel_regularizer: Penalty on the kernel, not on the gate's.
        bias_regularizer: Penalty on the bias, not on the gate's.
        activity_regularizer: Penalty on the output.
        kernel_constraint: Projection of the kernel after each update.
        bias_constraint: Projection of the bias after each update.

    >>> import graphjit as gj
    >>> Highway(activation="relu")(gj.Input((16,))).shape
    (None, 16)
    """

    casts_integers = True
    renamed = {
        "init": "kernel_initializer",
        "bias": "use_bias",
        "W_regularizer": "kernel_regularizer",
        "b_regularizer": "bias_regularizer",
        "W_constraint": "kernel_constraint",
        "b_constraint": "bias_constraint",
    }

    activation: Activation = arg(default=None, converter=activations.get)
    use_bias: bool = arg(default=True, converter=boolean)
    kernel_initializer: Initializer = arg(
        default="glorot_uniform", converter=weights.initializer
    )
    bias_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
    gate_bias_initializer: Initializer = arg(
        default="ones", converter=weights.initializer
    )
    kernel_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    bias_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    activity_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    kernel_constraint: Constraint | None = arg(
        default=None, converter=weights.constraint
    )
    bias_constraint: Constraint | None = arg(default=None, converter=weights.constraint)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, 2)
        channels = emitter.known_dim(x, 1, "the last axis")
        # In Keras 1's order: both kernels, then both biases.
        kernel = weights.kernel_of(emitter, self, (channels, channels))
        gate_kernel = emitter.param(
            "gate_kernel", (channels, channels), self.kernel_initializer
        )
        bias = weights.bias_of(emitter, self, channels)
        gate_bias = None
        if self.use_bias:
            gate_bias = emitter.param(
                "gate_bias", (channels,), self.gate_bias_initializer
            )
        logits = emitter(DenseOp(), x, gate_kernel, gate_bias, name="gate")
        gate = emitter(ew.Sigmoid(), logits)
        y = self.activation.emit(emitter, emitter(DenseOp(), x, kernel, bias))
        return emitter(
            ew.Add(), x, emitter(ew.Multiply(), gate, emitter(ew.Subtract(), y, x))
        )
