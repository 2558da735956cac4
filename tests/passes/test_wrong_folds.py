"""The suite catches folds that are wrong: each is put in on purpose here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

import graphjit as gj
from graphjit.errors import GraphJitError
from graphjit.ops.base import Emit
from graphjit.ops.batch_norm import BatchNormInference
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.elementwise import Add, Multiply, Negate, Rsqrt
from graphjit.passes import FoldNorm, MoveTransposes, ToInference, fold_norm, run
from tests.passes import test_fold_norm, test_move_transposes
from tests.passes.build import graph_of, rewritten
from tests.passes.values import assert_equal_outputs

Patch = pytest.MonkeyPatch
LINEAR = test_fold_norm.LINEAR


def forget_epsilon(patch: Patch) -> Callable[[], None]:
    def wrong(
        self: BatchNormInference, emit: Emit, operands: Sequence[Any]
    ) -> tuple[Any, Any]:
        _, gamma, beta, mean, variance = operands
        scale = emit(Multiply(), emit(Rsqrt(), variance), gamma)
        return scale, emit(Add(), beta, emit(Negate(), emit(Multiply(), mean, scale)))

    patch.setattr(BatchNormInference, "scale_and_shift", wrong)
    return lambda: test_fold_norm.test_a_norm_after_folds("conv", {})


def ignore_axis(patch: Patch) -> Callable[[], None]:
    original = fold_norm._State._may_fold

    def wrong(self: Any, norm: Any, linear: Any, first: Any, op: Any) -> bool:
        class Anywhere:
            axis = norm.types[0].rank - 1

        return original(self, norm, linear, first, Anywhere())

    patch.setattr(fold_norm._State, "_may_fold", wrong)

    def check() -> None:
        x = gj.Input((6, 6, 6), name="x")
        y = gj.layers.BatchNormalization(axis=1)(gj.layers.Dense(6)(x))
        graph, _ = run(graph_of(x, y), [ToInference()])
        assert_equal_outputs(graph, rewritten(FoldNorm(), graph)[0])

    return check


def ignore_other_readers(patch: Patch) -> Callable[[], None]:
    original = fold_norm._State.__init__

    def wrong(self: Any, *args: Any) -> None:
        original(self, *args)
        self.readers = {}

    patch.setattr(fold_norm._State, "__init__", wrong)
    return test_fold_norm.test_refuses_readers_that_the_first_fold_brings


def ignore_padding(patch: Patch) -> Callable[[], None]:
    patch.setattr(ConvOp, "pads", lambda self, x, kernel: ((0, 0), (0, 0)))

    def check() -> None:
        x = gj.Input((7, 8, 6), name="x")
        y = LINEAR["conv_same"]()(gj.layers.BatchNormalization()(x))
        graph, _ = run(graph_of(x, y), [ToInference()])
        assert_equal_outputs(graph, rewritten(FoldNorm(), graph)[0])

    return check


def forget_the_old_bias(patch: Patch) -> Callable[[], None]:
    def wrong(
        self: ConvOp, emit: Emit, operands: Sequence[Any], scale: Any, shift: Any
    ) -> tuple[Any, ...]:
        return operands[0], emit(Multiply(), operands[1], scale), shift

    patch.setattr(ConvOp, "scale_output", wrong)
    return lambda: test_fold_norm.test_a_norm_after_folds("conv", {})


def keep_the_axis_of_a_norm(patch: Patch) -> Callable[[], None]:
    original = BatchNormInference.permuted

    def wrong(self: Any, layout: Any, types: Any) -> Any:
        answer = original(self, layout, types)
        return answer and type(answer)(self, answer.operands, answer.results)

    patch.setattr(BatchNormInference, "permuted", wrong)

    def check() -> None:
        x = gj.Input((4, 4, 4), name="x")
        a, b = test_move_transposes.conv("a"), test_move_transposes.conv("b")
        y = b(gj.layers.BatchNormalization(axis=1)(a(x)))
        graph, _ = run(graph_of(x, y), [ToInference()])
        assert_equal_outputs(graph, rewritten(MoveTransposes(), graph)[0])

    return check


WRONG = [
    forget_epsilon,
    ignore_axis,
    ignore_other_readers,
    ignore_padding,
    forget_the_old_bias,
    keep_the_axis_of_a_norm,
]


@pytest.mark.parametrize("sabotage", WRONG, ids=lambda f: f.__name__)
def test_is_caught(sabotage: Callable[[Patch], Callable[[], None]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        check = sabotage(patch)
        with pytest.raises((AssertionError, GraphJitError), match=r"(?s)."):
            check()
    check()
