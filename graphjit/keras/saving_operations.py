"""`Operation`s as Keras 3 writes them: functions of tensors, classes of their own.

Keras has an operation's settings in its configuration, and tensors and numbers side by
side among the arguments of its call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from graphjit.keras.saving_written import Entry
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["arguments_of_call", "operation_place", "operation_problems", "settings_of"]

#: Functions of Keras that are not in its module of NumPy's.
_MODULES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("cast", "identity", "stop_gradient", "unstack"), "core"),
    **dict.fromkeys(("erf", "logsumexp", "rsqrt"), "math"),
    **dict.fromkeys(
        "elu gelu hard_sigmoid hard_silu leaky_relu log_sigmoid log_softmax one_hot "
        "relu relu6 selu sigmoid silu softmax softplus softsign".split(),
        "nn",
    ),
}
_CLASSES: Final = {"identity": "ConvertToTensor"}
#: Functions that Keras has no operation for.
_UNKNOWN: Final = frozenset(
    "center_crop l2_normalize resize squared_difference".split()
)
#: Settings that Keras has not, at the values at which it does the same.
_FIXED: Final[Mapping[str, Mapping[str, Any]]] = {
    "argmax": {"dtype": "int32"},
    "argmin": {"dtype": "int32"},
    "matmul": {"transpose_a": False, "transpose_b": False},
    "one_hot": {"dtype": "float32"},
    "relu": {"negative_slope": 0.0, "max_value": None, "threshold": 0.0},
}
#: Settings that mean something else where Keras is told nothing.
_UNSAID: Final[Mapping[str, Mapping[str, Any]]] = {"gelu": {"approximate": False}}
#: Functions of a list of tensors.
_OF_LISTS: Final = ("concatenate", "stack")
#: Settings that Keras takes in the call.
_IN_CALLS: Final[Mapping[str, str]] = {"pad": "constant_values"}


def operation_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Why Keras has no such operation; nothing where it has."""
    function = str(config["function"])
    if function in _UNKNOWN:
        yield f"Keras has no operation {function!r}"
    settings = mapping_of(config.get("arguments")) or {}
    for key, value in _FIXED.get(function, {}).items():
        if settings.get(key, value) != value:
            yield f"Keras's operation {function!r} has no {key}"


def operation_place(config: Mapping[str, Any]) -> dict[str, Any]:
    """Where Keras 3 has the class."""
    function = str(config["function"])
    camel = "".join(part[:1].upper() + part[1:] for part in function.split("_"))
    name = _CLASSES.get(function, camel)
    module = f"keras.src.ops.{_MODULES.get(function, 'numpy')}"
    return {"module": module, "class_name": name, "registered_name": name}


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of Keras's operation."""
    function = str(config["function"])
    given = dict(mapping_of(config.get("arguments")) or {})
    fixed, in_call = _FIXED.get(function, {}), _IN_CALLS.get(function)
    settings = {
        key: value
        for key, value in given.items()
        if key not in ("operands", "key", in_call) and key not in fixed
    }
    return {"name": config["name"], **_UNSAID.get(function, {}), **settings}


def arguments_of_call(
    entry: Entry, references: Sequence[Any], tensor: Callable[[Any], Any]
) -> dict[str, Any]:
    """A call of the operation: tensors and numbers in their places.

    Args:
        entry: The operation's.
        references: The tensors, by where they are made.
        tensor: What stands for one.
    """
    config = entry["config"]
    function = str(config["function"])
    given = mapping_of(config.get("arguments")) or {}
    tensors = [tensor(reference) for reference in references]
    operands = sequence_of(given.get("operands"))
    if operands is not None:
        rest = iter(tensors)
        tensors = [next(rest) if item is None else item for item in operands]
    args: list[Any] = [tensors] if function in _OF_LISTS else tensors
    if "key" in given:
        args = [*args, [_place(item) for item in sequence_of(given["key"]) or []]]
    in_call = _IN_CALLS.get(function)
    kwargs = {in_call: given[in_call]} if in_call and in_call in given else {}
    return {"args": args, "kwargs": kwargs}


def _place(item: Any) -> Any:
    """What stands in ``x[…]``: slices are texts here."""
    if item == "...":
        return {"class_name": "__ellipsis__", "config": {}}
    if not isinstance(item, str):
        return item
    parts = [int(part) if part else None for part in item.split(":")]
    bounds = dict(zip(("start", "stop", "step"), [*parts, None], strict=False))
    return {"class_name": "__slice__", "config": bounds}
