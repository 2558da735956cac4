"""What the project asked of the figures, and whether they have it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.suite.nets import NETS
from benchmarks.suite.table import Row

__all__ = ["GOALS", "Goal"]

_ALL: Final = tuple(net.name for net in NETS)
_CONV: Final = tuple(net.name for net in NETS if net.family == "conv")


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound for graphjit's time over a candidate's, or the other way round.

    Attributes:
        text: In words.
        mode: Of the rows.
        candidate: The other one.
        bound: What is asked.
        nets: The networks it is about.
        cases: The cases; empty for all.
        faster: True where the candidate's time over graphjit's has to be at least the
            bound; False where graphjit's time over the candidate's may be at most that.
        mean: Whether it is about the geometric mean; else about each network.
    """

    text: str
    mode: str
    candidate: str
    bound: float
    nets: tuple[str, ...] = _ALL
    cases: tuple[str, ...] = ()
    faster: bool = True
    mean: bool = False

    def measured(self, rows: Sequence[Row]) -> list[tuple[float, str]]:
        """The ratios, the worst first, each with its network and case."""
        held = {(row.net, row.case, row.candidate): row for row in rows}
        found: list[tuple[float, str]] = []
        for row in rows:
            asked = not self.cases or row.case in self.cases
            if row.mode != self.mode or row.candidate != self.candidate:
                continue
            own = held.get((row.net, row.case, "graphjit"))
            if row.net in self.nets and asked and own is not None:
                ratio = row.value / own.value if self.faster else own.value / row.value
                found.append((ratio, f"{row.net} {row.case}"))
        return sorted(found, reverse=not self.faster)

    def line(self, rows: Sequence[Row]) -> str:
        """A line of a table: what was asked, measured, and whether it is enough."""
        found = self.measured([row for row in rows if row.mode == self.mode])
        sign = "≥" if self.faster else "≤"
        if not found:
            return f"| {self.text} | {sign} {self.bound:g} | | not measured |"
        if self.mean:
            value = math.exp(sum(math.log(r) for r, _ in found) / len(found))
            said = f"{value:.2f} (over {len(found)})"
        else:
            value, where = found[0]
            said = f"{value:.2f}" if len(found) == 1 else f"{value:.2f} ({where})"
        met = value >= self.bound if self.faster else value <= self.bound
        cells = self.text, f"{sign} {self.bound:g}", said, "yes" if met else "no"
        return f"| {' | '.join(cells)} |"


_MOBILE: Final = ("mobilenet", "mobilenet_v2")

GOALS: Final[tuple[Goal, ...]] = (
    Goal("MobileNets b1", "inference", "keras-jax", 8.0, _MOBILE, ("b1",)),
    Goal("MobileNets b8", "inference", "keras-jax", 7.0, _MOBILE, ("b8",)),
    Goal("every network", "inference", "keras-jax", 1.0),
    Goal("all, geometric mean", "inference", "keras-jax", 2.0, mean=True),
    Goal(
        "convolutional, geometric mean",
        "inference",
        "onnxruntime",
        1.6,
        _CONV,
        faster=False,
        mean=True,
    ),
    Goal("every network", "formats", "channels last", 1.05, faster=False),
    Goal("MobileNetV2 step", "training", "keras-jax", 6.5, ("mobilenet_v2",)),
    Goal("6-conv CNN step", "training", "keras-jax", 1.7, ("cnn6",)),
    Goal("grouped step", "training", "keras-jax", 20.0, ("resnext",)),
    Goal("transposed step", "training", "keras-jax", 20.0, ("unet", "generator")),
    Goal("LSTM step", "training", "keras-jax", 1.15, ("lstm",)),
    *(
        Goal(f"{name} step", "training", "keras-tensorflow", most, (net,), faster=False)
        for name, net, most in (
            ("MobileNetV2", "mobilenet_v2", 0.95),
            ("MLP", "mlp", 0.5),
            ("LSTM", "lstm", 1.1),
            ("6-conv CNN", "cnn6", 1.4),
        )
    ),
    Goal("every first call", "compiling", "plain", 1.3, faster=False),
)
