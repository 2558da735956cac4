"""What packs weights, in NumPy where it can be: as compiled, and for what else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit import host_arithmetic
from graphjit.compiling import compile_graph
from graphjit.host_arithmetic import HostOrCompiled


def data(*shape: int, dtype: str = "float32") -> Any:
    rng = np.random.default_rng(len(shape))
    return jnp.asarray(rng.uniform(0.5, 2, shape), dtype)


def every_primitive(arrays: Any) -> tuple[Any, ...]:
    """All that is done on the host, scalars, shared values and unused ones too."""
    a, b, scale = arrays
    folded = jax.lax.rsqrt(scale + 1e-3) * scale
    kernel = a * folded - jax.lax.neg(b / jnp.sqrt(scale))
    kept = jnp.minimum(jnp.maximum(kernel, 0.5), b)
    turned = jax.lax.rev(jnp.transpose(jnp.reshape(kept, (6, 4))), (0,))
    joined = jax.lax.concatenate([turned, turned], 0)
    row = jax.lax.squeeze(jnp.reshape(scale, (1, 4)), (0,))
    spread = jax.lax.select(np.arange(24).reshape(2, 3, 4) % 3 == 0, a, b)
    return joined, row, spread, a, jax.lax.broadcast_in_dim(scale, (2, 4), (1,))


def on_host(function: Callable[..., Any]) -> HostOrCompiled:
    """The function, which fails when it is compiled."""
    made = HostOrCompiled(function, "cpu")

    def refuse(arrays: Any) -> Any:
        raise AssertionError(f"compiled for {len(arrays)} arrays")

    made._compiled = refuse
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_host_gives_what_is_compiled(dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        arrays = [data(2, 3, 4, dtype=dtype), data(2, 3, 4, dtype=dtype)]
        arrays.append(data(4, dtype=dtype))
        found = on_host(every_primitive)(arrays)
        wanted = jax.jit(every_primitive)(arrays)
        for ours, theirs in zip(found, wanted, strict=True):
            assert isinstance(ours, jax.Array)
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            np.testing.assert_allclose(ours, theirs, 4 * np.finfo(dtype).eps)
        jaxpr: Any = jax.make_jaxpr(every_primitive)(arrays)
        used = {eqn.primitive.name for eqn in jaxpr.eqns}
        assert used == set(host_arithmetic._PRIMITIVES)


def test_scalars_and_broadcast_results_are_arrays_of_their_own() -> None:
    def function(arrays: Any) -> tuple[Any, ...]:
        (x,) = arrays
        return x * 2, jnp.broadcast_to(x, (3, 2)), x

    found = on_host(function)([jnp.float32(1.5)])
    assert [y.shape for y in found] == [(), (3, 2), ()]
    np.testing.assert_array_equal(found[1], np.full((3, 2), 1.5))


def test_inputs_that_nobody_reads_may_be_of_any_kind() -> None:
    def function(arrays: Any) -> tuple[Any, ...]:
        return (arrays[0] * 2,)

    found = on_host(function)([jnp.ones(2), jnp.int32(3)])
    np.testing.assert_array_equal(found[0], [2, 2])


def test_infinities_and_nans_pass_without_a_warning() -> None:
    def function(arrays: Any) -> tuple[Any, ...]:
        return (arrays[0] / (arrays[0] - arrays[0]), jax.lax.rsqrt(-arrays[0]))

    found = on_host(function)([jnp.ones(2)])
    assert np.isinf(found[0]).all()
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize(
    ("function", "dtype", "target"),
    [
        (lambda arrays: (jnp.exp(arrays[0]),), "float32", "cpu"),
        (lambda arrays: (arrays[0] * 2,), "bfloat16", "cpu"),
        (lambda arrays: (arrays[0] * 2,), "int32", "cpu"),
        (lambda arrays: (arrays[0],), "int32", "cpu"),
        (lambda arrays: (arrays[0] * 2,), "float32", "gpu"),
    ],
)
def test_the_rest_is_compiled(
    function: Callable[..., Any], dtype: str, target: str
) -> None:
    made, calls = HostOrCompiled(function, target), list[int]()
    compiled = made._compiled

    def counted(arrays: Any) -> Any:
        calls.append(len(arrays))
        return compiled(arrays)

    made._compiled = counted
    x = data(3, dtype=dtype)
    for _ in range(2):
        np.testing.assert_array_equal(made([x])[0], function([x])[0])
    assert calls == [1, 1]


def test_tracers_are_compiled() -> None:
    made = HostOrCompiled(lambda arrays: (arrays[0] * 2,), "cpu")
    slope = jax.grad(lambda x: made([x])[0].sum())(jnp.ones(2))
    np.testing.assert_array_equal(slope, [2, 2])


def test_norms_are_folded_on_the_host() -> None:
    x = gj.Input((6, 6, 3), name="x")
    h = L.BatchNormalization()(L.Conv2D(4, 3)(x))
    h = L.BatchNormalization()(L.DepthwiseConv2D(3)(h))
    model = gj.Model(x, L.Dense(2)(L.Flatten()(h)), name="m")
    exe = compile_graph(model.graph)
    exe._pack = on_host(exe._run_prologue)
    given = np.ones((2, 6, 6, 3), np.float32)
    found = exe.rebind(model.variables)(given)
    np.testing.assert_allclose(found, model.apply(model.variables, given), 1e-4, 1e-6)
