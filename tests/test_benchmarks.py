"""Every benchmark still runs, at tiny sizes; nothing here looks at a time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as command
from benchmarks import measure
from benchmarks.measure import Figure, Report, Timing
from graphjit import stopwatch


@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")
@pytest.mark.parametrize("name", command.NAMES)
def test_it_runs(name: str) -> None:
    report = command.run(name, quick=True)
    assert report.name == name
    assert report.figures
    assert all(math.isfinite(figure.value) for figure in report.figures)
    names = [figure.name for figure in report.figures]
    assert len(set(names)) == len(names)


def test_every_benchmark_has_a_file_and_the_reverse() -> None:
    apart = {"__init__", "__main__", "measure", "models", "kernels", "grids"}
    folder = measure.ROOT / "benchmarks"
    files = {path.stem for path in folder.glob("*.py")}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert (files | packages) - apart == set(command.NAMES)


def test_the_results_kept_are_of_these_benchmarks() -> None:
    kept = sorted((measure.ROOT / "benchmarks" / "results").glob("*.json"))
    assert kept
    for path in kept:
        document = json.loads(path.read_text())
        assert not document["quick"]
        assert document["environment"]["commit"]
        assert {one["name"] for one in document["reports"]} <= set(command.NAMES)


def test_command_writes_figures_and_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    command.main(["executable_overhead", "--quick", "--json", str(path)])
    assert capsys.readouterr().out.startswith("executable_overhead\n")
    document = json.loads(path.read_text())
    assert document["quick"] is True
    assert {"cpu", "versions", "commit", "date"} <= set(document["environment"])
    assert document["environment"]["versions"]["jax"]
    (report,) = document["reports"]
    assert report["figures"][0].keys() == {"name", "value", "unit", "target"}


def test_command_refuses_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["resnet"])
    assert "received 'resnet'" in capsys.readouterr().err


def test_candidates_take_turns() -> None:
    called: list[str] = []
    timings = measure.interleaved(
        {name: lambda name=name: called.append(name) for name in "abc"},
        rounds=7,
        calls=2,
        warmup=1,
    )
    turns = ["".join(called[at : at + 6]) for at in range(0, 48, 6)]
    assert len(called) == 48
    assert all(sorted(turn) == list("aabbcc") for turn in turns)
    assert all(turn[0:6:2] == turn[1:6:2] for turn in turns)
    assert len(set(turns)) > 1  # the order is another one in every round
    assert {name: len(timing.rounds_ms) for name, timing in timings.items()} == {
        "a": 7,
        "b": 7,
        "c": 7,
    }


def test_what_is_done_before_a_turn_is_out_of_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = [0.0]

    def passing(name: str, taken: float) -> None:
        done.append(name)
        now_s[0] += taken

    done: list[str] = []
    clock = SimpleNamespace(perf_counter=lambda: now_s[0])
    monkeypatch.setattr(stopwatch, "time", clock)
    timings = measure.interleaved(
        {"a": lambda: passing("turn", 0.5)},
        rounds=2,
        calls=2,
        warmup=1,
        before=lambda: passing("before", 64.0),
    )
    assert done == ["before", "turn", "turn"] * 3
    assert timings["a"] == Timing((500.0, 500.0))


def test_ratios_are_of_medians() -> None:
    timings = {"new": Timing((1.0, 9.0, 2.0)), "old": Timing((4.0, 3.0, 50.0))}
    assert measure.ratio(timings, "new", "old") == 0.5
    assert timings["old"].fastest_ms == 3.0


def test_figures_say_whether_the_target_is_met() -> None:
    assert str(Figure("x / y", 0.2, "ratio", 0.25)) == (
        "x / y: 0.2 ratio (target <= 0.25: met)"
    )
    assert str(Figure("x", 0.3, "s", 0.25)).endswith("MISSED)")
    assert str(Report("one", [Figure("x", 3, "ms")], ["slow"])) == (
        "one\n  x: 3 ms\n  note: slow"
    )


def test_a_fresh_process_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        measure.fresh("1 / 0")
