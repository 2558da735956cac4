"""What was made of a graph, as text: ops, passes, kernels, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from graphjit.cost import cost_of
from graphjit.ir import Graph
from graphjit.passes.base import PassLog
from graphjit.tuning import Tuning

__all__ = ["report"]


def report(
    before: Graph,
    after: Graph,
    log: PassLog,
    title: str,
    batch_size: int = 1,
    *,
    prologue: Graph | None = None,
    programs: Sequence[str] = (),
    tuning: Tuning | None = None,
) -> str:
    """Per pass what it did and refused and why; op counts before and after.

    Args:
        before: The captured graph.
        after: What passes made of it, without its prologue.
        log: What they did and refused.
        title: The first line.
        batch_size: The batch that the cost is counted for.
        prologue: What is run once per set of weights.
        programs: Lines about the programs that are compiled of it.
        tuning: The measured kernels.
    """
    old = Counter(node.op.kind for node in before.nodes)
    new = Counter(node.op.kind for node in after.nodes)
    cost = cost_of(after, batch_size)
    ops = f"ops: {sum(old.values())} -> {sum(new.values())}"
    if prologue is not None:
        ops += f" (and {len(prologue.nodes)} in the prologue, run once)"
    return "\n".join(
        [
            title,
            ops,
            f"transposes: {old['transpose']} -> {new['transpose']}",
            f"batch of {batch_size}: {cost.flops:,} FLOPs, {cost.weight_bytes:,} bytes "
            f"of weights, {cost.activation_bytes:,} bytes of activations",
            *programs,
            "",
            str(log),
            "",
            *([] if tuning is None else [str(tuning), ""]),
            "kind: before -> after",
            *(f"    {kind}: {old[kind]} -> {new[kind]}" for kind in sorted(old | new)),
            "",
            "kernels",
            *(_kernels(after) or ["    every op is lowered plainly"]),
        ]
    )


def _kernels(graph: Graph) -> list[str]:
    """How the ops are lowered of which there is more than one way."""
    chosen: dict[str, Counter[str]] = {}
    for node in graph.nodes:
        if node.op.kernels:
            kind = chosen.setdefault(node.op.kind, Counter())
            kind[node.kernel or "plain"] += 1
    return [
        f"    {kind}: {', '.join(f'{n} {name}' for name, n in names.most_common())}"
        for kind, names in sorted(chosen.items())
    ]
