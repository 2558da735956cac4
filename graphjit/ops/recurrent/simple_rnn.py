"""SimpleRNN and its cell."""

from __future__ import annotations

from graphjit.activations import Activation
from graphjit.capture.arguments import arg, integer, optional, size
from graphjit.capture.layer import LAYERS
from graphjit.constraints import Constraint
from graphjit.initializers import Initializer
from graphjit.ops.recurrent.cell_ops import SimpleRNNCellOp
from graphjit.ops.recurrent.gated import GatedCell, GatedLayer
from graphjit.ops.recurrent.sequence_ops import SimpleRNNOp
from graphjit.ops.recurrent.settings import (
    RENAMED,
    flag,
    function,
    initial,
    penalty,
    projection,
    rate,
)
from graphjit.regularizers import Regularizer

__all__ = ["SimpleRNN", "SimpleRNNCell"]


@LAYERS.register("SimpleRNNCell")
class SimpleRNNCell(GatedCell):
    """One step of `SimpleRNN`, for `RNN`; arguments as there.

    Shapes:
        x: (n, c)   h: (n, units)  ->  output: (n, units)   h: (n, units)
    """

    op = SimpleRNNCellOp
    renamed = RENAMED

    units: int = arg(converter=size)
    activation: Activation = function("tanh")
    use_bias: bool = flag(True)
    kernel_initializer: Initializer = initial("glorot_uniform")
    recurrent_initializer: Initializer = initial("orthogonal")
    bias_initializer: Initializer = initial("zeros")
    kernel_regularizer: Regularizer | None = penalty()
    recurrent_regularizer: Regularizer | None = penalty()
    bias_regularizer: Regularizer | None = penalty()
    kernel_constraint: Constraint | None = projection()
    recurrent_constraint: Constraint | None = projection()
    bias_constraint: Constraint | None = projection()
    dropout: float = rate()
    recurrent_dropout: float = rate()
    seed: int | None = arg(default=None, converter=optional(integer))


@LAYERS.register("SimpleRNN")
class SimpleRNN(GatedLayer):
    """h = activation(x W + b + h U) over a sequence.

    Shapes:
        x: (n, t, c)   kernel: (c, units)   recurrent_kernel: (units, units)
        bias: (units,)   mask: bool (n, t)   initial_state: (n, units)
        ->  (n, units), or (n, t, units) with return_sequences; and with return_state
        h: (n, units)

    Args:
        units: Size of the state, which is the output.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        kernel_initializer: Of the kernel.
        recurrent_initializer: Of the recurrent kernel.
        bias_initializer: Of the bias.
        kernel_regularizer: Penalty on the kernel.
        recurrent_regularizer: Penalty on the recurrent kernel.
        bias_regularizer: Penalty on the bias.
        activity_regularizer: Penalty on the output.
        kernel_constraint: Projection of the kernel after each update.
        recurrent_constraint: Projection of the recurrent kernel after each update.
        bias_constraint: Projection of the bias after each update.
        dropout: Fraction of the input dropped, the same at every step.
        recurrent_dropout: Fraction of the state dropped, the same at every step.
        seed: Mixed into the caller's key for dropout; None for 0.

    The other arguments are those of `RecurrentLayer`.

    >>> import graphjit as gj
    >>> x = gj.Input((10, 64))
    >>> SimpleRNN(32)(x).shape, SimpleRNN(32, return_sequences=True)(x).shape
    ((None, 32), (None, 10, 32))
    """

    op = SimpleRNNOp
    renamed = RENAMED

    units: int = arg(converter=size)
    activation: Activation = function("tanh")
    use_bias: bool = flag(True)
    kernel_initializer: Initializer = initial("glorot_uniform")
    recurrent_initializer: Initializer = initial("orthogonal")
    bias_initializer: Initializer = initial("zeros")
    kernel_regularizer: Regularizer | None = penalty()
    recurrent_regularizer: Regularizer | None = penalty()
    bias_regularizer: Regularizer | None = penalty()
    activity_regularizer: Regularizer | None = penalty()
    kernel_constraint: Constraint | None = projection()
    recurrent_constraint: Constraint | None = projection()
    bias_constraint: Constraint | None = projection()
    dropout: float = rate()
    recurrent_dropout: float = rate()
    seed: int | None = arg(default=None, converter=optional(integer), kw_only=True)
