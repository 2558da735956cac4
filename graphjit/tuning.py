"""Which kernel was found fastest for an op on certain shapes, on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from graphjit.ops.base import Op
from graphjit.printer import op_text
from graphjit.types import BATCH, TensorType

__all__ = ["PROGRAM", "Choice", "Tuning", "at_batch", "key_of"]

#: In the place of an op: the choice is a compiler option, for the program as a whole.
PROGRAM: Final = "program"


@dataclass(frozen=True, slots=True)
class Choice:
    """One op on certain types, and what measuring said.

    Attributes:
        op: The op with its attributes, as a printed graph has it; or `PROGRAM`.
        operands: The types of its operands, all dims numbers; "_" for one left out.
            None for a program.
        kernel: The kernel that was fastest; "" for the plain lowering. For a program
            the name of a set of compiler options; "" for none.
        gain: How many times faster it was than what the rules choose.
    """

    op: str
    operands: tuple[str, ...]
    kernel: str
    gain: float

    def __str__(self) -> str:
        kernel = self.kernel or "plain"
        operands = f"({', '.join(self.operands)})" if self.op != PROGRAM else ""
        return f"{self.op}{operands}: {kernel}, {self.gain:.2f}x"


@dataclass(frozen=True, slots=True)
class Tuning:
    """What measuring a model's kernels on a device said; made by `graphjit.jit`.

    Attributes:
        platform: "cpu", "gpu" or "tpu".
        device: The device, as JAX or the system names it.
        batch_size: The batch size at which it was measured.
        choices: One for each op on certain types.
    """

    platform: str
    device: str
    batch_size: int
    choices: tuple[Choice, ...] = ()
    _table: dict[tuple[str, tuple[str, ...]], Choice] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        table = {(choice.op, choice.operands): choice for choice in self.choices}
        object.__setattr__(self, "_table", table)

    def find(self, op: Op, types: Sequence[TensorType | None]) -> Choice | None:
        """The choice for an op on types; None: it was not measured."""
        return self._table.get(
            key_of(op, [at_batch(t, self.batch_size) for t in types])
        )

    @property
    def program(self) -> Choice | None:
        """The choice of compiler options; None: nothing was measured."""
        return self._table.get((PROGRAM, ()))

    def __repr__(self) -> str:
        return (
            f"Tuning({self.platform!r}, {self.device!r}, batch of {self.batch_size}, "
            f"{len(self.choices)} choices)"
        )

    def __str__(self) -> str:
        return "\n".join([repr(self), *(f"    {choice}" for choice in self.choices)])


def key_of(op: Op, types: Sequence[TensorType | None]) -> tuple[str, tuple[str, ...]]:
    """What a choice is found by."""
    return op_text(op), tuple("_" if t is None else str(t) for t in types)


def at_batch(type_: TensorType | None, batch_size: int | None) -> TensorType | None:
    """The type for batches of that size; unchanged where None is given."""
    if type_ is None or batch_size is None or BATCH not in type_.shape:
        return type_
    return type_.with_shape(batch_size if dim == BATCH else dim for dim in type_.shape)
