"""How XLA compiles a whole program: options with rules from measurement.

A kernel is chosen for an op; an option of the compiler holds for all of a program.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import jax
import numpy as np
from jax.core import Tracer

from graphjit.ir import Graph, Node
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.elementwise import Relu, Sigmoid, Tanh
from graphjit.tuning import Tuning
from graphjit.types import TensorType

__all__ = ["OPTIONS", "Program", "ProgramOption", "chosen_option", "known_options"]


@dataclass(frozen=True, slots=True)
class ProgramOption:
    """A set of compiler options, and the graphs whose programs are faster for it.

    Attributes:
        name: In `Executable.explain` and in a `Tuning`.
        platform: Where it can be asked for.
        options: By XLA's names.
        can: Whether it may pay for a graph: `autotune` measures it there.
        when: Where, of these, it pays without being measured.
        measured: The gains there.
    """

    name: str
    platform: str
    options: Mapping[str, str]
    can: Callable[[Graph], bool]
    when: Callable[[Graph], bool]
    measured: str


# --- XLA:CPU's library of convolutions ----------------------------------------------
#
# By itself XLA gives its library (YNNPACK) a convolution or a product alone, and a
# pooling or a sum with all that comes before it. With LIBRARY_EPILOGUES the library
# computes what follows a convolution too, piece by piece, and large maps are not
# written and read again. There `max(NaN, 0)` is 0, as it is in front of a max pooling
# without the option: a NaN that the data holds may be lost in a ReLU.

#: Ops that its library fuses, or that stand between convolutions without elementwise
#: work of their own. By itself, elementwise work is slower there than in XLA's loops:
#: 0.5 to 0.9 of the speed for depthwise sums, norms, attention, LeakyReLU.
_FUSED: Final = frozenset(
    "add average_pool concatenate conv conv_transpose dense max_pool pad reduce_mean "
    "reshape softmax transpose upsample".split()
)

#: Functions of an epilogue that it knows: no `where`, as LeakyReLU or ReLU6 have it.
_EPILOGUES: Final = (Relu(), Sigmoid(), Tanh())

#: Lowerings of a convolution that end in one, or in a product.
_DENSE: Final = frozenset(("", "pointwise_dot", "filled_channels"))

#: XLA gives it convolutions with more channels than this on one side.
_FEW: Final = 16


def _is_fused(node: Node, types: Mapping[Any, TensorType]) -> bool:
    if node.op.kind not in _FUSED or any(t.dtype != "float32" for t in node.types):
        return False
    if not all(stage in _EPILOGUES for stage in node.epilogue):
        return False
    return node.op.kind != "conv" or _is_dense(node, types)


def _is_dense(node: Node, types: Mapping[Any, TensorType]) -> bool:
    """Whether a convolution of two axes goes to the library."""
    kernel = node.operands[1]
    shape = () if kernel is None else types[kernel].shape
    grouped = isinstance(node.op, ConvOp) and node.op.groups != 1
    if len(shape) != 4 or grouped or node.kernel not in _DENSE:
        return False
    wide = any(isinstance(dim, int) and dim > _FEW for dim in shape[2:])
    return wide or node.kernel == "pointwise_dot"


def _dense_convolutions(graph: Graph) -> bool:
    """Convolutions with their epilogues, and what stands between them."""
    types = graph.types()
    return any(node.op.kind == "conv" for node in graph.nodes) and all(
        _is_fused(node, types) for node in graph.nodes
    )


def _joins(graph: Graph) -> bool:
    return any(node.op.kind == "concatenate" for node in graph.nodes)


LIBRARY_EPILOGUES: Final = ProgramOption(
    "library_epilogues",
    "cpu",
    MappingProxyType(
        {
            "xla_cpu_experimental_ynn_fusion_type": ",".join(
                f"LIBRARY_FUSION_TYPE_{what}"
                for what in (
                    "INDIVIDUAL_DOT",
                    "INDIVIDUAL_CONVOLUTION",
                    "REDUCE",
                    "ELTWISE",
                )
            )
        }
    ),
    _dense_convolutions,
    _joins,
    "joined by concatenation, b1 and b8: Inception 1.15-1.50x, U-Net 1.19-1.37x, "
    "SqueezeNet 0.87-1.19x; otherwise, b1 to b32, 0.93-1.5x",
)

OPTIONS: Final = (LIBRARY_EPILOGUES,)


# --- choosing -----------------------------------------------------------------------


def known_options(graph: Graph, platform: str) -> list[ProgramOption]:
    """Options that may pay for a graph, and that this version of XLA knows."""
    return [
        option
        for option in OPTIONS
        if option.platform == platform
        and option.can(graph)
        and not any(name in os.environ.get("XLA_FLAGS", "") for name in option.options)
        and _is_known(tuple(option.options.items()))
    ]


def chosen_option(
    graph: Graph, platform: str, tuning: Tuning | None = None
) -> tuple[ProgramOption | None, str]:
    """The option a graph's program is compiled with, and why.

    A choice that was measured on this platform goes before the rules. Flags that the
    user has set in the environment are left as they are.

    Args:
        graph: An optimized graph.
        platform: The platform it is compiled for.
        tuning: What was measured.
    """
    options = known_options(graph, platform)
    measured = tuning and tuning.platform == platform and tuning.program
    for option in options:
        if measured:
            if option.name == measured.kernel:
                return option, f"measured here: {measured.gain:.2f}x"
        elif option.when(graph):
            return option, option.measured
    return None, ""


class Program:
    """A function jitted with an option's settings where it is a program of its own.

    JAX takes settings for outermost programs alone. Inside another function that JAX
    traces it becomes a part of that function's program, and is compiled as that is.
    """

    def __init__(self, function: Callable[..., Any], option: ProgramOption) -> None:
        self._own: Any = jax.jit(function, compiler_options=dict(option.options))
        self._part: Any = jax.jit(function)

    def __call__(self, *given: Any) -> Any:
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(given)):
            return self._part(*given)
        # Of what is known already the results are, too, while something is traced.
        with jax.ensure_compile_time_eval():
            return self._own(*given)

    def lower(self, *given: Any) -> Any:
        """The program for arguments of these types, to be compiled ahead of time."""
        return self._own.lower(*given)


@lru_cache
def _is_known(options: tuple[tuple[str, str], ...]) -> bool:
    """Whether this version of XLA has them; found out by compiling next to nothing."""
    program: Any = jax.jit(jax.numpy.negative, compiler_options=dict(options))
    try:
        program.lower(np.float32(0)).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
