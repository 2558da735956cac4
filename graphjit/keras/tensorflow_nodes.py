"""Nodes of TensorFlow's graph, which TensorFlow 1.15 to 2.3 wrote as layers.

A TensorFlowOpLayer holds the node as data: its op, how many inputs it has, attributes;
and the inputs that are constants, by their places. The others are the call's tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from graphjit.narrow import mapping_of, sequence_of

__all__ = ["function_of_node"]

#: Ops whose inputs are all operands.
_PLAIN: Final[Mapping[str, str]] = {
    "Abs": "absolute",
    "Add": "add",
    "AddV2": "add",
    "BatchMatMulV2": "matmul",
    "Cos": "cos",
    "Elu": "elu",
    "Equal": "equal",
    "Exp": "exp",
    "Floor": "floor",
    "FloorDiv": "floor_divide",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "Identity": "identity",
    "Less": "less",
    "LessEqual": "less_equal",
    "Log": "log",
    "Log1p": "log1p",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Mul": "multiply",
    "Neg": "negative",
    "Pow": "power",
    "RealDiv": "true_divide",
    "Relu": "relu",
    "Relu6": "relu6",
    "Rsqrt": "rsqrt",
    "SelectV2": "where",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Softmax": "softmax",
    "Softplus": "softplus",
    "Sqrt": "sqrt",
    "Square": "square",
    "SquaredDifference": "squared_difference",
    "StopGradient": "stop_gradient",
    "Sub": "subtract",
    "Tanh": "tanh",
}
#: Ops whose last input is a setting.
_LAST: Final[Mapping[str, tuple[str, str]]] = {
    "ArgMax": ("argmax", "axis"),
    "ConcatV2": ("concatenate", "axis"),
    "ExpandDims": ("expand_dims", "axis"),
    "Max": ("max", "axis"),
    "Mean": ("mean", "axis"),
    "Min": ("min", "axis"),
    "Pad": ("pad", "pad_width"),
    "Prod": ("prod", "axis"),
    "Reshape": ("reshape", "newshape"),
    "Sum": ("sum", "axis"),
    "Tile": ("tile", "repeats"),
    "Transpose": ("transpose", "axes"),
}
_REDUCED: Final = ("Max", "Mean", "Min", "Prod", "Sum")
_DTYPES: Final[Mapping[str, str]] = {
    "DT_BOOL": "bool",
    "DT_DOUBLE": "float64",
    "DT_FLOAT": "float32",
    "DT_HALF": "float16",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
}


def function_of_node(
    config: Mapping[str, Any], tensors: Sequence[Any]
) -> tuple[str, list[Any], dict[str, Any]] | None:
    """The function of a node, its operands and settings; None where there is none.

    Args:
        config: Of the layer.
        tensors: What the layer was called on, in order.
    """
    node = _node(config.get("node_def"))
    inputs = sequence_of(node.get("input")) or []
    constants = mapping_of(config.get("constants")) or {}
    places = {int(at): value for at, value in constants.items() if str(at).isdigit()}
    if len(places) + len(tensors) != len(inputs) or max(places, default=0) >= len(
        inputs
    ):
        return None
    rest = iter(tensors)
    operands = [places[at] if at in places else next(rest) for at in range(len(inputs))]
    op, attributes = str(node.get("op")), mapping_of(node.get("attr")) or {}
    if op in _PLAIN:
        return _PLAIN[op], operands, {}
    if op in _LAST and len(inputs) - 1 in places:
        function, setting = _LAST[op]
        settings: dict[str, Any] = {setting: operands.pop()}
        if op in _REDUCED and _attribute(attributes, "keep_dims"):
            settings["keepdims"] = True
        return function, operands, settings
    return _by_attributes(op, operands, attributes)


def _by_attributes(
    op: str, operands: list[Any], attributes: Mapping[str, Any]
) -> tuple[str, list[Any], dict[str, Any]] | None:
    """Ops whose settings are attributes of the node."""
    if op == "Cast":
        dtype = _DTYPES.get(str(_attribute(attributes, "DstT")))
        return None if dtype is None else ("cast", operands, {"dtype": dtype})
    if op == "LeakyRelu":
        slope = _attribute(attributes, "alpha")
        given = 0.2 if slope is None else slope
        return "leaky_relu", operands, {"negative_slope": given}
    if op == "Pack":
        return "stack", operands, {"axis": int(_attribute(attributes, "axis") or 0)}
    if op == "Squeeze":
        listed = sequence_of(_attribute(attributes, "squeeze_dims")) or []
        axes = [int(axis) for axis in listed]
        return "squeeze", operands, {"axis": axes} if axes else {}
    if op == "MatMul":
        names = ("transpose_a", "transpose_b")
        turned = {name: True for name in names if _attribute(attributes, name)}
        return "matmul", operands, turned
    return None


def _node(written: Any) -> Mapping[str, Any]:
    """A node as a dictionary, or as the JSON of one."""
    if isinstance(written, str):
        try:
            written = json.loads(written)
        except (ValueError, RecursionError):
            return {}
    return mapping_of(written) or {}


def _attribute(attributes: Mapping[str, Any], name: str) -> Any:
    """The value of an attribute: protobuf's JSON says of which kind it is."""
    found = mapping_of(attributes.get(name)) or {}
    listed = mapping_of(found.get("list"))
    if listed is not None:
        return next(iter(listed.values()), None)
    return next(iter(found.values()), None)
