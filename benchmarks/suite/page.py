"""The page docs/speed.md; ``python -m benchmarks.suite.page RESULTS`` writes it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import ROOT
from benchmarks.suite.goals import GOALS
from benchmarks.suite.nets import NETS
from benchmarks.suite.table import Row

__all__ = ["PAGE", "page"]

PAGE: Final = ROOT / "docs" / "speed.md"

_HEAD = """# Speed

Whole networks, graphjit beside its peers. In the tables of times a peer's number is
**its time over graphjit's**: above 1 graphjit is faster. Candidates took turns on one
machine, and the ratios are of medians; a time by itself is worth ±50 %. Before
anything was timed, all answers were compared. Written by

    python -m benchmarks.suite.page {name}

from what this measured:

    python -m benchmarks.suite inference training compiling memory formats \\
        --batches 1 8 32 --json {name}

| | |
|---|---|
"""

_ASKED: Final = """≥: the candidate's time over graphjit's; ≤: graphjit's over the
candidate's. Where a goal is for every network, the worst one counts."""

_SECTIONS: Final = {
    "inference": (
        "Inference",
        "Weights, input and the result's place are the same for everybody. "
        "`keras-jax` is Keras 3's `jit(stateless_call)`, `plain` is graphjit without "
        "its passes, `flax` the network written in Flax (NNX), where it is.",
    ),
    "training": (
        "One training step",
        "Adam, the loss and all gradients. `keras-jax` is the jitted stateless train "
        "step of Keras 3, `keras-tensorflow` its `train_step` in a `tf.function`.",
    ),
    "compiling": (
        "The first call",
        "Passes, tracing, compiling and running once. `plain` is graphjit without its "
        "passes.",
    ),
    "formats": (
        "Channels first",
        "The same network and weights in the other layout, each given its own kind of "
        "picture; the number is the time of channels last over that of channels first.",
    ),
    "memory": (
        "Memory",
        "Peak resident size of a fresh process that loads the network from its own "
        "kind of file and runs it three times, imports included.",
    ),
}


def page(document: dict[str, Any], name: str) -> str:
    """The page for the results of a run.

    Args:
        document: What ``--json`` wrote.
        name: The file it was read from, for the commands.
    """
    rows = [Row(**row) for row in document["rows"]]
    lines = [_HEAD.format(name=name).rstrip("\n")]
    lines += [f"| {what} | {value} |" for what, value in _facts(document, rows)]
    lines += ["", "## What was asked", "", _ASKED, ""]
    lines += ["| figure | asked | measured | met |", "|---|---:|---:|---|"]
    for goal in GOALS:
        against = f"{goal.mode}, against {goal.candidate}: {goal.text}"
        lines.append(replace(goal, text=against).line(rows))
    for mode, (title, text) in _SECTIONS.items():
        cases = sorted({r.case for r in rows if r.mode == mode}, key=_by_number)
        if not cases:
            continue
        lines += ["", f"## {title}", "", text]
        groups = [cases] if mode == "training" else [[case] for case in cases]
        for group in groups:
            given = [r for r in rows if r.mode == mode and r.case in group]
            if len(groups) > 1:
                lines += ["", f"### {group[0]}"]
            lines += ["", *_table(given)]
    return "\n".join(lines) + "\n"


def _facts(document: dict[str, Any], rows: Sequence[Row]) -> Iterable[tuple[str, str]]:
    where = document["environment"]
    dates = sorted(row.date[:10] for row in rows)
    yield "measured", dates[0] if dates[0] == dates[-1] else f"{dates[0]} – {dates[-1]}"
    yield "machine", f"{where['cpu']}, {where['cores']} cores, {where['system']}"
    versions = {k: v for k, v in where["versions"].items() if v}
    yield "versions", ", ".join(f"{k} {v}" for k, v in versions.items())
    yield "commit", str(where["commit"])


def _table(rows: Sequence[Row]) -> list[str]:
    """A line per network and case, a column per candidate, and the geometric means."""
    order = [net.name for net in NETS]
    places = sorted({(order.index(row.net), row.net, row.case) for row in rows})
    held = {(row.net, row.case, row.candidate): row for row in rows}
    peers = [c for c in _CANDIDATES if any(r.candidate == c for r in rows)]
    several = len({case for _, _, case in places}) > 1
    unit = rows[0].unit
    lines = [
        "| " + " | ".join(("network", f"graphjit, {unit}", *peers)) + " |",
        "|---|" + "---:|" * (len(peers) + 1),
    ]
    for _, net, case in places:
        own = held[net, case, "graphjit"]
        cells = [f"{net}, {case}" if several else net, f"{own.value:.4g}"]
        for peer in peers:
            row = held.get((net, case, peer))
            cells.append(f"{row.value / own.value:.2f}" if row else "")
        lines.append("| " + " | ".join(cells) + " |")
    families: tuple[tuple[str, Callable[[str], bool]], ...] = (
        ("geometric mean", lambda _: True),
        ("… convolutional", lambda net: _FAMILIES[net] == "conv"),
    )
    for name, fits in families:
        means = [
            _mean(
                held[net, case, peer].value / held[net, case, "graphjit"].value
                for _, net, case in places
                if (net, case, peer) in held and fits(net)
            )
            for peer in peers
        ]
        lines.append("| " + " | ".join((f"*{name}*", "", *means)) + " |")
    return lines


_CANDIDATES: Final = (
    "plain",
    "keras-jax",
    "flax",
    "keras-tensorflow",
    "keras-torch",
    "onnxruntime",
    "openvino",
    "channels last",
)

_FAMILIES: Final = {net.name: net.family for net in NETS}


def _mean(ratios: Iterable[float]) -> str:
    """The geometric mean; empty where there is nothing."""
    logs = [math.log(ratio) for ratio in ratios]
    return f"{math.exp(sum(logs) / len(logs)):.2f}" if logs else ""


def _by_number(case: str) -> tuple[int, str]:
    return len(case), case


def main() -> None:
    path = Path(sys.argv[1])
    document = json.loads(path.read_text())
    PAGE.write_text(page(document, path.as_posix()))


if __name__ == "__main__":
    main()
