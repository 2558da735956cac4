"""Networks of the suite as somebody would write them in Flax (NNX)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax

from benchmarks.suite.nets import Built

__all__ = ["flax_call"]


def flax_call(built: Built) -> Callable[[Any], Any] | None:
    """A jitted call of the network in Flax; None for one that is not written here.

    Flax is imported here: it takes a second.
    """
    make = _NETS.get(built.net.name)
    if make is None:
        return None
    from flax import nnx as typed

    nnx: Any = typed
    model = make(nnx, iter(built.weights))
    model.eval()
    graph, state = nnx.split(model)

    def infer(state: Any, x: Any) -> Any:
        return nnx.merge(graph, state)(x)

    call: Any = jax.jit(infer)
    return lambda x: call(state, x)


def _linear(nnx: Any, weights: Iterator[Any]) -> Any:
    kernel, bias = next(weights), next(weights)
    layer = nnx.Linear(*kernel.shape, rngs=nnx.Rngs(0))
    layer.kernel[...], layer.bias[...] = kernel, bias
    return layer


def _conv_norm(nnx: Any, weights: Iterator[Any]) -> list[Any]:
    """A convolution without a bias, a batch norm as Keras has it, and a ReLU."""
    kernel, rngs = next(weights), nnx.Rngs(0)
    *window, channels, filters = kernel.shape
    conv = nnx.Conv(channels, filters, window, use_bias=False, rngs=rngs)
    conv.kernel[...] = kernel
    norm = nnx.BatchNorm(filters, epsilon=1e-3, rngs=rngs)
    for variable in (norm.scale, norm.bias, norm.mean, norm.var):
        variable[...] = next(weights)
    return [conv, norm, jax.nn.relu]


def _mlp(nnx: Any, weights: Iterator[Any]) -> Any:
    first, last = _linear(nnx, weights), _linear(nnx, weights)
    return nnx.Sequential(first, jax.nn.relu, last, jax.nn.softmax)


def _cnn6(nnx: Any, weights: Iterator[Any]) -> Any:
    def halved(x: Any) -> Any:
        return nnx.max_pool(x, (2, 2), (2, 2))

    def pooled(x: Any) -> Any:
        return x.mean((1, 2))

    layers: list[Any] = []
    for level in range(3):
        layers += [*_conv_norm(nnx, weights), *_conv_norm(nnx, weights)]
        layers += [halved if level < 2 else pooled]
    return nnx.Sequential(*layers, _linear(nnx, weights), jax.nn.softmax)


#: The smallest two: what Flax's own call costs, and a network of convolutions.
_NETS: dict[str, Callable[[Any, Iterator[Any]], Any]] = {
    "mlp": _mlp,
    "cnn6": _cnn6,
}
