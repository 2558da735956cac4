"""RNN: any cell over a sequence; StackedRNNCells: several cells as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from graphjit.capture.arguments import Unfit, arg, boolean
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer, sublayer
from graphjit.capture.loop import LoopEmitter
from graphjit.errors import CaptureError
from graphjit.ir import Value
from graphjit.narrow import sequence_of
from graphjit.ops import weights
from graphjit.ops.recurrent.gated import Cell, Held
from graphjit.ops.recurrent.recurrent_layer import RecurrentLayer
from graphjit.ops.recurrent.time_loop import TimeLoop, zero_states
from graphjit.regularizers import Regularizer

__all__ = ["RNN", "StackedRNNCells"]

_T = TypeVar("_T")


def _one_cell(value: Any) -> Layer:
    """Reader of a cell: a layer with `state_size`, or its configuration."""
    layer = sublayer(value)
    if not hasattr(layer, "state_size"):
        raise Unfit("a cell: a layer with state_size")
    return layer


def _several_cells(value: Any) -> tuple[Layer, ...]:
    items = sequence_of(value)
    if not items:
        raise Unfit("a list of cells")
    return tuple(_one_cell(item) for item in items)


def _cell(value: Any) -> Layer:
    """Reader of a cell, or of a list of them."""
    items = sequence_of(value)
    return _one_cell(value) if items is None else StackedRNNCells(items)


def _sizes(cell: Any) -> list[Any]:
    """The sizes of a cell's states: ints, or shapes."""
    items = sequence_of(cell.state_size)
    return [cell.state_size] if items is None else items


def _shape(size: Any) -> tuple[int, ...]:
    """A state's shape without the batch."""
    items = sequence_of(size)
    return (size,) if items is None else tuple(items)


def _inside(body: LoopEmitter, held: Held) -> Held:
    """Values of the graph around a loop, inside its body."""
    return tuple(
        _inside(body, value)
        if isinstance(value, tuple)
        else None
        if value is None
        else body.outer(value)
        for value in held
    )


@LAYERS.register("StackedRNNCells")
class StackedRNNCells(Cell):
    """Several cells as one: each reads the output of the one before it.

    The states are those of the first cell, then those of the second, and so on, in one
    flat list, unless `reverse_state_order`.

    Shapes:
        x: (n, c)   states: (n, u) each  ->  output: (n, u), of the last cell; states

    Args:
        cells: The cells, the one that reads x first. (`stack` afterwards: `cells` are a
            layer's variables.)
        reverse_state_order: Whether the last cell's states come first, as in Keras
            before 2.2.3.
    """

    stack: tuple[Layer, ...] = arg(converter=_several_cells)
    reverse_state_order: bool = arg(default=False, converter=boolean, kw_only=True)

    def __init__(self, cells: Any = None, **kwargs: Any) -> None:
        given = kwargs.pop("stack", cells)
        try:
            stack = _several_cells(given)
        except Unfit as unfit:
            message = f"cells: expected {unfit.expected}, received {given!r}"
            raise CaptureError(f"{type(self).__name__}: {message}") from None
        named: dict[str, Any] = {**kwargs, "stack": stack}
        super().__init__(**named)

    @property
    def state_size(self) -> list[Any]:
        return [size for cell in self._in_order(self.stack) for size in _sizes(cell)]

    @property
    def output_size(self) -> int:
        return _output_size(self.stack[-1])

    def parts(self) -> Sequence[tuple[str, Layer]]:
        return [(f"cell_{at}", cell) for at, cell in enumerate(self.stack)]

    def hold(self, emitter: Emitter, rows: Value, channels: int) -> Held:
        made: list[Held] = []
        for prefix, cell in self.parts():
            inner = emitter.inside(cell, prefix)
            builtin = isinstance(cell, Cell)
            made.append(cell.hold(inner, rows, channels) if builtin else ())
            channels = _output_size(cell)
        return tuple(made)

    def emit(
        self, emitter: Emitter, *inputs: Value, held: Held | None = None
    ) -> Sequence[Value]:
        x, *states = inputs
        self.check_states(emitter, states, len(self.state_size))
        given: Sequence[Any] = [None] * len(self.stack) if held is None else held
        old: list[Sequence[Value]] = []
        for cell in self._in_order(self.stack):
            count = len(_sizes(cell))
            old.append(states[:count])
            states = states[count:]
        new: list[Sequence[Value]] = []
        for (prefix, cell), own, mine in zip(
            self.parts(), given, self._in_order(old), strict=True
        ):
            inner = emitter.inside(cell, prefix)
            named = {"held": own} if isinstance(cell, Cell) else {}
            x, *after = _returned(cell.emit(inner, inner.cast(x), *mine, **named))
            new.append(after)
        return [x, *(state for states in self._in_order(new) for state in states)]

    def _in_order(self, per_cell: Sequence[_T]) -> Sequence[_T]:
        """What each cell has, in the order of the states; and back again."""
        return per_cell[::-1] if self.reverse_state_order else per_cell

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["cells"] = config.pop("stack")
        return config


