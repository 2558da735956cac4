"""Nodes of TensorFlow's graph, which TensorFlow 1.15 to 2.3 wrote as layers.

A TensorFlowOpLayer holds the node as data: its op, how many inputs it has, attributes;
and the inputs that are constants, by their places. The others are the call's tensors.
From TensorFlow 2.2 on the node is protobuf's JSON, before it is its bytes, as a text.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from graphjit.formats.node_def import read_node
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["function_of_node", "op_of_node"]

#: Ops whose inputs are all operands.
_PLAIN: Final[Mapping[str, str]] = {
    "Abs": "absolute",
    "Acos": "arccos",
    "Add": "add",
    "AddV2": "add",
    "Asin": "arcsin",
    "Atan": "arctan",
    "Atan2": "arctan2",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Elu": "elu",
    "Equal": "equal",
    "Erf": "erf",
    "Exp": "exp",
    "Expm1": "expm1",
    "Floor": "floor",
    "FloorDiv": "floor_divide",
    "FloorMod": "mod",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "Identity": "identity",
    "Inv": "reciprocal",
    "IsFinite": "isfinite",
    "IsNan": "isnan",
    "Less": "less",
    "LessEqual": "less_equal",
    "Log": "log",
    "Log1p": "log1p",
    "LogSoftmax": "log_softmax",
    "LogicalAnd": "logical_and",
    "LogicalNot": "logical_not",
    "LogicalOr": "logical_or",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Mul": "multiply",
    "Neg": "negative",
    "NotEqual": "not_equal",
    "OnesLike": "ones_like",
    "Pow": "power",
    "RealDiv": "true_divide",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Relu6": "relu6",
    "Round": "round",
    "Rsqrt": "rsqrt",
    "SelectV2": "where",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Softmax": "softmax",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
    "Square": "square",
    "SquaredDifference": "squared_difference",
    "StopGradient": "stop_gradient",
    "Sub": "subtract",
    "Tan": "tan",
    "Tanh": "tanh",
    "ZerosLike": "zeros_like",
}
#: Ops whose last input is a setting.
_LAST: Final[Mapping[str, tuple[str, str]]] = {
    "All": ("all", "axis"),
    "Any": ("any", "axis"),
    "ArgMax": ("argmax", "axis"),
    "ArgMin": ("argmin", "axis"),
    "ConcatV2": ("concatenate", "axis"),
    "Cumprod": ("cumprod", "axis"),
    "Cumsum": ("cumsum", "axis"),
    "ExpandDims": ("expand_dims", "axis"),
    "GatherV2": ("take", "axis"),
    "Max": ("max", "axis"),
    "Mean": ("mean", "axis"),
    "Min": ("min", "axis"),
    "Pad": ("pad", "pad_width"),
    "Prod": ("prod", "axis"),
    "Reshape": ("reshape", "newshape"),
    "ReverseV2": ("flip", "axis"),
    "Sum": ("sum", "axis"),
    "Tile": ("tile", "repeats"),
    "Transpose": ("transpose", "axes"),
}
#: Attributes that change what these ops do, where they are set: not known here.
_UNKNOWN: Final = ("batch_dims", "exclusive", "reverse")
_DTYPES: Final[Mapping[str, str]] = {
    "DT_BOOL": "bool",
    "DT_DOUBLE": "float64",
    "DT_FLOAT": "float32",
    "DT_HALF": "float16",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
}

#: A function, its operands and settings.
Found: TypeAlias = tuple[str, list[Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Node:
    """A node: its op, and its inputs, of which some are constants."""

    op: str
    inputs: tuple[Any, ...]
    constants: Mapping[int, Any]
    attributes: Mapping[str, Any]

    def but(self, *places: int) -> list[Any]:
        """The inputs but those at some places."""
        return [item for at, item in enumerate(self.inputs) if at not in places]

    def __getitem__(self, name: str) -> Any:
        """The value of an attribute; None where there is none.

        Protobuf's JSON says of which kind it is; whole numbers are texts in it.
        """
        found = mapping_of(self.attributes.get(name)) or {}
        listed = mapping_of(found.get("list"))
        if listed is not None:
            return next(iter(listed.values()), None)
        return next(iter(found.values()), None)

    def whole(self, name: str) -> int:
        """A whole number; 0 where there is none."""
        return int(self[name] or 0)

    def text(self, name: str) -> str:
        """A text; protobuf's JSON has them in base 64."""
        return base64.b64decode(self[name] or "", validate=True).decode("ascii")


def function_of_node(config: Mapping[str, Any], tensors: Sequence[Any]) -> Found | None:
    """The function of a node, its operands and settings; None where there is none.

    Args:
        config: Of the layer.
        tensors: What the layer was called on, in order.
    """
    try:
        node = _node_of(config, tensors)
        return None if node is None else _function(node)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None  # it is no node of TensorFlow's


def op_of_node(config: Mapping[str, Any]) -> str:
    """The name of a node's op."""
    return str(_written(config.get("node_def")).get("op"))


def _node_of(config: Mapping[str, Any], tensors: Sequence[Any]) -> _Node | None:
    node = _written(config.get("node_def"))
    count = len(sequence_of(node.get("input")) or [])
    constants = mapping_of(config.get("constants")) or {}
    places = {int(at): value for at, value in constants.items()}
    if not all(0 <= at < count for at in places) or len(places) + len(tensors) != count:
        return None
    rest = iter(tensors)
    inputs = tuple([places[at] if at in places else next(rest) for at in range(count)])
    attributes = mapping_of(node.get("attr")) or {}
    return _Node(str(node.get("op")), inputs, places, attributes)


