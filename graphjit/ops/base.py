"""What an op is: one frozen dataclass per IR node kind, and the hooks passes ask.

An op's fields are its attributes. It has `infer` (types in, types out) and `lower`
(arrays in, arrays out), and where they apply `to_inference`, `to_frozen`, `permuted`,
`kernels` and traits. Passes ask traits and hooks, never lists of kinds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Protocol,
    TypeAlias,
    TypeVar,
    dataclass_transform,
)

from graphjit.errors import FormatError
from graphjit.layout import Layout
from graphjit.registry import Registry
from graphjit.types import TensorType

if TYPE_CHECKING:
    import jax

__all__ = [
    "ADDED",
    "OPS",
    "Array",
    "Becomes",
    "ChannelAffine",
    "Elementwise",
    "Emit",
    "Fits",
    "KeepsElements",
    "Kernel",
    "Layout",
    "MixesRows",
    "Op",
    "PackedForm",
    "Permuted",
    "Random",
    "ReadsIds",
    "Refusal",
    "Result",
    "Rule",
    "Same",
    "ScalesOutput",
    "added",
    "fields_of",
    "operand_role",
    "register_op",
    "result_types",
    "with_fields",
]

Array: TypeAlias = "jax.Array"
Types: TypeAlias = TensorType | tuple[TensorType, ...]
OpType = TypeVar("OpType", bound="type[Op]")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result:
    """In `Becomes.results`: the old result is result `index` of the new op."""

    index: int = 0


@dataclass(frozen=True, slots=True)
class Same:
    """In `Becomes.results`: the old result is the operand at `operand`."""

    operand: int


@dataclass(frozen=True, slots=True)
class Becomes:
    """What an op turns into in another mode (inference, frozen).

    Attributes:
        op: The new op; None where every result is one of the operands.
        operands: Which of the old operands the new op takes, in order.
        results: For each old result what stands in its place.
    """

    op: Op | None
    operands: tuple[int, ...]
    results: tuple[Result | Same, ...]


@dataclass(frozen=True, slots=True)
class Permuted:
    """An op's answer to "your first operand lies in this layout".

    Attributes:
        op: The op to run on the permuted operands.
        operands: The layout it wants of each operand.
        results: The layout in which each result then lies.
    """

    op: Op
    operands: tuple[Layout, ...]
    results: tuple[Layout, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a rewrite does not apply; passes log it."""

    reason: str


#: (op, operand types; None for one left out) -> whether something holds for a node.
#: Dims may be unknown: a batch size stays the symbol `BATCH` unless it is hinted.
Fits: TypeAlias = "Callable[[Any, Sequence[TensorType | None]], bool]"


@dataclass(frozen=True, slots=True)
class Rule:
    """Where a kernel is chosen on one platform, and the measurement that says so.

    Attributes:
        platform: "cpu", "gpu" or "tpu".
        measured: Shapes and gains, in words; from `benchmarks/kernels.py`.
        when: The family of shapes; None for wherever the kernel can be used.
        training: True where it holds for graphs that train alone (the gain is in the
            gradient), False for graphs that do not, None for both.
    """

    platform: str
    measured: str
    when: Fits | None = None
    training: bool | None = None

    def holds(
        self, op: Op, types: Sequence[TensorType | None], platform: str, training: bool
    ) -> bool:
        """Whether this rule is for such a node, platform and use."""
        return (
            self.platform == platform
            and self.training in (None, training)
            and (self.when is None or self.when(op, types))
        )


