"""Every pass and both pipelines on random graphs: valid, idempotent, equal at 1e-9.

300 models in `ci`; each goes through both pipelines pass by pass, and after every pass
that changed it the results (outputs, new state, losses) are compared in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import event, given

from graphjit.capture.tracer import Captured
from graphjit.ir import Graph
from graphjit.passes import (
    INFERENCE,
    TRAINING,
    Freeze,
    MaskRows,
    Pass,
    ToInference,
    run,
    split_prologue,
)
from graphjit.passes.mask_rows import ROW_MASK
from graphjit.verify import verify
from tests.graphs import (
    elementwise_graphs,
    evaluate,
    evaluate_together,
    models,
    random_inputs,
    same_results,
)
from tests.profiles import examples

TOLERANCE = 1e-9


def check(graph: Graph, passes: Sequence[Pass]) -> Graph:
    """Run passes one by one; each one's result computes what the graph did."""
    stages = [graph]
    for pass_ in passes:
        graph, log = run(stages[-1], [pass_], target="cpu", strict=True)
        if graph is not stages[-1]:
            event(f"{log.entries[0].name.split('(')[0]} changed the graph")
            stages.append(graph)
    if len(stages) > 1:
        wanted, *found = evaluate_together(stages)
        for results in found:
            same_results(results, wanted, TOLERANCE)
    prologue, main = split_prologue(graph)
    verify(prologue)
    verify(main)
    return graph


@examples(150)
@given(models())
def test_inference_pass_by_pass(captured: Captured) -> None:
    graph, _ = run(captured.graph, [ToInference()], strict=True)
    assert all(node.op.to_inference() is None for node in graph.nodes)
    check(graph, INFERENCE)


@examples(150)
@given(models())
def test_training_pass_by_pass(captured: Captured) -> None:
    check(captured.graph, TRAINING)


@examples(60)
@given(elementwise_graphs())
def test_arithmetic(graph: Graph) -> None:
    check(graph, INFERENCE)


@examples(30)
@given(models())
def test_a_frozen_model_folds_and_trains_the_same(captured: Captured) -> None:
    names = tuple(dict.fromkeys(c.layer for c in captured.graph.layers if c.params))
    graph, _ = run(captured.graph, [Freeze(names)], strict=True)
    assert not graph.updates
    assert not any(param.trainable for param in graph.params)
    check(graph, TRAINING)


@examples(30)
@given(models(dropout=False))
def test_a_full_row_mask_changes_nothing(captured: Captured) -> None:
    graph = captured.graph
    masked, _ = run(graph, [MaskRows()], strict=True)
    if masked is graph:
        event("an op takes no row mask")
        return
    assert masked.inputs[-1].name == ROW_MASK
    data = random_inputs(graph)
    every_row = np.ones(len(data[0]), bool)
    found = evaluate(masked, inputs=[*data, every_row])
    same_results(found, evaluate(graph, inputs=data), TOLERANCE)
