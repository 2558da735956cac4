"""What a layer is called on: tensors, and what else a call may be given.

The parameters of a layer's `emit` say what its calls take: positional ones are inputs,
keyword-only ones are the call's other arguments, in which tensors may stand too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphjit.capture.tensor import Tensor
from graphjit.errors import CaptureError, nearest
from graphjit.narrow import mapping_of, sequence_of

if TYPE_CHECKING:
    from graphjit.capture.layer import Layer

__all__ = ["Given", "Slot", "bind_call", "filled", "thawed"]


@dataclass(frozen=True, slots=True)
class Slot:
    """In the arguments of a call: the tensor at this place of its inputs."""

    index: int


@dataclass(frozen=True, slots=True)
class Given:
    """A call's tensors and arguments.

    Attributes:
        inputs: All tensors: those the layer is called on, then those in arguments.
        count: How many of them the layer is called on.
        arguments: The other arguments: plain data, with a `Slot` for every tensor.
    """

    inputs: tuple[Tensor, ...]
    count: int
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class _Takes:
    """The parameters of an `emit`: names of inputs, and of keyword arguments.

    At least `least` inputs are needed; `many` says that there may be any number.
    """

    inputs: tuple[str, ...]
    keywords: tuple[str, ...]
    least: int
    many: bool


@functools.cache
def _takes(emit: Callable[..., Any]) -> _Takes:
    kinds = inspect.Parameter
    parameters = list(inspect.signature(emit).parameters.values())[2:]
    inputs = [p for p in parameters if p.kind is kinds.POSITIONAL_OR_KEYWORD]
    return _Takes(
        tuple(p.name for p in inputs),
        tuple(p.name for p in parameters if p.kind is kinds.KEYWORD_ONLY),
        least=sum(p.default is kinds.empty for p in inputs),
        many=any(p.kind is kinds.VAR_POSITIONAL for p in parameters),
    )


def bind_call(
    layer: Layer, title: str, inputs: Any, more: Sequence[Any], named: Mapping[str, Any]
) -> Given:
    """Match what a layer is called with to what its `emit` takes.

    Args:
        layer: The layer.
        title: How messages name it.
        inputs: A tensor or a list of tensors.
        more: Further positional arguments: tensors.
        named: Keyword arguments.

    Raises:
        CaptureError: Something is not a tensor, or an argument is unknown.
    """
    takes = _takes(type(layer).emit)
    rest = dict(named)
    items = sequence_of(inputs)
    given: list[Any] = [*([inputs] if items is None else items), *more]
    for name in takes.inputs[len(given) :]:
        if name in rest:
            given.append(rest.pop(name))
    while given and given[-1] is None:
        given.pop()
    for item in given:
        _check_tensor(title, item)
    if not given:
        raise CaptureError(f"{title}: expected tensors, received none")
    if not takes.many and not takes.least <= len(given) <= len(takes.inputs):
        counts = sorted({takes.least, len(takes.inputs)})
        wanted = " to ".join(map(str, counts))
        raise CaptureError(f"{title}: expected {wanted} tensors, received {len(given)}")
    tensors: list[Tensor] = list(given)
    arguments = _training(title, rest.pop("training", None))
    for name, value in rest.items():
        if name not in (*takes.keywords, "mask"):
            known = (*takes.inputs[1:], *takes.keywords, "mask", "training")
            guess = nearest(name, known)
            raise CaptureError(
                f"{title}: unknown call argument {name!r}",
                hint=f"did you mean {guess!r}?" if guess else None,
            )
        if value is not None:
            arguments[name] = _with_slots(value, tensors)
    # Inputs with names of their own are written under those names, as Keras does.
    for index, name in enumerate(takes.inputs[: len(given)]):
        if index:
            arguments[name] = Slot(index)
    return Given(tuple(tensors), len(given), arguments)


def _training(title: str, asked: object) -> dict[str, Any]:
    """The argument `training`, where it says in which mode the call always is."""
    if asked is None:
        return {}
    # Keras 2 took 0 and 1 as well, and its files have them.
    if not isinstance(asked, (bool, int)) or asked not in (0, 1):
        raise CaptureError(
            f"{title}: training: expected True, False or None, received {asked!r}",
            hint="None leaves it to what the model does: model.apply(variables, x, "
            "training=True, rng=…) runs it as in training",
        )
    return {"training": bool(asked)}


def _check_tensor(title: str, item: object) -> None:
    if not isinstance(item, Tensor):
        raise CaptureError(
            f"{title}: expected a tensor or a list of tensors, "
            f"received {type(item).__name__}",
            hint="start from graphjit.Input(shape)",
        )


def _with_slots(value: Any, tensors: list[Tensor]) -> Any:
    """`value` with its tensors moved to the end of `tensors`."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return Slot(len(tensors) - 1)
    items = sequence_of(value)
    if items is not None:
        return [_with_slots(item, tensors) for item in items]
    return value


def filled(argument: Any, at: Callable[[int], Any]) -> Any:
    """An argument with every slot replaced by what stands at its place."""
    if isinstance(argument, Slot):
        return at(argument.index)
    items = sequence_of(argument)
    if items is not None:
        return [filled(item, at) for item in items]
    return argument


def thawed(data: Any) -> Any:
    """An argument from plain data, where a slot is ``{"tensor": index}``."""
    entries = mapping_of(data)
    if entries is not None and list(entries) == ["tensor"]:
        return Slot(int(entries["tensor"]))
    items = sequence_of(data)
    if items is not None:
        return [thawed(item) for item in items]
    return data
