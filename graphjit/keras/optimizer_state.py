"""An optimizer's state in Keras's files, as the state of the optax transformation.

Keras writes the variables of an optimizer as one list: a count of steps (and from
Keras 3 on the learning rate), then what it keeps for every trained weight: for Adam all
means, then all squares; from tf.keras 2.11 on a mean and a square for every weight in
turn. The weights come in the order of the model's, laid out as those are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from graphjit import optimizers
from graphjit.errors import DataError
from graphjit.formats import hdf5, keras3_weights
from graphjit.formats.keras_arrays import Writer, native_arrays, possible_counts
from graphjit.formats.limits import Limits
from graphjit.keras.notes import Notes
from graphjit.model import Model
from graphjit.weight_owners import Leaf, Owner

__all__ = ["Slots", "read_slots", "resume"]

Array = NDArray[Any]

#: Where the variables are: in Keras 2's files, and in Keras 3's.
_KERAS_2, _KERAS_3 = "optimizer_weights", "optimizer"
#: What the number of steps is called, before what makes a name unique.
_COUNTS: Final = ("iter", "iteration", "iterations")
#: Numbers that the configuration has as well.
_SETTINGS: Final = ("learning_rate", "lr", "decay", "beta_1", "beta_2", "rho")


@dataclass(frozen=True, slots=True)
class Slots:
    """The variables of an optimizer in a file.

    Attributes:
        names: What the file calls them; "" where it numbers them.
        arrays: In the file's order.
    """

    names: tuple[str, ...]
    arrays: tuple[Array, ...]


def read_slots(root: Any, limits: Limits) -> Slots | None:
    """The variables of the optimizer; None where the file has none.

    Raises:
        FormatError: They are not safe to read.
    """
    if hdf5.has_child(root, _KERAS_3):
        group = hdf5.child(root, _KERAS_3)
        stored = keras3_weights.variables(group, limits)
        return Slots(("",) * len(stored), tuple(item.read() for item in stored))
    if not hdf5.has_child(root, _KERAS_2):
        return None
    group = hdf5.child(root, _KERAS_2)
    names = hdf5.text_list(group, "weight_names", limits) or []
    found = [hdf5.read_array(hdf5.child(group, name), limits) for name in names]
    return Slots(tuple(names), tuple(found))


def resume(
    model: Model,
    slots: Slots | None,
    owners: Sequence[Owner],
    writer: Writer,
    version: tuple[int, ...],
    notes: Notes,
) -> None:
    """Let training go on where it ended in Keras; a note says where it cannot.

    Args:
        model: Compiled as the file says.
        slots: The optimizer's variables; None where the file has none.
        owners: The layers with weights, in the order of the file.
        writer: What wrote the arrays.
        version: Of Keras; () where it is not known.
        notes: What is not mapped goes there.
    """
    trainer = model.trainer
    if trainer is None:
        return
    if slots is None or not slots.arrays:
        notes.add("the file has no state of the optimizer: it begins anew")
        return
    try:
        plan = _plan_of(trainer.optimizer, writer)
        rest, steps = _without_numbers(slots, plan)
        fields = _by_field(model, rest, plan, owners, writer, version)
    except DataError as error:
        notes.add(f"the optimizer begins anew: {error.message}")
        return
    fields.update(plan.scalars(slots))
    # In 32 bits as ours are; a schedule counts by itself.
    count = jnp.asarray(steps, jnp.int32)
    fields.update(step=count, count=count)
    trainer.resume(lambda state: _filled(state, fields), steps)


# --- what an optimizer keeps ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """How an optimizer's variables are called in optax's state.

    Attributes:
        groups: Fields of ours in the order of the file. Those of a group are written
            weight by weight in later files, one after the other in earlier ones.
        factors: What theirs are multiplied by.
        product: Whether there is a number beside the count: Nadam's product.
    """

    groups: tuple[tuple[str, ...], ...]
    factors: Mapping[str, float]
    product: bool = False

    @property
    def fields(self) -> int:
        return sum(map(len, self.groups))

    def scalars(self, slots: Slots) -> dict[str, Any]:
        """The fields that are one number."""
        if not self.product:
            return {}
        return {"extra": jnp.asarray(slots.arrays[-1].reshape(()), jnp.float32)}


def _plan_of(optimizer: Any, writer: Writer) -> _Plan:
    name = type(optimizer).__name__
    if isinstance(optimizer, (optimizers.Adam, optimizers.AdamW)):
        hats = (("extra",),) if optimizer.amsgrad else ()
        return _Plan((("first", "second"), *hats), {})
    if isinstance(optimizer, optimizers.Adamax):
        return _Plan((("first", "second"),), {})
    if isinstance(optimizer, optimizers.Nadam):
        if writer.generation != 3:
            raise DataError(f"{name} had another schedule of momentum before Keras 3")
        return _Plan((("first", "second"),), {}, product=True)
    if isinstance(optimizer, optimizers.Adagrad):
        return _Plan((("sum_of_squares",),), {})
    if isinstance(optimizer, optimizers.Adadelta):
        return _Plan((("e_g", "e_x"),), {})
    if isinstance(optimizer, optimizers.RMSprop):
        speed = (("trace",),) if optimizer.momentum else ()
        mean = (("mu",),) if optimizer.centered else ()
        return _Plan((("nu",), *speed, *mean), _over_rate(optimizer, 1.0))
    if isinstance(optimizer, optimizers.SGD):
        speed = (("trace",),) if optimizer.momentum else ()
        return _Plan(speed, _over_rate(optimizer, -1.0))
    raise DataError(f"there is no mapping of the state of {name}")


def _over_rate(optimizer: Any, sign: float) -> dict[str, float]:
    """Keras's velocities are steps: they have the learning rate in them."""
    if not optimizer.momentum:
        return {}
    rate = optimizer.learning_rate
    if not isinstance(rate, (int, float)) or not rate:
        raise DataError("momentum at a rate that changes has another meaning in Keras")
    return {"trace": sign / float(rate)}


