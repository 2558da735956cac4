"""ConvLSTM1D, ConvLSTM2D and ConvLSTM3D: an LSTM whose products are convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphjit.activations import Activation
from graphjit.capture.arguments import arg, integer, ints, optional, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS
from graphjit.capture.loop import LoopEmitter
from graphjit.constraints import Constraint
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.layout import invert
from graphjit.ops import weights
from graphjit.ops.conv.arguments import (
    check_strides,
    op_dilation,
    op_padding,
    padding,
    windows_of,
)
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.dropout import DropoutOp
from graphjit.ops.elementwise import Add
from graphjit.ops.image import data_format
from graphjit.ops.recurrent.cell_ops import LSTMGates
from graphjit.ops.recurrent.dropouts import drops, scaled_mask
from graphjit.ops.recurrent.forget_bias import ForgetBias
from graphjit.ops.recurrent.recurrent_layer import RecurrentLayer
from graphjit.ops.recurrent.rows import Drop, FillRows, FoldTime, UnfoldTime
from graphjit.ops.recurrent.settings import (
    RENAMED_CONV,
    flag,
    function,
    initial,
    penalty,
    projection,
    rate,
)
from graphjit.ops.recurrent.time_loop import StepWriter, TimeLoop, zero_states
from graphjit.ops.shape import Transpose
from graphjit.ops.windows import Padding, output_length
from graphjit.regularizers import Regularizer
from graphjit.types import BATCH, TensorType

__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"]


def state_padding(rank: int) -> Any:
    """What the convolution of the state pads; no Keras has the argument."""
    return arg(default="same", converter=padding(rank), kw_only=True, ours=True)


class _ConvLSTM(RecurrentLayer):
    """A convolutional LSTM. What depends on the rank is here as ConvLSTM2D has it."""

    renamed = RENAMED_CONV
    rank: ClassVar[int | None] = 5

    filters: int = arg(converter=size)
    kernel_size: tuple[int, ...] = arg(converter=ints(2))
    strides: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
    padding: Padding = arg(default="valid", converter=padding(2))
    data_format: str = arg(default=None, converter=data_format)
    dilation_rate: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
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
    seed: int | None = arg(default=None, converter=optional(integer), kw_only=True)
    recurrent_padding: Padding = state_padding(2)

    def check(self) -> None:
        check_strides(self, self.strides, self.dilation_rate)

    @property
    def _windows(self) -> tuple[int, ...]:
        return windows_of(self.kernel_size, self.dilation_rate)

    def state_shapes(self, emitter: Emitter, x: Value) -> list[tuple[int, ...]]:
        lengths, channels = self._lengths(emitter, x), (self.filters,)
        first = self.data_format == "channels_first"
        return [channels + lengths if first else lengths + channels] * 2

    def _lengths(self, emitter: Emitter, x: Value) -> tuple[int, ...]:
        """The spatial size of a state."""
        pads = op_padding(self.padding, self._windows)
        before = 3 if self.data_format == "channels_first" else 2
        lengths: list[int] = []
        for at, window in enumerate(self._windows):
            length = emitter.known_dim(x, before + at, f"spatial axis {at}")
            pad = pads if isinstance(pads, str) else pads[at]
            found = output_length(length, window, self.strides[at], pad)
            assert isinstance(found, int)
            lengths.append(found)
        return tuple(lengths)

    def run(
        self,
        emitter: Emitter,
        x: Value,
        start: Sequence[Value] | None,
        mask: Value | None,
        **more: Any,
    ) -> tuple[Value, Sequence[Value]]:
        shape = (*self._lengths(emitter, x), self.filters)
        x = self._inward(emitter, x, 2)
        if start is None:
            start = zero_states(emitter, x, [shape] * 2, emitter.dtype)
        else:
            start = [self._inward(emitter, state, 1) for state in start]
        z = self._projected(emitter, x)
        loop = TimeLoop(
            emitter,
            self._writer(emitter, x, shape),
            z,
            start,
            mask,
            self.masked,
            self.go_backwards,
            self.return_sequences,
        )
        y, states = loop.write()
        y = self._outward(emitter, y, 2 if self.return_sequences else 1)
        return y, [self._outward(emitter, state, 1) for state in states]

    def _projected(self, emitter: Emitter, x: Value) -> Value:
        """The convolution of the input, for all steps at once."""
        settings: Any = self
        channels = emitter.known_dim(x, -1, "the channel axis")
        shape = (*self.kernel_size, channels, 4 * self.filters)
        kernel = weights.kernel_of(emitter, self, shape)
        # Declared here, between kernel and bias, as Keras has them.
        self._recurrent_kernel(emitter)
        first = settings.bias_initializer
        if self.unit_forget_bias:
            first = ForgetBias(rest=first)
        bias = None
        if self.use_bias:
            bias = emitter.param(
                "bias",
                (4 * self.filters,),
                first,
                self.bias_regularizer,
                self.bias_constraint,
            )
        if drops(self.dropout):
            # One draw for all steps.
            shared = (None, 1, *[None] * (emitter.type_of(x).rank - 2))
            x = emitter(DropoutOp(self.dropout, self.seed or 0, shared), x)
        op = ConvOp(
            self.strides,
            op_padding(self.padding, self._windows),
            op_dilation(self.dilation_rate),
        )
        like = emitter(FillRows((), 0.0, "bool", keep=2), x)
        folded = emitter(op, emitter(FoldTime(), x), kernel, bias)
        return emitter(UnfoldTime(), folded, like)

    def _recurrent_kernel(self, emitter: Emitter) -> Value:
        return emitter.param(
            "recurrent_kernel",
            (*self.kernel_size, self.filters, 4 * self.filters),
            self.recurrent_initializer,
            self.recurrent_regularizer,
            self.recurrent_constraint,
        )

    def _writer(
        self, emitter: Emitter, rows: Value, shape: tuple[int, ...]
    ) -> StepWriter:
        kernel = self._recurrent_kernel(emitter)
        rate = self.recurrent_dropout
        dropped = scaled_mask(emitter, rows, shape, rate, self.seed)
        state = TensorType((BATCH, *shape), emitter.dtype)
        gates = LSTMGates(
            self.activation.build(state), self.recurrent_activation.build(state)
        )
        pads = op_padding(self.recurrent_padding, self.kernel_size)
        again = ConvOp((1,) * len(self.kernel_size), pads)

        def step(
            body: LoopEmitter, z: Value, states: Sequence[Value]
        ) -> tuple[Value, Sequence[Value]]:
            h, c = states
            if dropped is not None:
                h = body(Drop(), h, body.outer(dropped))
            total = body(Add(), z, body(again, h, body.outer(kernel)))
            new = body.node(gates, total, c)
            return new[0], new

        return step

    def _inward(self, emitter: Emitter, x: Value, before: int) -> Value:
        """Channels last; `before` axes stand in front of an image's."""
        if self.data_format == "channels_last":
            return x
        return emitter(Transpose(_moved(emitter.type_of(x).rank, before)), x)

    def _outward(self, emitter: Emitter, x: Value, before: int) -> Value:
        """The layer's own format again."""
        if self.data_format == "channels_last":
            return x
        return emitter(Transpose(invert(_moved(emitter.type_of(x).rank, before))), x)


