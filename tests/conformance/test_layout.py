"""The layout rule commutes: op'(L(x)) lies as it says and is L'(op(x))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from graphjit.layout import Layout
from graphjit.ops.base import Op, Permuted
from graphjit.types import TensorType
from tests.conformance.case import (
    Array,
    Case,
    Layouts,
    Row,
    close,
    function_of,
    one_node,
    present,
    together,
    type_of,
)
from tests.conformance.lay import laid, merged, moving_the_batch, moving_the_rest
from tests.conformance.table import EACH_CASE

MOST_PERMUTATIONS = 3


def permutations(rank: int) -> list[Layout]:
    """The permutations of the axes behind the batch that are run (a sample)."""
    found = list(moving_the_rest(rank))[1:]
    return found[:: max(1, len(found) // MOST_PERMUTATIONS)][-MOST_PERMUTATIONS:]


def layouts(shape: Sequence[int]) -> Iterator[Layout]:
    yield Layout.plain(len(shape))
    yield from permutations(len(shape))
    yield from moving_the_batch(len(shape))
    yield from merged(shape)


def answer(case: Case, layout: Layout) -> Permuted | None:
    return case.op.permuted(layout, case.types("float64"))


def moved(case: Case, rule: Permuted) -> list[Array]:
    """The operands as the rule wants them."""
    operands = case.arrays()
    assert len(rule.operands) == len(operands)
    pairs = zip(operands, rule.operands, strict=True)
    return [laid(array, place) for array, place in pairs if array is not None]


def task(op: Op, case: Case, arrays: list[Array]) -> tuple[Any, Any]:
    """The op on arrays in place of the case's, to be compiled with others."""
    given = iter(arrays)
    types = [None if arg is None else type_of(next(given)) for arg in case.args]
    return function_of(one_node(op, types)), arrays


@EACH_CASE
def test_rule_commutes(row: Row, case: Case) -> None:
    first = case.args[0]
    assert first is not None
    answers = [(layout, answer(case, layout)) for layout in layouts(first.shape)]
    rules = [(layout, rule) for layout, rule in answers if rule is not None]
    if not rules:
        return
    tasks = [task(rule.op, case, moved(case, rule)) for _, rule in rules]
    plain, *permuted = together(
        [task(case.op, case, present(case.arrays())), *tasks], "float64"
    )
    for (layout, rule), results in zip(rules, permuted, strict=True):
        assert rule.operands[0] == layout
        for found, place, logical in zip(results, rule.results, plain, strict=True):
            wanted = laid(np.asarray(logical), place)
            if row.exact:
                np.testing.assert_array_equal(found, wanted, err_msg=str(layout))
            else:
                close(found, wanted, 1e-13, str(layout))


@EACH_CASE
def test_claimed_rules_exist(row: Row, case: Case) -> None:
    first = case.args[0]
    assert first is not None
    rank = len(first.shape)
    claim = case.layouts or row.layouts
    if claim is Layouts.ALL:
        refused = [v for v in moving_the_rest(rank) if answer(case, v) is None]
        assert not refused
    elif claim is Layouts.SOME:
        tried = [*list(moving_the_rest(rank))[1:], *merged(first.shape)]
        assert any(answer(case, layout) is not None for layout in tried)


@EACH_CASE
def test_a_plain_layout_changes_nothing(row: Row, case: Case) -> None:
    first = case.args[0]
    assert first is not None
    rule = answer(case, Layout.plain(len(first.shape)))
    if rule is None:
        assert (case.layouts or row.layouts) is not Layouts.ALL
        return
    assert rule.op == case.op
    assert all(layout.is_plain for layout in (*rule.operands, *rule.results))


@EACH_CASE
def test_rules_need_no_sizes_of_the_batch(row: Row, case: Case) -> None:
    """The rule is the same where the batch is not known."""
    first = case.args[0]
    if first is None or first.weight or not case.batched:
        return
    free: list[TensorType | None] = [
        t
        if t is None or arg is None or arg.weight
        else t.with_shape(("batch", *t.shape[1:]))
        for arg, t in zip(case.args, case.types("float64"), strict=True)
    ]
    for layout in permutations(len(first.shape)):
        assert case.op.permuted(layout, free) == answer(case, layout)


def test_laid_is_the_documented_formula() -> None:
    array: Array = np.arange(2 * 6).reshape(2, 6)
    (layout,) = merged((2, 6))
    # 6 = (2, 3) lies as (3, 2): 0 3 1 4 2 5.
    assert laid(array, layout)[0].tolist() == [0, 3, 1, 4, 2, 5]
    assert laid(array, Layout((1, 0)))[:, 1].tolist() == list(range(6, 12))


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_the_sample_holds_several_permutations(rank: int) -> None:
    assert len(permutations(rank)) == min(
        MOST_PERMUTATIONS, len(list(moving_the_rest(rank))) - 1
    )