# --- the list -------------------------------------------------------------------


def _without_numbers(slots: Slots, plan: _Plan) -> tuple[list[Array], int]:
    """What is kept for weights, and how many steps were done."""
    steps, rest = 0, list[Array]()
    for at, (name, array) in enumerate(zip(slots.names, slots.arrays, strict=True)):
        title = name.rpartition("/")[2].partition(":")[0].rstrip("0123456789_")
        single = array.shape == ()
        counts = title in _COUNTS or (single and at == 0 and title not in _SETTINGS)
        if single and counts:
            steps = int(array)
        elif single and (title in _SETTINGS or (not name and at == 1)):
            continue
        else:
            rest.append(array)
    if plan.product and rest:
        rest.pop()
    return rest, steps


def _by_field(
    model: Model,
    rest: list[Array],
    plan: _Plan,
    owners: Sequence[Owner],
    writer: Writer,
    version: tuple[int, ...],
) -> dict[str, Any]:
    """For every field of the state its arrays by param."""
    leaves = [leaf for owner in owners for leaf in owner.leaves if _trained(leaf)]
    counts = _counts(leaves, len(rest), plan.fields, writer)
    width = sum(counts)
    # Keras 2.1.4 to 2.3 keeps an empty square of Adam's for every weight.
    rest = rest[: width * plan.fields]
    names = {id(cell): name for name, cell in model.cells.items()}
    in_turn = writer.generation == 3 or version >= (2, 11)
    made: dict[str, Any] = {}
    for group in plan.groups:
        size = len(group) * width
        taken, rest = rest[:size], rest[size:]
        for at, field in enumerate(group):
            own = taken[at :: len(group)] if in_turn else taken[at * width :][:width]
            arrays = _native(leaves, counts, own, writer, names)
            factor = plan.factors.get(field, 1.0)
            with np.errstate(all="ignore"):  # a damaged file may hold any numbers
                made[field] = {k: jnp.asarray(a * factor, a.dtype) for k, a in arrays}
    return made


def _trained(leaf: Leaf) -> list[Any]:
    return [weight for weight in leaf.weights if weight.trained]


def _counts(
    leaves: Sequence[Leaf], found: int, fields: int, writer: Writer
) -> list[int]:
    """How many of the file's arrays each layer has, for one field."""
    if not fields:
        return [0 for _ in leaves]
    options = [possible_counts(x.layer, len(_trained(x)), writer) for x in leaves]
    deepest = max((len(choice) for choice in options), default=1)
    for at in range(deepest):
        counts = [choice[min(at, len(choice) - 1)] for choice in options]
        if found in (sum(counts) * fields, sum(counts) * (fields + 1)):
            return counts
    wanted = sum(choice[0] for choice in options) * fields
    raise DataError(f"its state has {found} arrays, {wanted} were expected")


def _native(
    leaves: Sequence[Leaf],
    counts: Sequence[int],
    arrays: Sequence[Array],
    writer: Writer,
    names: Mapping[int, str],
) -> Iterator[tuple[str, Array]]:
    """The arrays of one field by param, laid out as the weights here are."""
    rest = iter(arrays)
    for leaf, count in zip(leaves, counts, strict=True):
        given = [next(rest) for _ in range(count)]
        weights = _trained(leaf)
        shapes = [tuple(weight.cell.param.type.shape) for weight in weights]
        made = native_arrays(leaf.layer, given, cast(Any, shapes), writer)
        same = sum(a.size for a in given) == sum(a.size for a in made)
        if not same or [array.shape for array in made] != shapes:
            raise DataError(f"its state does not fit {weights[0].name!r}")
        for weight, array in zip(weights, made, strict=True):
            # A layer of the file that no output needs is no part of the model.
            if id(weight.cell) in names:
                dtype = weight.cell.param.type.dtype
                yield names[id(weight.cell)], np.asarray(array, dtype)


# --- optax ----------------------------------------------------------------------


def _filled(state: Any, fields: Mapping[str, Any]) -> Any:
    """optax's state with the fields of these names in place of its own."""
    if not isinstance(state, tuple):
        return state
    items = cast("tuple[Any, ...]", state)
    named: tuple[str, ...] | None = getattr(items, "_fields", None)
    if named is None:
        return tuple(_filled(item, fields) for item in items)
    replace: Callable[..., Any] = cast(Any, items)._replace
    return replace(
        **{
            name: fields.get(name, _filled(item, fields))
            for name, item in zip(named, items, strict=True)
        }
    )