@dataclass(frozen=True, slots=True)
class PackedForm:
    """``op(x, packed, bias)`` in the place of ``f(x, weights, bias)``.

    Attributes:
        weights: What packs operand 1: ops of one operand, one after the other.
        op: What reads it packed.
        kernel: The kernel of that op.
    """

    weights: tuple[Op, ...]
    op: Op
    kernel: str = ""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An alternative lowering of an op, and the rules that choose it.

    Attributes:
        name: What `Node.kernel` holds when it is chosen.
        can: Whether it computes this op at all: what it needs, not where it pays.
        lower: (op, *arrays) -> arrays, in place of `Op.lower`.
        rules: Where it is chosen; a kernel without rules only by autotuning.
        packed: (op, operand types) -> the form with operand 1 packed ahead, for
            weights that stay as they are; None where it reads them as they lie.
        tolerance: The largest error of results and gradients, against the plain
            lowering in float64, in units of the dtype's epsilon times the largest
            element; times the root of k at least for a gradient that sums k slopes,
            for it may cancel. In float32 and float64, where sums round as they go.
        narrow_tolerance: That of narrower floats: their sums are taken in float32, so
            all they round is a sum, and what is added to it.
    """

    name: str
    can: Fits
    lower: Callable[..., Any]
    rules: tuple[Rule, ...] = ()
    packed: Callable[[Any, Sequence[TensorType | None]], PackedForm | None] | None = (
        None
    )
    tolerance: float = 16.0
    narrow_tolerance: float = 2.0

    def rule_for(
        self, op: Op, types: Sequence[TensorType | None], platform: str, training: bool
    ) -> Rule | None:
        """The rule by which it is chosen; None: it is not."""
        if not self.can(op, types):
            return None
        holding = (r for r in self.rules if r.holds(op, types, platform, training))
        return next(holding, None)


class Op:
    """Base of every op.

    Subclasses are made with `register_op`, which turns them into frozen, slotted
    dataclasses and enters them into the closed table `OPS`.

    Attributes:
        kind: The name printed and saved.
        version: Raised when the meaning of saved attributes changes.
        roles: Names of the operands, for messages; a last role ending in "*"
            stands for any number.
        infer: Operand types (None for an operand left out) to result types.
        lower: Operand arrays to result arrays. An op with the `Random` trait also
            takes ``key=``; an op that owns body graphs takes ``run=``.
        kernels: Alternative lowerings.
    """

    __slots__ = ()

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    roles: ClassVar[tuple[str, ...]] = ("x",)
    infer: ClassVar[Callable[..., Types]]
    lower: ClassVar[Callable[..., Any]]
    kernels: ClassVar[tuple[Kernel, ...]] = ()

    @classmethod
    def registered_as(cls, name: str) -> type[Op]:
        """The op this class describes, of a kind of the user's."""
        return register_op(name, version=cls.version, roles=cls.roles)(cls)

    @property
    def threads(self) -> tuple[tuple[int, int], ...]:
        """(operand, result) pairs: the result is the state's new value."""
        return ()

    def to_inference(self) -> Becomes | None:
        """What this op is in an inference graph; None: the same."""
        return None

    def to_frozen(self) -> Becomes | None:
        """What this op is when its layer is frozen; None: the same."""
        return None

    def to_always(self) -> Op | None:
        """The op that does in inference too what this one does in training.

        A call with ``training=True`` is made of such ops. One that changes in inference
        says in an attribute `always` that it does not; None: it has none.
        """
        if self.to_inference() is None:
            return self
        names = {name for name, _ in fields_of(self)}
        return with_fields(self, always=True) if "always" in names else None

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        """How to run with operand 0 lying in `layout`; None: it cannot.

        Args:
            layout: The layout in which operand 0 lies.
            types: The operands' logical types.
        """
        del layout, types
        return None

    def is_identity(self, types: Sequence[TensorType | None]) -> bool:
        """Whether the result is operand 0 as it is."""
        del types
        return False

    def after(self, earlier: Op, types: Sequence[TensorType | None]) -> Op | None:
        """The one op that does `earlier` and then this one; None: there is none.

        Both read one operand; `types` are those of the earlier op's operands.
        """
        del earlier, types
        return None

    def padded(
        self,
        pads: tuple[tuple[int, int], ...],
        value: float,
        types: Sequence[TensorType | None],
    ) -> Op | Refusal | None:
        """The op that pads operand 0 itself; None: it never can.

        `types` are those of the operands with operand 0 not yet padded.
        """
        del pads, value, types
        return None

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        """Floating-point operations of one application with all dims known."""
        del operands
        return _elements(results)


class Emit(Protocol):
    """What an op may use to emit further ops on its operands (see `Builder`)."""

    def __call__(self, op: Op, *operands: Any, name: str | None = None) -> Any: ...

    def type_of(self, value: Any) -> TensorType: ...


# --- traits ---------------------------------------------------------------------


class Elementwise:
    """Trait: result[i] depends on operand[i] alone; all operands broadcast."""

    __slots__ = ()


class Random:
    """Trait: `lower` takes a key, folded from the caller's and the op's `seed`."""

    __slots__ = ()

    seed: int


class KeepsElements:
    """Trait: every element of every operand stands in the result, moved or cast.

    So what must hold for all elements of the result must hold for the operands'.
    """

    __slots__ = ()


