"""Functions that a user called on symbolic tensors, as the `Operation`s they are here.

tf.keras 2.4 and later write such a call as a layer TFOpLambda or SlicingOpLambda, with
the function's name; Keras 3 as an operation of a class of its own. Both have tensors
and numbers side by side among the arguments of the call. Here the numbers go into the
layer's configuration, and the call has tensors alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from graphjit.errors import FormatError
from graphjit.keras.entries import name_of
from graphjit.keras.operation_names import IGNORED, Spoken, of_keras_3, of_tensorflow
from graphjit.keras.tensorflow_nodes import function_of_node, op_of_node
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["with_operations"]

_TENSORFLOW: Final = ("SlicingOpLambda", "TFOpLambda")
_NODE: Final = "TensorFlowOpLayer"
_KERAS_3: Final = ("keras.src.ops", "keras.ops", "keras_core.src.ops")
_CONSTANT: Final = "_CONSTANT_VALUE"
#: Where else layers stand in configurations.
_INSIDE: Final = ("layer", "backward_layer", "cell")


class _UnknownError(Exception):
    """A call that nothing here does."""


def with_operations(root: Any, custom: Mapping[str, Any]) -> Any:
    """A model's dictionary with every call of a known function as an `Operation`.

    An unknown function becomes the class of a layer that a user can supply.

    Args:
        root: With class_name and config.
        custom: What the user supplied, by name: those are left alone.
    """
    entry = mapping_of(root)
    if entry is None:
        return root
    made = _operation(entry, custom)
    if made is not None:
        return made
    config = mapping_of(entry.get("config"))
    layers = sequence_of(
        entry.get("config") if config is None else config.get("layers")
    )
    if layers is not None:
        inside: list[Any] = [with_operations(item, custom) for item in layers]
        new: Any = inside if config is None else {**config, "layers": inside}
        return {**entry, "config": new}
    if config is None or not any(key in config for key in _INSIDE):
        return root
    parts = {k: with_operations(config[k], custom) for k in _INSIDE if k in config}
    return {**entry, "config": {**config, **parts}}


def _operation(
    entry: Mapping[str, Any], custom: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """An entry as an `Operation`; None where it is a layer."""
    class_name = entry.get("class_name")
    config = mapping_of(entry.get("config"))
    if config is None or not isinstance(class_name, str):
        return None
    if name_of(entry) in custom:
        return _without_name(entry) if class_name in _TENSORFLOW else None
    if class_name in _TENSORFLOW:
        spoken_as, read = f"tf.{config.get('function')}", _from_tensorflow
    elif class_name == _NODE and class_name not in custom:
        spoken_as, read = f"tf.raw_ops.{op_of_node(config)}", _from_node
    elif _is_of_keras_3(entry, class_name, config) and class_name not in custom:
        spoken_as, read = class_name, _from_keras_3
    else:
        return None
    kept = {"name": name_of(entry), "trainable": config.get("trainable", True)}
    try:
        function, operands, settings = read(entry, config)
    except _UnknownError:
        return {**entry, "class_name": spoken_as, "config": kept}
    tensors = [item.reference for item in operands if isinstance(item, _Tensor)]
    if any(not isinstance(item, _Tensor) for item in operands):
        settings["operands"] = [
            None if isinstance(item, _Tensor) else item for item in operands
        ]
    return {
        "class_name": "Operation",
        "name": name_of(entry),
        "config": {**kept, "function": function, "arguments": settings},
        "inbound_nodes": [[[*reference, {}] for reference in tensors]],
    }


def _without_name(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """A call of TensorFlow's for a layer of the user's: its name is no argument."""

    def stripped(value: Any) -> Any:
        items, found = sequence_of(value), mapping_of(value)
        if found is not None:
            return {k: v for k, v in found.items() if k != "name"}
        return value if items is None else [stripped(item) for item in items]

    return {**entry, "inbound_nodes": stripped(entry.get("inbound_nodes"))}


def _is_of_keras_3(
    entry: Mapping[str, Any], class_name: str, config: Mapping[str, Any]
) -> bool:
    """Whether an entry is an operation; HDF5 has no module that tells it.

    A layer says whether it is trainable, an operation does not.
    """
    module = entry.get("module")
    if isinstance(module, str):
        return module.startswith(_KERAS_3)
    nodes = sequence_of(entry.get("inbound_nodes")) or [None]
    called = "args" in (mapping_of(nodes[0]) or {})
    return called and "trainable" not in config and of_keras_3(class_name) is not None


class _Tensor:
    """An operand that is a tensor: layer, call, index."""

    def __init__(self, reference: Sequence[Any]) -> None:
        self.reference = list(reference[:3])


def _call(entry: Mapping[str, Any]) -> Any:
    nodes = sequence_of(entry.get("inbound_nodes")) or []
    if len(nodes) != 1:
        raise FormatError(
            f"{name_of(entry)!r}: expected one call of a function, found {len(nodes)}"
        )
    return nodes[0]


# --- TensorFlow -----------------------------------------------------------------

_Read = tuple[str, list[Any], dict[str, Any]]


def _from_tensorflow(entry: Mapping[str, Any], config: Mapping[str, Any]) -> _Read:
    name = str(config.get("function"))
    spoken = of_tensorflow(name)
    node = sequence_of(_call(entry))
    if spoken is None or not node:
        raise _UnknownError
    several = sequence_of(node[0]) is not None
    firsts = [sequence_of(item) or [] for item in (node if several else [node])]
    arguments = mapping_of(firsts[0][3] if len(firsts[0]) > 3 else None) or {}
    operands = [_operand(first) for first in firsts]
    rest = [arguments[key] for key in spoken.operands if key in arguments]
    operands += [_operand(item) for item in rest]
    if spoken.turned:
        operands.reverse()
    given = {k: v for k, v in arguments.items() if k not in spoken.operands}
    settings = _settings(spoken, given)
    if spoken.function == "split":
        _sizes_to_places(settings)
    return spoken.function, operands, settings


def _from_node(entry: Mapping[str, Any], config: Mapping[str, Any]) -> _Read:
    node = sequence_of(_call(entry)) or []
    several = bool(node) and sequence_of(node[0]) is not None
    tensors = [_operand(item) for item in (node if several else [node])]
    found = function_of_node(config, tensors)
    if found is None or not all(isinstance(item, _Tensor) for item in tensors):
        raise _UnknownError
    function, operands, settings = found
    plain = {k: v if k == "key" else _number(v) for k, v in settings.items()}
    return function, operands, plain


def _operand(value: Any) -> Any:
    items = sequence_of(value)
    if items is None or len(items) < 3 or not isinstance(items[0], str):
        return _number(value)
    return _number(items[2]) if items[0] == _CONSTANT else _Tensor(items)


def _settings(spoken: Spoken, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under our names.

    Raises:
        _UnknownError: One of them is none of the function's here.
    """
    made = dict(spoken.unsaid)
    for key, value in given.items():
        ours = spoken.settings.get(key)
        if ours is not None:
            if value is not None:
                made[ours] = _key(value) if ours == "key" else _number(value)
            continue
        harmless = IGNORED.get(key, ())
        if harmless is not None and value not in harmless:
            raise _UnknownError
    return made


