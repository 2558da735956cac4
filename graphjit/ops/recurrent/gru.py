"""GRU and its cell."""

from __future__ import annotations

from graphjit.activations import Activation
from graphjit.capture.arguments import arg, boolean, integer, optional, size
from graphjit.capture.layer import LAYERS
from graphjit.constraints import Constraint
from graphjit.initializers import Initializer
from graphjit.ops.recurrent.cell_ops import GRUCellOp
from graphjit.ops.recurrent.gated import GatedCell, GatedLayer
from graphjit.ops.recurrent.sequence_ops import GRUOp
from graphjit.ops.recurrent.settings import (
    RENAMED_GATED,
    flag,
    function,
    implementation,
    initial,
    penalty,
    projection,
    rate,
)
from graphjit.regularizers import Regularizer

__all__ = ["GRU", "GRUCell"]


@LAYERS.register("GRUCell")
class GRUCell(GatedCell):
    """One step of `GRU`, for `RNN`; arguments as there.

    Shapes:
        x: (n, c)   h: (n, units)  ->  output: (n, units)   h: (n, units)
    """

    op = GRUCellOp
    renamed = RENAMED_GATED

    units: int = arg(converter=size)
    activation: Activation = function("tanh")
    recurrent_activation: Activation = function("sigmoid")
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
    implementation: int = arg(default=2, converter=implementation)
    reset_after: bool = flag(True)
    seed: int | None = arg(default=None, converter=optional(integer), kw_only=True)


@LAYERS.register("GRU")
class GRU(GatedLayer):
    """The gated recurrent unit over a sequence (arXiv:1406.1078).

    z = r_act(x Wz + h Uz + bz), r likewise; h = z h + (1 - z) act(x Wh + bh + r (h Uh +
    b'h)), or with the reset gate before the product, act(x Wh + bh + (r h) Uh).

    Shapes:
        x: (n, t, c)   kernel: (c, 3 * units)   recurrent_kernel: (units, 3 * units)
        bias: (2, 3 * units) with reset_after, else (3 * units,); gates z r h
        mask: bool (n, t)   initial_state: (n, units)
        ->  (n, units), or (n, t, units) with return_sequences; and with return_state
        h: (n, units)

    Args:
        units: Size of the state, which is the output.
        activation: Of the candidate: name or function; None for none.
        recurrent_activation: Of the gates.
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
        implementation: With 0 and 1 dropout draws a mask for each gate, with 2 one that
            all share. Nothing else depends on it.
        reset_after: Whether the reset gate acts after the product with the recurrent
            kernel (as in Keras 3) or before it.
        seed: Mixed into the caller's key for dropout; None for 0.

    The other arguments are those of `RecurrentLayer`.

    >>> import graphjit as gj
    >>> gru = GRU(8, return_sequences=True, return_state=True)
    >>> [y.shape for y in gru(gj.Input((None, 3)))]
    [(None, None, 8), (None, 8)]
    """

    op = GRUOp
    renamed = RENAMED_GATED

    units: int = arg(converter=size)
    activation: Activation = function("tanh")
    recurrent_activation: Activation = function("sigmoid")
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
    implementation: int = arg(default=2, converter=implementation)
    reset_after: bool = arg(default=True, converter=boolean, kw_only=True)
    seed: int | None = arg(default=None, converter=optional(integer), kw_only=True)
