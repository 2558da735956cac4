"""How everything here is measured: interleaved rounds in one process, medians, ratios.

The machines are shared, so a time alone says little: candidates take turns, and the
ratio of their medians is the figure to keep.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from graphjit.stopwatch import Timing, cpu_name, interleaved

__all__ = [
    "ROOT",
    "Figure",
    "Report",
    "Timing",
    "environment",
    "fresh",
    "interleaved",
    "ratio",
]

ROOT = Path(__file__).resolve().parents[1]

#: Fewer rounds than this say nothing on a shared machine.
LEAST_ROUNDS = 9


def ratio(timings: Mapping[str, Timing], name: str, base: str) -> float:
    """The median of one candidate over that of another."""
    return timings[name].median_ms / timings[base].median_ms


# --- what a benchmark reports -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figure:
    """One number; `target` is the most it should be."""

    name: str
    value: float
    unit: str
    target: float | None = None

    def __str__(self) -> str:
        text = f"{self.name}: {self.value:.4g} {self.unit}"
        if self.target is None:
            return text
        word = "met" if self.value <= self.target else "MISSED"
        return f"{text} (target <= {self.target:g}: {word})"


@dataclass(slots=True)
class Report:
    """The figures of one benchmark, and what a reader should know of them."""

    name: str
    figures: list[Figure] = field(default_factory=list["Figure"])
    notes: list[str] = field(default_factory=list[str])

    def add(
        self, name: str, value: float, unit: str, target: float | None = None
    ) -> None:
        self.figures.append(Figure(name, value, unit, target))

    def timings(self, timings: Mapping[str, Timing], prefix: str = "") -> None:
        """A figure for the median and the fastest round of every candidate."""
        for name, timing in timings.items():
            self.add(f"{prefix}{name}, median", timing.median_ms, "ms")
            self.add(f"{prefix}{name}, fastest", timing.fastest_ms, "ms")

    def __str__(self) -> str:
        lines = [self.name, *(f"  {figure}" for figure in self.figures)]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


# --- where it was measured ----------------------------------------------------------


def fresh(code: str) -> str:
    """What `code` prints in a fresh Python process."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    if done.returncode:
        raise RuntimeError(f"a fresh process failed:\n{done.stderr}")
    return done.stdout


def environment() -> dict[str, Any]:
    """The machine, the versions, the commit and the date."""
    device = jax.devices()[0]
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "device": f"{device.platform}: {device.device_kind}",
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in _PACKAGES},
        },
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


_PACKAGES = (
    *("graphjit", "jax", "jaxlib", "numpy", "optax", "keras"),
    *("tensorflow", "tensorflow-cpu", "torch", "onnxruntime", "openvino", "tf2onnx"),
)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit, with a mark where tracked files differ from it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
    except OSError:
        return None
    return done.stdout.strip() or None