def _moved(rank: int, before: int) -> tuple[int, ...]:
    return (*range(before), *range(before + 1, rank), before)


@LAYERS.register("ConvLSTM1D")
class ConvLSTM1D(_ConvLSTM):
    """A convolutional LSTM over sequences of rows; see `ConvLSTM2D`.

    Shapes:
        x: (n, t, w, c), or (n, t, c, w) for channels_first
        ->  (n, w', filters), or (n, t, w', filters) with return_sequences

    Args:
        filters: Number of output channels.
        kernel_size: An int; so are strides and dilation_rate.
    """

    rank = 4

    kernel_size: tuple[int, ...] = arg(converter=ints(1))
    strides: tuple[int, ...] = arg(default=1, converter=ints(1))
    padding: Padding = arg(default="valid", converter=padding(1))
    dilation_rate: tuple[int, ...] = arg(default=1, converter=ints(1))
    recurrent_padding: Padding = state_padding(1)


@LAYERS.register("ConvLSTM2D")
class ConvLSTM2D(_ConvLSTM):
    """An LSTM whose products are convolutions (arXiv:1506.04214, without peepholes).

    The convolution of the state has stride 1 and pads "same". The input's is made
    once, for all steps. One mask of dropout is drawn for a sequence, which all gates
    share.

    Shapes:
        x: (n, t, h, w, c), or (n, t, c, h, w) for channels_first
        kernel: (kh, kw, c, 4 * filters)   bias: (4 * filters,); gates i f c o
        recurrent_kernel: (kh, kw, filters, 4 * filters)   mask: bool (n, t)
        ->  (n, h', w', filters), or (n, t, h', w', filters) with return_sequences; and
        with return_state h, c: (n, h', w', filters); h' as for Conv2D. Channels before
        h' for channels_first.

    Args:
        filters: Number of output channels.
        kernel_size: An int, or (kh, kw).
        strides: An int, or one per spatial axis.
        padding: "valid", "same", or the zeros before and after, a pair per axis.
        data_format: "channels_last", "channels_first", None for the configured one.
        dilation_rate: An int, or one per spatial axis; not with strides.
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
        seed: Mixed into the caller's key for dropout; None for 0.
        recurrent_padding: What the convolution of the state pads: "same", or the zeros
            before and after, a pair per axis (even kernels under Theano).

    The other arguments are those of `RecurrentLayer`.

    >>> import graphjit as gj
    >>> ConvLSTM2D(40, (3, 3), padding="same")(gj.Input((None, 8, 6, 1))).shape
    (None, 8, 6, 40)
    """


@LAYERS.register("ConvLSTM3D")
class ConvLSTM3D(_ConvLSTM):
    """A convolutional LSTM over sequences of volumes; see `ConvLSTM2D`.

    Shapes:
        x: (n, t, d, h, w, c), or (n, t, c, d, h, w) for channels_first
        ->  (n, d', h', w', filters), or (n, t, d', h', w', filters)

    Args:
        filters: Number of output channels.
        kernel_size: An int, or one per spatial axis.
    """

    rank = 6

    kernel_size: tuple[int, ...] = arg(converter=ints(3))
    strides: tuple[int, ...] = arg(default=(1, 1, 1), converter=ints(3))
    padding: Padding = arg(default="valid", converter=padding(3))
    dilation_rate: tuple[int, ...] = arg(default=(1, 1, 1), converter=ints(3))
    recurrent_padding: Padding = state_padding(3)
