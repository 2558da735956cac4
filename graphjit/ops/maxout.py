"""MaxoutDense: the largest of several dense layers, element by element."""

from __future__ import annotations

from graphjit.capture.arguments import arg, boolean, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.ops import weights
from graphjit.ops.einsum import EinsumOp
from graphjit.ops.reduce import ReduceMax
from graphjit.regularizers import Regularizer

__all__ = ["MaxoutDense"]


@LAYERS.register("MaxoutDense")
class MaxoutDense(Layer):
    """The maximum over k of x @ kernel[k] + bias[k] (arXiv:1302.4389).

    Source: Keras 1.2.2.

    Shapes:
        x: (n, c)   kernel: (nb_feature, c, units)   bias: (nb_feature, units)
        ->  (n, units)

    Args:
        units: Size of the output's last axis.
        nb_feature: Of how many dense layers the maximum is taken.
        use_bias: Whether a bias is added.
        kernel_initializer: Of the kernel.
        bias_initializer: Of the bias.
        kernel_regularizer: Penalty on the kernel.
        bias_regularizer: Penalty on the bias.
        activity_regularizer: Penalty on the output.
        kernel_constraint: Projection of the kernel after each update.
        bias_constraint: Projection of the bias after each update.

    >>> import graphjit as gj
    >>> MaxoutDense(8, nb_feature=3)(gj.Input((16,))).shape
    (None, 8)
    """

    casts_integers = True
    renamed = {
        "output_dim": "units",
        "init": "kernel_initializer",
        "bias": "use_bias",
        "W_regularizer": "kernel_regularizer",
        "b_regularizer": "bias_regularizer",
        "W_constraint": "kernel_constraint",
        "b_constraint": "bias_constraint",
    }

    units: int = arg(converter=size)
    nb_feature: int = arg(default=4, converter=size)
    use_bias: bool = arg(default=True, converter=boolean)
    kernel_initializer: Initializer = arg(
        default="glorot_uniform", converter=weights.initializer
    )
    bias_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
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
        features = (self.nb_feature, channels, self.units)
        kernel = weights.kernel_of(emitter, self, features)
        bias = None
        if self.use_bias:
            bias = emitter.param(
                "bias",
                (self.nb_feature, self.units),
                self.bias_initializer,
                self.bias_regularizer,
                self.bias_constraint,
            )
        each = emitter(EinsumOp("bi,fio->bfo"), x, kernel, bias)
        return emitter(ReduceMax((1,)), each)
