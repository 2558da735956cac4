"""The suite as one of ``python -m benchmarks``."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path

from benchmarks.measure import Report
from benchmarks.suite.nets import NETS, chosen
from benchmarks.suite.plan import MODES, Plan

__all__ = ["run"]

_QUICK = ("cnn6",)


def run(quick: bool) -> Report:
    """Inference at batch 1 and training steps; with `quick`, one network, all modes.

    The whole of it is ``python -m benchmarks.suite``.
    """
    report = Report("suite")
    asked = ("keras-jax", "plain") if quick else None
    plan = Plan((1,), asked, quick, Path("build") / "suite")
    report.notes += plan.notes
    modes = MODES if quick else ("inference", "training")
    for net in chosen(_QUICK) if quick else NETS:
        for mode in modes:
            module = importlib.import_module(f"benchmarks.suite.{mode}")
            with contextlib.ExitStack() as stack:
                for rows in module.measured(net, plan, stack):
                    for row in rows:
                        place = f"{row.mode} {row.net} {row.case}: {row.candidate}"
                        report.add(place, row.value, row.unit)
    return report
