"""What every test shares: profiles, the corpus, untouched settings, no silent skips.

`tests` is a namespace package, so that its modules can import each other.
"""

from __future__ import annotations

import gc
import itertools
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
os.environ.setdefault("KERAS_BACKEND", "jax")
# No folder, so that no config file of the user's is read.
os.environ["GRAPHJIT_HOME"] = os.devnull

from tests import profiles  # noqa: E402

profiles.load()
profiles.compile_quickly()

import jax  # noqa: E402
import pytest  # noqa: E402

from graphjit import autotune, config  # noqa: E402

SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of recorded cases: `GRAPHJIT_CORPUS`, or ``../shared/corpus``."""
    named = os.environ.get("GRAPHJIT_CORPUS")
    path = Path(named) if named else SHARED / "corpus"
    if not path.is_dir():
        pytest.skip(f"the corpus is absent: no folder {path} (see GRAPHJIT_CORPUS)")
    return path


@pytest.fixture(autouse=True)
def _settings_restored() -> Iterator[None]:
    """A test may change the user's defaults; the next one finds the old ones."""
    before = (config.image_data_format(), config.floatx(), config.epsilon())
    yield
    config.set_image_data_format(before[0])
    config.set_floatx(before[1])
    config.set_epsilon(before[2])


# --- garbage --------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Collected tests stay: whoever collects garbage need not look at them again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


# --- compiled programs ----------------------------------------------------------------


@pytest.fixture
def optimized() -> Iterator[None]:
    """For tests that run their programs so often that LLVM's work pays."""
    quick = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", quick)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The times that measuring finds, by name; every candidate still runs once."""
    times: dict[str, float] = {}

    def medians_ms(
        candidates: Mapping[str, Callable[[], Any]], budget_s: float
    ) -> dict[str, float]:
        for call in candidates.values():
            call()
        return {name: times.get(name, 9.0) for name in candidates}

    monkeypatch.setattr(autotune, "medians_ms", medians_ms)
    return times


#: Linux gives a process 65,530 mappings; a compiled program takes about four, and
#: XLA aborts the process when there are none left.
MOST_MAPPINGS = 30_000
_MAPPINGS = Path("/proc/self/maps")
_TESTS_BETWEEN_LOOKS = 50
_tests_run = itertools.count(1)


def pytest_runtest_teardown() -> None:
    """Drop what JAX has compiled before there is too much of it."""
    if next(_tests_run) % _TESTS_BETWEEN_LOOKS or not _MAPPINGS.exists():
        return
    if _MAPPINGS.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()


# --- in CI nothing is skipped ---------------------------------------------------------


def _must_run() -> bool:
    return profiles.in_ci() and SHARED.is_dir()


def _refuse_skip(report: Any) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and _must_run():
        report.outcome = "failed"
        report.longrepr = f"skipped in CI although {SHARED} exists: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report