def _sizes_to_places(settings: dict[str, Any]) -> None:
    """TensorFlow splits by sizes, NumPy by where the pieces begin."""
    sizes = sequence_of(settings.get("indices_or_sections"))
    if sizes is None:
        return
    if not all(type(size) is int and size > 0 for size in sizes):
        raise _UnknownError
    settings["indices_or_sections"] = list(itertools.accumulate(sizes))[:-1]


# --- Keras 3 --------------------------------------------------------------------


def _from_keras_3(entry: Mapping[str, Any], config: Mapping[str, Any]) -> _Read:
    function = of_keras_3(str(entry["class_name"]))
    node = mapping_of(_call(entry))
    if function is None or node is None:
        raise _UnknownError
    given = {**config, **(mapping_of(node.get("kwargs")) or {})}
    settings: dict[str, Any] = {}
    for key, value in given.items():
        if _history(value) is not None:
            raise _UnknownError  # a tensor by keyword
        harmless = IGNORED.get(key, ())
        if value is None or harmless is None or value in harmless:
            continue
        if key != "dtype" or function in ("cast", "one_hot"):
            settings[key] = _number(value)
    arguments = sequence_of(node.get("args")) or []
    if function == "get_item" and len(arguments) == 2:
        settings["key"] = _key(arguments.pop())
    operands: list[Any] = []
    for argument in arguments:
        items = sequence_of(argument)
        listed = items is not None and function in ("concatenate", "stack")
        for item in items or [] if listed else [argument]:
            history = _history(item)
            operands.append(_number(item) if history is None else _Tensor(history))
    return function, operands, settings


def _history(value: Any) -> list[Any] | None:
    found = mapping_of(value)
    if found is None or found.get("class_name") != "__keras_tensor__":
        return None
    config = mapping_of(found.get("config")) or {}
    return sequence_of(config.get("keras_history"))


# --- values ---------------------------------------------------------------------


def _number(value: Any) -> Any:
    """Plain data: what Keras wraps unwrapped.

    Raises:
        _UnknownError: There is a tensor in it, or something else that is no data.
    """
    items = sequence_of(value)
    if items is not None:
        if len(items) > 2 and isinstance(items[0], str) and type(items[1]) is int:
            raise _UnknownError  # a tensor in a list of numbers
        return [_number(item) for item in items]
    found = mapping_of(value)
    if found is None:
        return value
    kind, config = found.get("class_name"), mapping_of(found.get("config")) or {}
    if kind in ("__numpy__", "__tensor__"):
        return _number(config.get("value"))
    if kind in ("__tuple__", "TensorShape", "Dimension"):
        return _number(found.get("items", found.get("value")))
    if kind == "DType" or "name" in config:
        return config.get("name")
    raise _UnknownError


def _key(value: Any) -> list[Any]:
    """What stood in ``x[…]``, slices as texts."""
    items = sequence_of(value)
    found = mapping_of(value)
    if items is None and found is not None and found.get("class_name") == "__tuple__":
        items = sequence_of(found.get("items"))
    return [_place(item) for item in ([value] if items is None else items)]


def _place(item: Any) -> Any:
    found = mapping_of(item)
    if found is None:
        if item is None or item == "..." or type(item) is int:
            return item
        raise _UnknownError
    if found.get("class_name") == "__ellipsis__":
        return "..."
    bounds = mapping_of(found.get("config")) or found
    if not {"start", "stop", "step"} <= set(bounds):
        raise _UnknownError
    parts = [bounds["start"], bounds["stop"], bounds["step"]]
    if any(part is not None and type(part) is not int for part in parts):
        raise _UnknownError
    texts = ["" if part is None else str(part) for part in parts]
    return ":".join(texts if texts[2] else texts[:2])
