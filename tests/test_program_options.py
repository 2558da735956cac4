"""Compiler options for whole programs: where they are chosen, and that nothing else
than the speed changes by them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphjit as gj
from graphjit import program_options
from graphjit.ir import Graph
from graphjit.lower import lower
from graphjit.program_options import LIBRARY_EPILOGUES, chosen_option, known_options
from graphjit.tuning import PROGRAM, Choice, Tuning
from tests.profiles import examples

L = gj.layers
NAME = LIBRARY_EPILOGUES.name


def block(x: Any, filters: int, **settings: Any) -> Any:
    given: Any = {"padding": "same", "activation": "relu"} | settings
    return L.Conv2D(filters, 3, **given)(x)


def joined(between: Callable[[Any], Any] = lambda h: h, **settings: Any) -> gj.Model:
    """Two branches of convolutions, joined; and something in one of them."""
    x = gj.Input((16, 16, 20), name="x")
    left = between(block(x, 24, **settings))
    y = L.Concatenate()([left, block(block(x, 24), 24)])
    y = L.GlobalAveragePooling2D()(L.MaxPooling2D(2)(block(y, 18)))
    return gj.Model(x, L.Dense(5, activation="softmax")(y), name="joined")


def chain() -> gj.Model:
    x = gj.Input((16, 16, 20), name="x")
    return gj.Model(x, block(block(x, 24), 24), name="chain")


def data(rows: int = 2) -> Any:
    return np.random.default_rng(0).normal(size=(rows, 16, 16, 20)).astype("float32")


@pytest.mark.usefixtures("optimized")
def test_joined_convolutions_are_compiled_with_their_epilogues() -> None:
    exe: Any = gj.jit(joined())
    assert exe.option is LIBRARY_EPILOGUES
    assert f"compiled with {NAME} (joined by concatenation" in exe.explain()
    lowered = exe._main.lower(exe._bound(), (), (data(),), None)
    text: str = lowered.compile().as_text()
    fused = "\n".join(line for line in text.splitlines() if " fusion(" in line)
    result = r"%(?!wrapped_broadcast).* = f32\[2,16,16,(?:24|18)\].* kind=(\w+)"
    kinds = re.findall(result, fused)
    # None of the convolutions' results are left to a loop of XLA's own.
    assert kinds
    assert set(kinds) == {"kCustom"}


def test_channels_first_is_as_channels_last() -> None:
    x = gj.Input((20, 16, 16), name="x")
    first: Any = {"padding": "same", "activation": "relu"}
    first["data_format"] = "channels_first"
    left, right = (L.Conv2D(24, 3, **first)(x) for _ in range(2))
    y = L.Conv2D(18, 3, **first)(L.Concatenate(axis=1)([left, right]))
    exe = gj.jit(gj.Model(x, y))
    assert {node.op.kind for node in exe.graph.nodes} >= {"transpose"}
    assert exe.option is LIBRARY_EPILOGUES


def test_without_a_rule_nothing_is_asked_for() -> None:
    exe = gj.jit(chain())
    assert exe.option is None
    assert NAME not in exe.explain()
    assert [option.name for option in known_options(exe.graph, "cpu")] == [NAME]


REFUSED: Mapping[str, Callable[[], gj.Model]] = {
    "depthwise": lambda: joined(L.DepthwiseConv2D(3, padding="same")),
    "groups": lambda: joined(
        lambda h: L.Conv2D(192, 3, groups=3)(L.Conv2D(192, 1)(L.ZeroPadding2D()(h)))
    ),
    "LeakyReLU": lambda: joined(L.LeakyReLU()),
    "ReLU6": lambda: joined(activation="relu6"),
    "norm by itself": lambda: joined(L.LayerNormalization()),
    "few channels": lambda: joined(
        lambda h: block(L.Conv2D(8, 3, padding="same")(h), 16)
    ),
    "elementwise work by itself": lambda: joined(lambda h: L.Multiply()([h, h])),
    "a recurrent layer": lambda: joined(
        lambda h: L.Reshape((16, 16, 24))(
            L.GRU(24, return_sequences=True)(L.Reshape((256, 24))(h))
        )
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_graphs_with_other_work_are_compiled_as_ever(what: str) -> None:
    exe = gj.jit(REFUSED[what]())
    assert exe.option is None
    assert known_options(exe.graph, "cpu") == []


def test_other_platforms_and_wide_numbers_too() -> None:
    graph = gj.jit(joined()).graph
    assert chosen_option(graph, "gpu") == (None, "")
    before = gj.config.floatx()
    gj.config.set_floatx("float64")
    try:
        assert gj.jit(joined()).option is None
    finally:
        gj.config.set_floatx(before)


def test_the_users_own_flags_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    (flag,) = LIBRARY_EPILOGUES.options
    monkeypatch.setenv("XLA_FLAGS", f"--{flag}=LIBRARY_FUSION_TYPE_REDUCE")
    assert gj.jit(joined()).option is None


def test_a_compiler_that_does_not_know_them_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(options: tuple[tuple[str, str], ...]) -> Any:
        return known((*options, ("xla_cpu_no_such_option", "1")))

    module: Any = program_options
    known = module._is_known
    assert known(tuple(LIBRARY_EPILOGUES.options.items()))
    monkeypatch.setattr(program_options, "_is_known", unknown)
    exe = gj.jit(joined())
    assert exe.option is None
    assert exe(data()).shape == (2, 5)


INSIDE: Mapping[str, Callable[[gj.Executable, Any], Any]] = {
    "jit": lambda exe, x: jax.jit(lambda x: exe(x))(x),
    "jit of a constant": lambda exe, x: jax.jit(lambda y: exe(x) + y)(0.0),
    "vmap": lambda exe, x: jax.vmap(exe)(x[:, None])[:, 0],
    "jvp": lambda exe, x: jax.jvp(exe, (x,), (x,))[0],
    "loop": lambda exe, x: jax.lax.map(lambda row: exe(row[None])[0], x),
}


@pytest.mark.parametrize("how", INSIDE)
def test_inside_another_program_they_are_left_out(how: str) -> None:
    exe = gj.jit(joined())
    assert exe.option is LIBRARY_EPILOGUES
    x = jax.numpy.asarray(data())
    found = INSIDE[how](exe, x)
    np.testing.assert_allclose(found, np.asarray(exe(x)), rtol=1e-4, atol=1e-6)


def test_gradients_are_taken_of_them_too() -> None:
    model = joined()
    x = jax.numpy.asarray(data())
    plain = lower(gj.passes.run(model.graph, (gj.passes.ToInference(),))[0])
    variables = model.variables

    def by_plain(x: Any) -> Any:
        return plain(variables["params"], variables["state"], x).outputs[:, 2].sum()

    exe = gj.jit(model)
    for transformed in (jax.grad, lambda f: jax.jit(jax.grad(f))):
        found = transformed(lambda x: exe(x)[:, 2].sum())(x)
        wanted = np.asarray(jax.grad(by_plain)(x))
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)


def test_programs_are_compiled_ahead_of_time() -> None:
    exe = gj.jit(joined()).warm([1, 4])
    assert exe(data(4)).shape == (4, 5)


# --- the same results ---------------------------------------------------------------

ACTIVATIONS = st.sampled_from(["relu", "sigmoid", "tanh", None])


@st.composite
def networks(draw: st.DrawFn) -> gj.Model:
    """Convolutions in branches, with pools, sums and enlarged maps between them."""
    x = h = gj.Input(
        (draw(st.integers(15, 21)), draw(st.integers(15, 21)), 3), name="x"
    )
    for _ in range(draw(st.integers(1, 3))):
        filters, size = draw(st.integers(17, 20)), draw(st.integers(1, 3))
        settings: Any = {"padding": "same", "activation": draw(ACTIVATIONS)}
        left = L.Conv2D(filters, size, **settings)(h)
        right = L.BatchNormalization()(L.Conv2D(filters, 1, use_bias=False)(h))
        right = L.ReLU()(right)
        h = draw(st.sampled_from([L.Concatenate, L.Add]))()([left, right])
        h = draw(
            st.sampled_from(
                [L.MaxPooling2D, L.AveragePooling2D, L.UpSampling2D, L.ReLU]
            )
        )()(h)
        h = L.Conv2D(18, 1, activation="relu")(L.Concatenate()([h, h]))
    return gj.Model(x, [L.GlobalAveragePooling2D()(h), h], name="drawn")


@pytest.mark.usefixtures("optimized")
@given(networks(), st.integers(1, 3), st.integers(0, 2**16))
@examples(8)
def test_programs_give_what_the_plain_graph_gives(
    model: gj.Model, rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    arrays: list[Any] = [rng.normal(size=w.shape) for w in model.get_weights()]
    scaled = [abs(a) + 0.1 if a.ndim == 1 else a / math.sqrt(a.size) for a in arrays]
    model.set_weights([a.astype("float32") for a in scaled])
    exe = gj.jit(model)
    assert exe.option is LIBRARY_EPILOGUES
    x = rng.normal(size=(rows, *model.input_shape[1:])).astype("float32")
    plain = lower(gj.passes.run(model.graph, (gj.passes.ToInference(),))[0])
    wanted = plain(model.variables["params"], model.variables["state"], x).outputs
    for found, right in zip(exe(x), wanted, strict=True):
        given: Any = np.asarray(right)
        scale = float(np.abs(given).max(initial=1.0))
        np.testing.assert_allclose(np.asarray(found), right, rtol=0, atol=2e-5 * scale)


@pytest.mark.usefixtures("optimized")
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_what_is_no_number_stays_none(activation: str) -> None:
    """Of a maximum XLA's library takes the number: `LIBRARY_EPILOGUES` says where."""
    x = gj.Input((16, 16, 20), name="x")
    left, right = (L.Conv2D(24, 1, activation=activation)(x) for _ in range(2))
    exe = gj.jit(gj.Model(x, L.Concatenate()([left, right])))
    assert exe.option is LIBRARY_EPILOGUES
    given = data()
    given[0, 3, 5, 7] = np.nan
    missing = np.isnan(exe(given))
    assert missing[0, 3, 5].all()
    assert missing.sum() == 48


