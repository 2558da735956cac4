"""The recurrent ops by themselves: refusals, rows, costs."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit import initializers
from graphjit.builder import Builder
from graphjit.errors import CaptureError, ShapeError
from graphjit.functions import function_of
from graphjit.ops import elementwise as ew
from graphjit.ops.function_op import FunctionOp
from graphjit.ops.recurrent.cell_ops import GRUCellOp, LSTMCellOp, LSTMGates
from graphjit.ops.recurrent.forget_bias import ForgetBias
from graphjit.ops.recurrent.rows import (
    Drop,
    FillRows,
    FoldTime,
    Reverse,
    SelectRows,
    UnfoldTime,
)
from graphjit.ops.recurrent.sequence_ops import GRUOp, LSTMOp, SimpleRNNOp
from graphjit.passes.mask_rows import can_mask_rows
from graphjit.types import TensorType


def t(*shape: Any, dtype: str = "float32") -> TensorType:
    return TensorType(shape, dtype)


X, K, R, B = t("batch", 5, 3), t(3, 16), t(4, 16), t(16)
H = t("batch", 4)
MASK = t("batch", 5, dtype="bool")
LSTM = LSTMOp(ew.Tanh(), recurrent_activation=ew.Sigmoid())
DROPPING = LSTMOp(drops=True)


def doubled(x: Any) -> Any:
    return 2 * x


ROUNDING = FunctionOp(function_of(doubled), t("batch", 7))

REFUSED: dict[str, tuple[Any, list[TensorType | None], str]] = {
    "rank": (LSTM, [t("batch", 3), K, R], "expected x of rank 3 (n, t, c), received"),
    "kernel rank": (LSTM, [X, t(3), R], "expected matrices, received float32[3] and"),
    "recurrent": (
        LSTM,
        [X, K, t(4, 12)],
        "expected a recurrent kernel (4, 4 * 4): float32[4, 12]",
    ),
    "columns": (
        LSTM,
        [X, t(3, 12), R],
        "expected a kernel of 4 * 4 columns, received float32[3, 12]",
    ),
    "channels": (
        LSTM,
        [t("batch", 5, 2), K, R],
        "kernel wants 3 input channels, x has 2",
    ),
    "unknown channels": (
        LSTM,
        [t("batch", 5, None), K, R],
        "kernel wants 3 input channels, x has an unknown number",
    ),
    "bias": (LSTM, [X, K, R, t(12)], "bias: expected shape (16,), received (12,)"),
    "bias of both": (
        GRUOp(),
        [X, t(3, 12), t(4, 12), t(12)],
        "bias: expected shape (2, 12), received (12,)",
    ),
    "dtype": (
        LSTM,
        [X, t(3, 16, dtype="float64"), R],
        "x is float32, a kernel is float64",
    ),
    "one state": (LSTM, [X, K, R, B, H], "expected 2 states, received 1"),
    "state": (
        LSTM,
        [X, K, R, B, H, t("batch", 3)],
        "c: expected float32[batch, 4], received float32[batch, 3]",
    ),
    "rows": (LSTM, [X, K, R, B, H, t(7, 4)], "dims batch and 7 differ"),
    "mask": (
        LSTM,
        [X, K, R, B, None, None, t("batch", 5)],
        "mask: expected bool (n, t), received float32[batch, 5]",
    ),
    "steps": (
        LSTM,
        [X, K, R, B, None, None, t("batch", 4, dtype="bool")],
        "dims 5 and 4 differ",
    ),
    "unrolled": (
        LSTMOp(unroll=True),
        [t("batch", None, 3), K, R],
        "an unknown number of steps cannot be unrolled",
    ),
    "drop": (
        LSTM,
        [X, K, R, B, None, None, MASK, t("batch", 1, 3)],
        "input_drop is given, but the op does not drop",
    ),
    "drop's gates": (
        DROPPING,
        [X, K, R, B, None, None, None, None, t("batch", 2, 4)],
        "recurrent_drop: expected float32[…, 1 or 4, 4], received float32[batch, 2, 4]",
    ),
    "function": (
        SimpleRNNOp(ROUNDING),
        [X, t(3, 4), t(4, 4)],
        "function makes float32[batch, 7] of a state float32[batch, 4]",
    ),
    "cell's rank": (
        LSTMCellOp(),
        [X, K, R, B, H, H],
        "expected x of rank 2 (n, c), received float32[batch, 5, 3]",
    ),
    "cell's states": (
        LSTMCellOp(),
        [t("batch", 3), K, R, B, H],
        "expected the states h, c",
    ),
    "gates": (
        LSTMGates(),
        [t("batch", 12), H],
        "expected gates 4 times as wide as float32[batch, 4], received float32[batch",
    ),
    "fill": (FillRows((2,)), [t()], "expected rank >= 1, received float32[]"),
    "fill's dtype": (FillRows((2,), 0.0, "real"), [X], "expected a dtype, received"),
    "fill's dims": (FillRows((-1,)), [X], "expected dims >= 0, received (-1,)"),
    "select": (SelectRows(), [H, H, H], "mask: expected bool (n,), received float32"),
    "selected types": (
        SelectRows(),
        [H, t("batch", 4, dtype="int32"), t("batch", dtype="bool")],
        "x is float32[batch, 4], y is int32[batch, 4]",
    ),
    "dropped": (
        Drop(),
        [H, t("batch", 4, dtype="int32")],
        "x is float32, mask is int32",
    ),
    "reverse": (Reverse(2), [H], "axis 2 does not fit rank 2"),
    "fold": (FoldTime(), [t(3)], "expected rank >= 2 (n, t, …), received float32[3]"),
    "unfold": (
        UnfoldTime(),
        [t(6, 2), t(3)],
        "expected (n * t, …) and (n, t, …): float32[6, 2] and float32[3]",
    ),
    "unfolded rows": (UnfoldTime(), [t(6, 2), t(2, 4)], "x has 6 rows, like has 8 ste"),
}


@pytest.mark.parametrize(("op", "given", "text"), REFUSED.values(), ids=REFUSED)
def test_types_that_do_not_fit(
    op: Any, given: list[TensorType | None], text: str
) -> None:
    with pytest.raises(ShapeError, match=f"^{re.escape(text)}"):
        op.infer(*given)


def test_a_refusal_names_the_node_and_the_operands() -> None:
    builder = Builder("g")
    types = {"x": t("batch", 5, 2), "k": K, "r": R}
    values = [builder.input(name, type_) for name, type_ in types.items()]
    text = (
        r"^lstm 'lstm': kernel wants 3 input channels, x has 2\n"
        r"  x                %x : float32\[batch, 5, 2\]   channels = axis 2\n"
        r"  kernel           %k : float32\[3, 16\]\n"
    )
    with pytest.raises(ShapeError, match=text):
        builder(LSTM, *values)


def test_types_of_results() -> None:
    assert LSTM.infer(X, K, R, B) == (H, H, H)
    every = LSTMOp(return_sequences=True)
    assert every.infer(X, K, R)[0] == t("batch", 5, 4)
    free = t(None, None, 3)
    assert every.infer(free, K, R, B, t(2, 4), t(2, 4))[0] == t(2, None, 4)
    assert every.infer(free, K, R, B, None, None, MASK)[0] == t(None, 5, 4)
    assert FoldTime().infer(t("batch", 5, 3)) == t(None, 3)
    assert FoldTime().infer(t(2, 5, 3)) == t(10, 3)
    assert UnfoldTime().infer(t(None, 3), X) == X


def test_rows_are_mixed_by_a_users_function_alone() -> None:
    x = L.Input((5, 3))
    known = gj.Model(x, L.GRU(4)(L.SimpleRNN(3, return_sequences=True)(x))).graph
    assert can_mask_rows(known) is None
    user = gj.Model(x, L.LSTM(4, activation=doubled)(x)).graph
    assert can_mask_rows(user) == "lstm/lstm"
    assert not GRUCellOp(ROUNDING).masks_rows()
    assert not LSTMGates(None, ROUNDING).masks_rows()
    assert LSTMGates(ew.Tanh(), ew.Sigmoid()).masks_rows()


def test_operations_are_counted() -> None:
    given = [t(2, 5, 3), K, R]
    wanted = 2 * 5 * 2 * (3 * 16 + 4 * 16)
    assert LSTM.flops(given, ()) == wanted
    assert LSTM.flops([X, K, R], ()) == wanted // 2  # an open batch counts once
    assert LSTMCellOp().flops([t(2, 3), K, R], ()) == wanted // 5
    assert FillRows((2,)).flops((), ()) == 0


def test_inference_leaves_the_drops_out() -> None:
    becomes = DROPPING.to_inference()
    assert becomes is not None
    assert becomes.op == LSTMOp()
    assert becomes.operands == (0, 1, 2, 3, 4, 5, 6)
    assert LSTM.to_inference() is None


def test_text() -> None:
    x = L.Input((5, 3), name="x")
    lines = str(gj.Model(x, L.GRU(4, name="g")(x)).graph).splitlines()
    assert lines[4] == (
        "  %g/gru = gru(%x, %g/kernel, %g/recurrent_kernel, %g/bias) "
        "{activation=Tanh(), recurrent_activation=Sigmoid()} : "
        "(float32[batch, 4], float32[batch, 4])"
    )


# --- the bias of an LSTM --------------------------------------------------------------


def test_the_forget_bias() -> None:
    rest = initializers.RandomNormal(seed=3)
    made = ForgetBias(rest=rest)
    drawn = made.draw((12,), "float64", seed=0, name="a")
    assert drawn[3:6].tolist() == [1, 1, 1]
    assert len(set(drawn.tolist())) == 10
    np.testing.assert_array_equal(drawn, made.draw((12,), "float64", 5, "a"))
    config = made.get_config()
    assert ForgetBias.from_config(config) == made
    assert initializers.get({"class_name": "ForgetBias", "config": config}) == made
    assert ForgetBias("zeros", "ones") == ForgetBias(
        initializers.Zeros(), initializers.Ones()
    )


def test_what_no_forget_bias_fills() -> None:
    text = r"^ForgetBias: expected one axis of 4 gates, received \(6,\)$"
    with pytest.raises(CaptureError, match=text):
        ForgetBias().draw((6,), "float32", 0, "a")
    with pytest.raises(CaptureError, match=r"^ForgetBias: expected 'forget' or 'rest'"):
        ForgetBias.from_config({"other": 1})
    with pytest.raises(CaptureError, match=r"^ForgetBias: rest: "):
        ForgetBias(rest="no such thing")