def _output_size(cell: Any) -> int:
    size = getattr(cell, "output_size", None)
    return _shape(_sizes(cell)[0])[-1] if size is None else size


def _returned(result: Value | Sequence[Value]) -> list[Value]:
    return [result] if isinstance(result, Value) else list(result)


@LAYERS.register("RNN")
class RNN(RecurrentLayer):
    """A cell over a sequence, as a loop whose body is a graph.

    A cell is any layer with `state_size` (an int, or a list for several states) that is
    called on ``[x, *states]`` and returns ``[output, *states]``. It is emitted once, in
    the body of the loop, and cannot keep state of its own or add losses there::

        @LAYERS.register("MinimalCell")
        class MinimalCell(gj.layers.Layer):
            units: int = arg(converter=size)

            @property
            def state_size(self):
                return self.units

            def emit(self, emitter, x, h):
                shape = (emitter.known_dim(x, -1, "the last axis"), self.units)
                kernel = emitter.param("kernel", shape, GlorotUniform())
                h = emitter(Add(), emitter(DenseOp(), x, kernel), h)
                return [h, h]

        RNN(MinimalCell(32))

    Dropout of graphjit's own cells is the same at every step; a layer that draws inside
    a cell of the user's draws at every step anew.

    Shapes:
        x: (n, t, …)   mask: bool (n, t)   initial_state: (n, u) each
        ->  (n, units), or (n, t, units) with return_sequences; and with return_state
        the states: (n, u) each

    Args:
        cell: A cell, or a list of cells for `StackedRNNCells`.
        activity_regularizer: Penalty on the output.

    The other arguments are those of `RecurrentLayer`. A call also takes `constants`,
    tensors that the cell's `emit` is given at every step, as ``constants=[…]``.

    >>> import graphjit as gj
    >>> from graphjit.ops.recurrent.lstm import LSTMCell
    >>> RNN([LSTMCell(8), LSTMCell(4)])(gj.Input((10, 3))).shape
    (None, 4)
    """

    rank: ClassVar[int | None] = None

    cell: Layer = arg(converter=_cell)
    activity_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer, kw_only=True
    )

    def parts(self) -> Sequence[tuple[str, Layer]]:
        return [("", self.cell)]

    def state_shapes(self, emitter: Emitter, x: Value) -> list[tuple[int, ...]]:
        return [_shape(size) for size in _sizes(self.cell)]

    def state_dtype(self) -> str | None:
        return self.cell.dtype

    def emit(
        self,
        emitter: Emitter,
        *inputs: Value,
        initial_state: Any = None,
        constants: Any = None,
    ) -> Value | Sequence[Value]:
        given = constants
        if given is not None:
            given = sequence_of(given) or [given]
            if not all(isinstance(value, Value) for value in given):
                message = "constants: expected a tensor or a list of tensors"
                raise CaptureError(f"{emitter.title}: {message}")
        return self.applied(emitter, inputs, initial_state, constants=given)

    def run(
        self,
        emitter: Emitter,
        x: Value,
        start: Sequence[Value] | None,
        mask: Value | None,
        **more: Any,
    ) -> tuple[Value, Sequence[Value]]:
        around = emitter.inside(self.cell, "")
        x = around.cast(x)
        constants: Sequence[Value] | None = more.get("constants")
        held: Held = ()
        if isinstance(self.cell, Cell):
            channels = around.known_dim(x, -1, "the last axis")
            held = self.cell.hold(around, x, channels)
        if start is None:
            shapes = self.state_shapes(emitter, x)
            start = zero_states(emitter, x, shapes, around.dtype)

        def step(
            body: LoopEmitter, now: Value, states: Sequence[Value]
        ) -> tuple[Value, Sequence[Value]]:
            named: dict[str, Any] = {}
            if isinstance(self.cell, Cell):
                named["held"] = _inside(body, held)
            if constants is not None:
                named["constants"] = [body.outer(value) for value in constants]
            inner = body.inside(self.cell, "")
            return self._split(inner, self.cell.emit(inner, now, *states, **named))

        loop = TimeLoop(
            emitter,
            step,
            x,
            start,
            mask,
            self.masked,
            self.go_backwards,
            self.return_sequences,
        )
        return loop.write()

    def _split(
        self, inner: Emitter, result: Value | Sequence[Value]
    ) -> tuple[Value, Sequence[Value]]:
        """The output and the states that a cell returned."""
        output, *states = _returned(result)
        count = len(_sizes(self.cell))
        if len(states) != count:
            message = f"expected the cell to return an output and {count} states"
            raise CaptureError(f"{inner.title}: {message}, received {len(states)}")
        return output, states
