"""Arithmetic that runs once, done in NumPy: compiling it would take longer.

What packs the weights of a network is a few products of small arrays, once per layer.
XLA compiles every one of them apart: 0.6 s for ResNet50, as long as the network itself
takes; here it is 30 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import jax
import numpy as np
from jax.core import Tracer
from jax.extend.core import Literal

__all__ = ["HostOrCompiled"]

_Function = Callable[[Sequence[Any]], "tuple[Any, ...]"]
_Primitive = Callable[..., Any]


def _rsqrt(x: Any, **_: Any) -> Any:
    return np.reciprocal(np.sqrt(x))


def _broadcast(x: Any, shape: Any, broadcast_dimensions: Any, **_: Any) -> Any:
    lengths = dict(zip(broadcast_dimensions, x.shape, strict=True))
    widened = x.reshape([lengths.get(axis, 1) for axis in range(len(shape))])
    return np.broadcast_to(widened, shape)


def _reshape(x: Any, new_sizes: Any, dimensions: Any = None, **_: Any) -> Any:
    assert dimensions is None
    return x.reshape(new_sizes)


def _transpose(x: Any, permutation: Any) -> Any:
    return x.transpose(permutation)


def _concatenate(*parts: Any, dimension: int) -> Any:
    return np.concatenate(parts, dimension)


def _reverse(x: Any, dimensions: Any) -> Any:
    return np.flip(x, dimensions)


def _squeeze(x: Any, dimensions: Any) -> Any:
    return np.squeeze(x, dimensions)


def _select(which: Any, *cases: Any) -> Any:
    no, yes = cases
    where: Any = np.where  # pyright: ignore[reportUnknownVariableType]
    return where(which, yes, no)


def _elementwise(function: Any) -> _Primitive:
    return lambda *x, **_: function(*x)


#: By the name of a primitive of JAX, the same in NumPy. The rest is compiled.
_PRIMITIVES: Final[Mapping[str, _Primitive]] = {
    "add": _elementwise(np.add),
    "sub": _elementwise(np.subtract),
    "mul": _elementwise(np.multiply),
    "div": _elementwise(np.divide),
    "neg": _elementwise(np.negative),
    "max": _elementwise(np.maximum),
    "min": _elementwise(np.minimum),
    "sqrt": _elementwise(np.sqrt),
    "rsqrt": _rsqrt,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "rev": _reverse,
    "squeeze": _squeeze,
    "select_n": _select,
}
_DTYPES: Final = tuple(map(np.dtype, (np.float32, np.float64, np.bool_)))


class HostOrCompiled:
    """A function of arrays: in NumPy where it is plain arithmetic, else jitted.

    Which of the two is found out at the first call. On the host are: float32 and
    float64 on the CPU, where JAX's arrays are read in place. Results differ from the
    compiled function's by rounding.
    """

    def __init__(self, function: _Function, target: str) -> None:
        self._compiled: _Function = jax.jit(function)
        self._trace: Any = jax.make_jaxpr(function)
        self._target = target
        self._jaxpr: Any = None
        self._on_host: bool | None = None

    def __call__(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """The results, as JAX's arrays.

        Args:
            arrays: Always of the same shapes and dtypes.
        """
        if self._target != "cpu" or any(isinstance(a, Tracer) for a in arrays):
            return self._compiled(arrays)
        if self._on_host is None:
            closed = self._trace(arrays)
            self._jaxpr, self._on_host = closed, _is_arithmetic(closed)
        if not self._on_host:
            return self._compiled(arrays)
        given = [np.asarray(array) for array in arrays]
        with np.errstate(all="ignore"):  # as XLA does
            results = _evaluated(self._jaxpr, given)
        return tuple(jax.device_put([np.asarray(r, order="C") for r in results]))


def _is_arithmetic(closed: Any) -> bool:
    """Whether all of it is known here; inputs that nobody reads do not count."""
    jaxpr = closed.jaxpr
    used = [*jaxpr.outvars]
    for eqn in jaxpr.eqns:
        used += [*eqn.invars, *eqn.outvars]
    return all(atom.aval.dtype in _DTYPES for atom in used) and all(
        eqn.primitive.name in _PRIMITIVES for eqn in jaxpr.eqns
    )


def _evaluated(closed: Any, arrays: Sequence[Any]) -> list[Any]:
    """The results of a jaxpr; what nobody reads any more is let go on the way."""
    jaxpr = closed.jaxpr
    table: dict[Any, Any] = dict(zip(jaxpr.invars, arrays, strict=True))
    table.update(zip(jaxpr.constvars, map(np.asarray, closed.consts), strict=True))
    reads = [
        [v for v in eqn.invars if not isinstance(v, Literal)] for eqn in jaxpr.eqns
    ]
    last = {value: at for at, values in enumerate(reads) for value in values}
    kept = (atom for atom in jaxpr.outvars if not isinstance(atom, Literal))
    last.update(dict.fromkeys(kept, len(reads)))

    def read(atom: Any) -> Any:
        if isinstance(atom, Literal):
            aval: Any = atom.aval
            return np.asarray(atom.val, aval.dtype)
        return table[atom]

    for at, eqn in enumerate(jaxpr.eqns):
        compute = _PRIMITIVES[eqn.primitive.name]
        table[eqn.outvars[0]] = compute(*map(read, eqn.invars), **eqn.params)
        for value in {*reads[at]}:
            if last[value] == at:
                del table[value]
    return [read(atom) for atom in jaxpr.outvars]