class ReadsIds:
    """Trait: operand 0 holds ids, whole numbers that count rows of something."""

    __slots__ = ()

    def id_count(self, types: Sequence[TensorType | None]) -> int | None:
        """How many ids there are: they go from 0 to one less; None: not known."""
        raise NotImplementedError


class MixesRows:
    """Trait: a result at one row of the batch depends on other rows.

    `row_mask` is the position of the operand that takes the row-validity mask
    (bool[batch]) of a padded batch, None where the op cannot take one.
    """

    __slots__ = ()

    row_mask: ClassVar[int | None] = None

    def masks_rows(self) -> bool:
        """Whether this op, with its attributes, can ignore the rows of padding."""
        return self.row_mask is not None


class ScalesOutput:
    """Trait: the op is linear in its weights, so per-channel affine maps fold in.

    The output's channels are its last axis. `emit` adds ops on params, which
    `split_prologue` later moves out of the graph.
    """

    __slots__ = ()

    def scale_output(
        self, emit: Emit, operands: Sequence[Any], scale: Any, shift: Any
    ) -> tuple[Any, ...] | Refusal:
        """Operands with which the op computes ``op(x) * scale + shift``."""
        raise NotImplementedError

    def scale_input(
        self, emit: Emit, operands: Sequence[Any], scale: Any, shift: Any
    ) -> tuple[Any, ...] | Refusal:
        """Operands with which the op computes ``op(x * scale + shift)``."""
        del emit, operands, scale, shift
        return Refusal("the op has no rule for a scaled input")


class ChannelAffine:
    """Trait: the op computes ``x * scale + shift`` per channel, from params alone.

    Operand 0 is x; `axis` is the channel axis.
    """

    __slots__ = ()

    axis: int

    def scale_and_shift(self, emit: Emit, operands: Sequence[Any]) -> tuple[Any, Any]:
        """Emit the vectors ``scale`` and ``shift`` from the op's operands."""
        raise NotImplementedError


# --- the closed table -----------------------------------------------------------

OPS: Registry[type[Op]] = Registry("op", FormatError)


#: Under this key the metadata of a field says that it was `added`.
ADDED: Final = "added"


def added(default: T) -> T:
    """An attribute that an op got after files were written without it.

    Such attributes stand last; a file that lacks one means its default.
    """
    declared: Any = dataclasses.field(default=default, metadata={ADDED: True})
    return declared


@dataclass_transform(frozen_default=True, field_specifiers=(added,))
def register_op(
    kind: str,
    *,
    version: int = 1,
    roles: tuple[str, ...] = ("x",),
) -> Callable[[OpType], OpType]:
    """Make a class an op: a frozen, slotted dataclass in the table `OPS`."""

    def decorate(cls: OpType) -> OpType:
        made: Any = dataclass(frozen=True, slots=True)(cls)
        made.kind = kind
        made.version = version
        made.roles = roles
        OPS.add(kind, made)
        return made

    return decorate


def operand_role(op: Op, position: int) -> str:
    """The name of the operand at `position`, for messages.

    >>> from graphjit.ops.elementwise import Add
    >>> operand_role(Add(), 1)
    'x1'
    """
    last = op.roles[-1]
    if last.endswith("*") and position >= len(op.roles) - 1:
        return f"{last[:-1]}{position - len(op.roles) + 1}"
    if position < len(op.roles):
        return op.roles[position]
    return f"operand {position}"


def result_types(op: Op, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """`op.infer`, always as a tuple."""
    inferred = op.infer(*types)
    return inferred if isinstance(inferred, tuple) else (inferred,)


def fields_of(op: Op) -> tuple[tuple[str, Any], ...]:
    """The attributes of an op, in declared order."""
    declared = dataclasses.fields(op)  # pyright: ignore[reportArgumentType]
    return tuple((field.name, getattr(op, field.name)) for field in declared)


def with_fields(op: Op, **changes: Any) -> Op:
    """The op with some attributes changed."""
    return dataclasses.replace(op, **changes)  # pyright: ignore[reportArgumentType, reportUnknownVariableType]


def _elements(types: Sequence[TensorType]) -> int:
    total = 0
    for type_ in types:
        size = 1
        for dim in type_.shape:
            size *= dim if isinstance(dim, int) else 1
        total += size
    return total
