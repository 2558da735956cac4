"""The objective: weights, masks and padding as stated, and sums that stay exact."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import graphjit as gj
from graphjit.builder import Builder
from graphjit.errors import CaptureError, ShapeError
from graphjit.ops.reduce import ReduceSum
from graphjit.training.objective import Objective, accumulate, objective_of
from graphjit.types import BATCH, TensorType
from tests.training.statement import Array, normal

L = gj.layers


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def sequence_graph() -> gj.Graph:
    """One output (n, 4, 3)."""
    x = gj.Input((4, 5), name="x")
    return gj.Model(x, L.Dense(3, name="y")(x)).graph


def heads_graph() -> gj.Graph:
    """Outputs "a" (n, 2) and "b" (n, 1)."""
    x = gj.Input((5,), name="x")
    return gj.Model(x, [L.Dense(2, name="a")(x), L.Dense(1, name="b")(x)]).graph


def measured(
    objective: Objective, y: Array, p: Array, **given: Any
) -> tuple[float, dict[str, float]]:
    mask, weight = given.pop("mask", None), given.pop("weight", None)
    loss, sums = objective.measure([jnp.asarray(p)], [mask], [y], [weight], **given)
    return float(loss), objective.read(sums)


def longer(array: Array) -> Array:
    """With two more rows, of sevens (True in a mask)."""
    return np.concatenate([array, np.full_like(array[:2], 7)])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighed", ["not", "by row", "by step"])
@pytest.mark.parametrize("padded", [False, True])
def test_the_formulas_of_keras_1_and_2(
    masked: bool, weighed: str, padded: bool
) -> None:
    objective = objective_of(sequence_graph(), "mse", ["mae"], None, ["mape"])
    rng = np.random.default_rng(0)
    rows = 5
    y, p = normal(rows, 4, 3), normal(rows, 4, 3, seed=1)
    mask = rng.random((rows, 4)) > 0.4 if masked else None
    shape = {"not": None, "by row": (rows,), "by step": (rows, 4)}[weighed]
    weight = None if shape is None else rng.random(shape) * (rng.random(shape) > 0.3)

    # The statement: l · mask / mean(mask), then · w / mean(w ≠ 0), then the mean.
    values = ((y - p) ** 2).mean(-1)
    counts = np.ones((rows, 4))
    if mask is not None:
        values = values * mask / mask.mean()
        counts = counts * mask
    absolute = abs(y - p).mean(-1)
    unweighted = (absolute * counts).sum() / counts.sum()
    if weight is not None:
        spread = weight if weight.ndim == 2 else weight[:, None]
        values = values * spread / (weight != 0).mean()
        counts = counts * spread
    percents = 100 * (abs(y - p) / abs(y)).mean(-1)
    weighted = (percents * counts).sum() / counts.sum()

    given: dict[str, Any] = {"mask": mask, "weight": weight}
    if padded:
        y, p = longer(y), longer(p)
        given = {n: None if a is None else longer(a) for n, a in given.items()}
        given["row_mask"] = np.arange(rows + 2) < rows
    loss, logs = measured(objective, y, p, **given)
    assert loss == pytest.approx(values.mean(), rel=1e-5)
    assert logs == {
        "loss": pytest.approx(values.mean(), rel=1e-5),
        "mae": pytest.approx(unweighted, rel=1e-5),
        "mape": pytest.approx(weighted, rel=1e-4),
    }


def test_nothing_counts() -> None:
    objective = objective_of(sequence_graph(), "mse", ["mae"])
    y, p = normal(2, 4, 3), jnp.asarray(normal(2, 4, 3, seed=1))

    def loss(p: Any) -> Any:
        return objective.measure([p], [None], [y], [np.zeros(2)])[0]

    value, slope = jax.value_and_grad(loss)(p)
    assert value == 0
    assert not np.asarray(slope).any()


def test_nan_under_a_mask_counts_for_nothing() -> None:
    objective = objective_of(sequence_graph(), "mse", ["mae"])
    y, p = normal(2, 4, 3), normal(2, 4, 3, seed=1)
    mask = np.ones((2, 4), bool)
    mask[0, 1] = False
    wanted = measured(objective, y, p, mask=mask)
    p[0, 1] = np.nan
    assert measured(objective, y, p, mask=mask) == wanted


def test_sums_stay_exact_over_many_batches() -> None:
    objective = objective_of(heads_graph(), [None, "mse"])
    sums = np.zeros(objective.size, np.float32)
    sums[:2] = 2**20 + 1, 1
    sums[-2:] = 0.1, 1
    batches = 3000

    def step(total: Any, _: Any) -> tuple[Any, None]:
        return accumulate(total, jnp.asarray(sums)), None

    total = jax.jit(lambda t: jax.lax.scan(step, t, length=batches)[0])(
        objective.zeros()
    )
    # The exact count has 32 bits; float32 alone holds 24.
    rows = np.asarray(total, np.float64)[:, 0].sum()
    assert rows == batches * (2**20 + 1)
    mean = objective.read(total)["b_loss"]
    assert mean == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_the_batch_at_which_the_loss_went_bad() -> None:
    objective = objective_of(heads_graph(), [None, "mse"])
    total = jnp.asarray(objective.zeros())
    assert objective.batches_until_bad(total) is None
    for value in (1.0, 1.0, np.nan, 1.0, np.inf):
        p = np.full((3, 1), value)
        outputs, targets = [p, p], [None, np.zeros((3, 1))]
        _, sums = objective.measure(outputs, [None] * 2, targets, [None] * 2)
        total = accumulate(total, sums)
    assert objective.batches_until_bad(total) == 2


def test_a_loss_of_the_users_may_give_one_number() -> None:
    def worst(y_true: Any, y_pred: Any) -> Any:
        return jnp.max(abs(y_true - y_pred))

    objective = objective_of(sequence_graph(), worst, [worst])
    y, p = normal(2, 4, 3), normal(2, 4, 3, seed=1)
    loss, logs = measured(objective, y, p)
    assert loss == pytest.approx(abs(y - p).max())
    assert logs["worst"] == pytest.approx(abs(y - p).max())
    text = (
        "loss: expected one value per sample, to be weighed by sample weights, "
        "received one number for the batch"
    )
    with pytest.raises(ShapeError, match=exactly(text)):
        measured(objective, y, p, weight=np.ones(2))


def test_an_output_of_one_number_per_row() -> None:
    builder = Builder("sums")
    x = builder.input("x", TensorType((BATCH, 3), "float32"))
    builder.output("y", builder(ReduceSum((1,)), x))
    objective = objective_of(builder.build(), "mse", ["mae", "accuracy"])
    y, p = normal(5), normal(5, seed=1)
    loss, logs = measured(objective, y, p)
    assert loss == pytest.approx(((y - p) ** 2).mean(), rel=1e-5)
    assert logs["mae"] == pytest.approx(abs(y - p).mean(), rel=1e-5)
    assert logs["accuracy"] == 0


def test_a_mask_that_does_not_fit() -> None:
    objective = objective_of(sequence_graph(), "mse")
    text = "loss: a mask or weights of shape (2, 3) do not fit values of shape (2, 4)"
    with pytest.raises(ShapeError, match=exactly(text)):
        measured(objective, normal(2, 4, 3), normal(2, 4, 3), mask=np.ones((2, 3)))


# --- what the arguments of compile mean -------------------------------------------


def names(*args: Any) -> tuple[str, ...]:
    return objective_of(heads_graph(), *args).names


def test_names_of_several_outputs() -> None:
    assert names("mse") == ("loss", "a_loss", "b_loss")
    assert names({"b": "mse"}) == ("loss", "b_loss")
    assert names(["mse", "mae"], ["acc"]) == (
        *("loss", "a_loss", "b_loss"),
        *("a_acc", "b_acc"),
    )
    both = ("loss", "a_loss", "b_loss", "a_mae", "a_mse", "b_acc")
    assert names("mse", [["mae", "mse"], ["acc"]]) == both
    assert names("mse", {"a": ["mae", "mse"], "b": "acc"}) == both
    assert names("mse", [["mae"], []]) == ("loss", "a_loss", "b_loss", "a_mae")


def test_names_of_one_output() -> None:
    graph = sequence_graph()
    found = objective_of(graph, "mse", ["mae", "mae", gj.losses.mae], None, ["mae"])
    assert found.names == (
        *("loss", "mae", "mae_1", "mean_absolute_error", "weighted_mae"),
    )
    assert objective_of(graph, "mse", "ce").names == ("loss", "ce")


def test_loss_weights() -> None:
    for given in ([2.0, 0.5], {"a": 2.0, "b": 0.5}, (2, 0.5)):
        assert objective_of(heads_graph(), "mse", None, given).factors == (2.0, 0.5)
    assert objective_of(heads_graph(), "mse", None, {"b": 3}).factors == (1.0, 3.0)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            (["mse"] * 3,),
            "loss: expected 2 for the outputs ['a', 'b'], received 3",
        ),
        (
            ({"aa": "mse"},),
            "loss: expected the name of an output ('a', 'b'), received 'aa'\n"
            "  hint: did you mean 'a'?",
        ),
        (
            ("mse", None, ["x", 1]),
            "loss_weights: output 'a': expected a number, received 'x'",
        ),
        (
            ("mse", {"c": "acc"}),
            "metrics: expected the name of an output ('a', 'b'), received 'c'",
        ),
        (
            ("mse", ["akkuracy"]),
            "metric: expected the name of a metric or a loss, received 'akkuracy'\n"
            "  hint: did you mean 'accuracy'?",
        ),
    ],
)
def test_refusals(args: tuple[Any, ...], text: str) -> None:
    with pytest.raises(CaptureError, match=exactly(text)):
        objective_of(heads_graph(), *args)
