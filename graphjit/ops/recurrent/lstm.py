"""LSTM and its cell."""

from __future__ import annotations

from graphjit.activations import Activation
from graphjit.capture.arguments import arg, integer, optional, size
from graphjit.capture.layer import LAYERS
from graphjit.constraints import Constraint
from graphjit.initializers import Initializer
from graphjit.ops.recurrent.cell_ops import LSTMCellOp
from graphjit.ops.recurrent.gated import GatedCell, GatedLayer
from graphjit.ops.recurrent.sequence_ops import LSTMOp
from graphjit.ops.recurrent.settings import (
    RENAMED_LSTM,
    flag,
    function,
    implementation,
    initial,
    penalty,
    projection,
    rate,
)
from graphjit.regularizers import Regularizer

__all__ = ["LSTM", "LSTMCell"]


@LAYERS.register("LSTMCell")
class LSTMCell(GatedCell):
    """One step of `LSTM`, for `RNN`; arguments as there.

    Shapes:
        x: (n, c)   h, c: (n, units)  ->  output: (n, units)   h, c: (n, units)
    """

    op = LSTMCellOp
    renamed = RENAMED_LSTM

    units: int = arg(converter=size)
    activation: Activation = function("tanh")
    recurrent_activation: Activation = function("sigmoid")
    use_bias: bool = flag(True)
    kernel_initializer: Initializer = initial("glorot_uniform")
    recurrent_initializer: Initializer = initial("orthogonal")
    bias_initializer: Initializer = initial("zeros")
    unit_forget_bias: bool = flag(True)
    kernel_regularizer: Regularizer | None = penalty()
    recurrent_regularizer: Regularizer | None = penalty()
    bias_regularizer: Regularizer | None = penalty()
    kernel_constraint: Constraint | None = projection()
    recurrent_constraint: Constraint | None = projection()
    bias_constraint: Constraint | None = projection()
    dropout: float = rate()
    recurrent_dropout: float = rate()
    implementation: int = arg(default=2, converter=implementation)
    seed: int | None = arg(default=None, converter=optional(integer), kw_only=True)


@LAYERS.register("LSTM")
class LSTM(GatedLayer):
    """Long short-term memory over a sequence (Hochreiter and Schmidhuber, 1997).

    i, f, o = r_act(x W + h U + b); c = f c + i act(x Wc + h Uc + bc); h = o act(c).

    Shapes:
        x: (n, t, c)   kernel: (c, 4 * units)   recurrent_kernel: (units, 4 * units)
        bias: (4 * units,); gates i f c o   mask: bool (n, t)
        initial_state: h, c: (n, units)
        ->  (n, units), or (n, t, units) with return_sequences; and with return_state
        h, c: (n, units)

    Args:
        units: Size of both states; the output is h.
        activation: Name or function; None for none.
        recurrent_activation: Of the gates.
        use_bias: Whether a bias is added.
        kernel_initializer: Of the kernel.
        recurrent_initializer: Of the recurrent kernel.
        bias_initializer: Of the bias.
        unit_forget_bias: Whether the forget gate's bias begins with ones.
        kernel_regularizer: Penalty on the kernel.
        recurrent_regularizer: Penalty on the recurrent kernel.
        bias_regularizer: Penalty on the bias.
        activity_regularizer: Penalty on the output.
        kernel_constraint: Projection of the kernel after each update.
        recurrent_constraint: Projection of the recurrent kernel after each update.
        bias_constraint: Projection of the bias after each update.
        dropout: Fraction of the input dropped, the same at every step.
        recurrent_dropout: Fraction of the state dropped, the same at every step.
        implementation: With 0 and 1 dropout draws a mask for each gate, with 2 one that
            all share. Nothing else depends on it.
        seed: Mixed into the caller's key for dropout; None for 0.

    The other arguments are those of `RecurrentLayer`.

    >>> import graphjit as gj
    >>> x = gj.Input((10, 64))
    >>> LSTM(32)(x).shape, [y.shape for y in LSTM(32, return_state=True)(x)]
    ((None, 32), [(None, 32), (None, 32), (None, 32)])
    """

    op = LSTMOp
    renamed = RENAMED_LSTM

    units: int = arg(converter=size)
    activation: Activation = function("tanh")
    recurrent_activation: Activation = function("sigmoid")
    use_bias: bool = flag(True)
    kernel_initializer: Initializer = initial("glorot_uniform")
    recurrent_initializer: Initializer = initial("orthogonal")
    bias_initializer: Initializer = initial("zeros")
    unit_forget_bias: bool = flag(True)
    kernel_regularizer: Regularizer | None = penalty()
    recurrent_regularizer: Regularizer | None = penalty()
    bias_regularizer: Regularizer | None = penalty()
    activity_regularizer: Regularizer | None = penalty()
    kernel_constraint: Constraint | None = projection()
    recurrent_constraint: Constraint | None = projection()
    bias_constraint: Constraint | None = projection()
    dropout: float = rate()
    recurrent_dropout: float = rate()
    implementation: int = arg(default=2, converter=implementation)
    seed: int | None = arg(default=None, converter=optional(integer), kw_only=True)