def _function(node: _Node) -> Found | None:
    """The function; a missing constant is a KeyError."""
    if node.op in _PLAIN:
        return _PLAIN[node.op], list(node.inputs), {}
    if any(map(node.__getitem__, _UNKNOWN)) and node["batch_dims"] != "0":
        return None
    if node.op in _LAST:
        function, setting = _LAST[node.op]
        last = len(node.inputs) - 1
        settings: dict[str, Any] = {setting: node.constants[last]}
        if node["keep_dims"]:
            settings["keepdims"] = True
        return function, node.but(last), settings
    form = _FORMS.get(node.op)
    return None if form is None else form(node)


# --- ops with settings of their own ------------------------------------------------


def _cast(node: _Node) -> Found:
    return "cast", list(node.inputs), {"dtype": _DTYPES[str(node["DstT"])]}


def _bias_add(node: _Node) -> Found | None:
    last = node.text("data_format") in ("", "NHWC")
    return ("add", list(node.inputs), {}) if last else None


def _clip(node: _Node) -> Found:
    settings = {"x_min": node.constants[1], "x_max": node.constants[2]}
    return "clip", node.but(1, 2), settings


def _leaky_relu(node: _Node) -> Found:
    slope = node["alpha"]
    settings = {"negative_slope": 0.2 if slope is None else slope}
    return "leaky_relu", list(node.inputs), settings


def _matmul(node: _Node) -> Found:
    """Its matrices may be turned; of real numbers the adjoint is that too."""
    turned = {
        ours: True
        for ours, theirs in (
            ("transpose_a", ("transpose_a", "adj_x")),
            ("transpose_b", ("transpose_b", "adj_y")),
        )
        if any(map(node.__getitem__, theirs))
    }
    return "matmul", list(node.inputs), turned


def _mirror_pad(node: _Node) -> Found:
    settings = {"pad_width": node.constants[1], "mode": node.text("mode").lower()}
    return "pad", node.but(1), settings


def _pad_with(node: _Node) -> Found:
    constants = node.constants
    settings = {"pad_width": constants[1], "constant_values": constants[2]}
    return "pad", node.but(1, 2), settings


def _one_hot(node: _Node) -> Found | None:
    if (node.constants[2], node.constants[3]) != (1, 0):
        return None
    settings = {"num_classes": node.constants[1], "axis": node.whole("axis")}
    return "one_hot", node.but(1, 2, 3), {**settings, "dtype": _DTYPES[str(node["T"])]}


def _resize(node: _Node) -> Found | None:
    """By the centres of pixels, as TensorFlow 2 does it."""
    if not node["half_pixel_centers"] or node["align_corners"]:
        return None
    method = "bilinear" if node.op == "ResizeBilinear" else "nearest"
    settings = {"size": node.constants[1], "interpolation": method}
    return "resize", node.but(1), settings


def _split(node: _Node) -> Found:
    settings = {"indices_or_sections": node.whole("num_split")}
    return "split", node.but(0), {**settings, "axis": node.constants[0]}


def _split_by_sizes(node: _Node) -> Found | None:
    sizes = sequence_of(node.constants[1]) or []
    if not sizes or not all(type(size) is int and size > 0 for size in sizes):
        return None
    ends = list(itertools.accumulate(sizes))[:-1]
    settings = {"indices_or_sections": ends, "axis": node.constants[2]}
    return "split", node.but(1, 2), settings


def _squeeze(node: _Node) -> Found:
    axes = [int(axis) for axis in sequence_of(node["squeeze_dims"]) or []]
    return "squeeze", list(node.inputs), {"axis": axes} if axes else {}


def _stack(node: _Node) -> Found:
    return "stack", list(node.inputs), {"axis": node.whole("axis")}


def _unstack(node: _Node) -> Found:
    return "unstack", list(node.inputs), {"axis": node.whole("axis")}


def _strided_slice(node: _Node) -> Found | None:
    """``x[…]``: bounds and steps, and a bit for each place in several masks."""
    bounds = [sequence_of(node.constants[at]) or [] for at in (1, 2, 3)]
    names = ("ellipsis", "new_axis", "shrink_axis", "begin", "end")
    masks = [node.whole(f"{name}_mask") for name in names]
    key: list[Any] = []
    for at, (start, stop, step) in enumerate(zip(*bounds, strict=True)):
        if not type(start) is type(stop) is type(step) is int:
            return None
        ellipsis, new, single, no_start, no_stop = [bool(m >> at & 1) for m in masks]
        if ellipsis:
            key.append("...")
        elif new:
            key.append(None)
        elif single:
            key.append(start)
        else:
            first, last = "" if no_start else start, "" if no_stop else stop
            key.append(f"{first}:{last}" if step == 1 else f"{first}:{last}:{step}")
    return "get_item", node.but(1, 2, 3), {"key": key}


_FORMS: Final[Mapping[str, Callable[[_Node], Found | None]]] = {
    "BatchMatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "BiasAdd": _bias_add,
    "Cast": _cast,
    "ClipByValue": _clip,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "MirrorPad": _mirror_pad,
    "OneHot": _one_hot,
    "Pack": _stack,
    "PadV2": _pad_with,
    "ResizeBilinear": _resize,
    "ResizeNearestNeighbor": _resize,
    "Split": _split,
    "SplitV": _split_by_sizes,
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Unpack": _unstack,
}


def _written(node: Any) -> Mapping[str, Any]:
    """A node as a dictionary: protobuf's JSON, or its bytes as a text."""
    if isinstance(node, str):
        try:
            return read_node(node.encode())
        except ValueError:
            return {}
    return mapping_of(node) or {}