# --- measuring ----------------------------------------------------------------------


def measured(exe: gj.Executable) -> Choice:
    assert exe.tuning is not None
    assert exe.tuning.program is not None
    return exe.tuning.program


def test_what_measures_fastest_is_taken(clock: dict[str, float]) -> None:
    clock.update({"": 3.0, NAME: 2.0})
    exe = gj.jit(chain(), autotune=True, batch_size=3)
    assert measured(exe) == Choice(PROGRAM, (), NAME, 1.5)
    assert exe.option is LIBRARY_EPILOGUES
    assert f"compiled with {NAME} (measured here: 1.50x)" in exe.explain()
    assert f"program: {NAME}, 1.50x" in exe.explain()
    model = chain()
    model.tuning = exe.tuning
    assert gj.jit(gj.from_bytes(gj.to_bytes(model))).option is LIBRARY_EPILOGUES


def test_the_rules_choice_goes_where_it_measures_slower(
    clock: dict[str, float],
) -> None:
    clock.update({"": 2.0, NAME: 3.0})
    exe = gj.jit(joined(), autotune=True)
    assert measured(exe).kernel == ""
    assert exe.option is None


def test_a_small_gain_changes_nothing(clock: dict[str, float]) -> None:
    clock.update({"": 2.0, NAME: 2.1})
    assert gj.jit(joined(), autotune=True).option is LIBRARY_EPILOGUES
    clock.update({"": 2.1, NAME: 2.0})
    assert gj.jit(chain(), autotune=True).option is None


def test_nothing_is_measured_where_nothing_may_pay(clock: dict[str, float]) -> None:
    clock.update({"": 1.0})
    x = gj.Input((None, 16, 20), name="x")
    open_sizes = gj.Model(x, block(x, 24))
    for model in (REFUSED["depthwise"](), open_sizes):
        exe = gj.jit(model, autotune=True)
        assert exe.tuning is not None
        assert exe.tuning.program is None


def test_what_another_platform_measured_does_not_count() -> None:
    graph: Graph = gj.jit(joined()).graph
    there = Tuning("gpu", "a card", 1, (Choice(PROGRAM, (), "", 2.0),))
    option, why = chosen_option(graph, "cpu", there)
    assert option is LIBRARY_EPILOGUES
    assert why == LIBRARY_EPILOGUES.measured


def test_a_tuning_that_names_an_unknown_option_asks_for_none() -> None:
    newer = Tuning("cpu", "here", 1, (Choice(PROGRAM, (), "of_tomorrow", 2.0),))
    assert chosen_option(gj.jit(joined()).graph, "cpu", newer) == (None, "")
