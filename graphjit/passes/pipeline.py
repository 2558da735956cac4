"""Running passes, with their contract checked around each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace as replaced
from typing import Final

from graphjit.bodies import map_bodies
from graphjit.errors import GraphJitError, PassError
from graphjit.ir import Graph
from graphjit.passes.base import Entry, Pass, PassLog
from graphjit.passes.fold_norm import FoldNorm
from graphjit.passes.fold_padding import FoldPadding
from graphjit.passes.fuse_epilogue import FuseEpilogue
from graphjit.passes.move_transposes import MoveTransposes
from graphjit.passes.pack_weights import PackWeights
from graphjit.passes.select_kernels import SelectKernels
from graphjit.passes.simplify import Simplify
from graphjit.passes.to_inference import ToInference
from graphjit.verify import verify

__all__ = ["INFERENCE", "TRAINING", "current_platform", "run"]

#: From the training graph to the fastest equal inference graph.
INFERENCE: Final[tuple[Pass, ...]] = (
    ToInference(),
    Simplify(),
    MoveTransposes(),
    FoldPadding(),
    FoldNorm(),
    FuseEpilogue(),
    Simplify(),
    SelectKernels(),
    PackWeights(),
)

#: The same for a graph that trains: only what keeps weights and state as they are.
TRAINING: Final[tuple[Pass, ...]] = (
    Simplify(),
    MoveTransposes(),
    FoldPadding(),
    FoldNorm(),
    FuseEpilogue(),
    Simplify(),
    SelectKernels(training=True),
)


def run(
    graph: Graph,
    passes: Sequence[Pass],
    *,
    target: str | None = None,
    strict: bool = False,
) -> tuple[Graph, PassLog]:
    """Apply passes in order, bodies first, and check each one's contract.

    Args:
        graph: The graph to rewrite; it stays as it is.
        passes: `INFERENCE`, `TRAINING`, or any passes.
        target: The platform kernels are chosen for; None for the one JAX runs on.
        strict: Also check that each pass is idempotent, by running it twice.

    Returns:
        The rewritten graph, and what each pass did and refused.

    Raises:
        PassError: A pass broke its contract.
    """
    log = PassLog()
    for given in passes:
        pass_ = _targeted(given, target)
        entry = Entry(pass_.spec)
        graph = _apply(pass_, graph, entry, strict)
        log.entries.append(entry)
    return graph, log


def _targeted(pass_: Pass, target: str | None) -> Pass:
    if isinstance(pass_, SelectKernels) and not pass_.target:
        return replaced(pass_, target=target or current_platform())
    return pass_


def current_platform() -> str:
    """The platform JAX runs on: "cpu", "gpu", "tpu"."""
    import jax

    return jax.default_backend()


def _apply(pass_: Pass, graph: Graph, entry: Entry, strict: bool) -> Graph:
    entry.before = Counter(node.op.kind for node in graph.nodes)
    start = time.perf_counter()
    new = _rewritten(pass_, graph, entry)
    entry.time_ms = (time.perf_counter() - start) * 1e3
    entry.after = Counter(node.op.kind for node in new.nodes)
    entry.changed = new is not graph
    if new is not graph:
        _check(pass_, graph, new)
    if strict:
        again = _rewritten(pass_, new, Entry(""))
        if again is not new:
            raise PassError(
                f"{pass_.spec} is not idempotent on graph {graph.name!r}",
                details=["once:", *str(new).splitlines(), "twice:", str(again)],
            )
    return new


def _rewritten(pass_: Pass, graph: Graph, entry: Entry) -> Graph:
    """The graph after the pass, the graphs in its ops first."""
    if pass_.enters_bodies:
        graph = map_bodies(graph, lambda body: _rewritten(pass_, body, entry))
    return pass_.rewrite(graph, entry)


def _check(pass_: Pass, old: Graph, new: Graph) -> None:
    if new == old:
        raise PassError(f"{pass_.spec} changed nothing, yet returned a new graph")
    try:
        verify(new)
    except GraphJitError as error:
        raise PassError(f"{pass_.spec} made an invalid graph: {error}") from error
    if pass_.changes_meaning:
        return
    for what, before, after in (
        ("inputs", _interface(old.inputs), _interface(new.inputs)),
        ("params", _interface(old.params), _interface(new.params)),
        ("outputs", [o.name for o in old.outputs], [o.name for o in new.outputs]),
        ("updates", [u.param for u in old.updates], [u.param for u in new.updates]),
        ("losses", [x.name for x in old.losses], [x.name for x in new.losses]),
    ):
        if before != after:
            raise PassError(
                f"{pass_.spec} changed the {what}: expected {before}, received {after}"
            )


def _interface(entries: Sequence[object]) -> list[str]:
    return [f"{getattr(e, 'name', '')}: {getattr(e, 'type', '')}" for e in entries]
