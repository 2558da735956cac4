"""The fuzzer: ``python -m tests.keras.fuzz --minutes 30 --seed 1``.

Mutants of genuine files are loaded in a process of their own, under limits of time and
memory. What may come of one is an error of ours or a model; a model that says what its
original says must be its equal. Anything else is a finding: it is printed, and its
number brings it back: ``--seed 1 --only 4711``.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

#: What a mutant that neither computes nor returns is given, counted while we run.
_MOST_IDLE_S: Final = 20.0
_STEP_S: Final = 0.25


def corpus() -> Path:
    """The folder of recorded cases, as the tests know it."""
    named = os.environ.get("GRAPHJIT_CORPUS")
    beside = Path(__file__).resolve().parents[4] / "shared" / "corpus"
    return Path(named) if named else beside


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fuzzer; returns 1 where it found something."""
    options = _options().parse_args(arguments)
    if options.worker:
        return _work(options)
    return _supervise(options)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.keras.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one mutant, by its number")
    parser.add_argument("--files", type=Path, nargs="*", default=[corpus() / "models"])
    parser.add_argument("--log", type=Path, help="every verdict, a line of JSON each")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--start", type=int, default=0, help=argparse.SUPPRESS)
    return parser


# --- the worker -----------------------------------------------------------------


def _work(options: argparse.Namespace) -> int:
    from tests.keras.fuzz.originals import originals_in
    from tests.keras.fuzz.worker import run

    numbers = range(options.start, sys.maxsize)
    if options.only is not None:
        numbers = range(options.only, options.only + 1)
    run(originals_in(options.files), options.seed, numbers, options.worker)
    return 0


# --- the supervisor -------------------------------------------------------------


class _Clock:
    """Time, less that in which the machine had us pause."""

    def __init__(self, most_s: float) -> None:
        self.spent_s = 0.0
        self._most_s = most_s
        self._last = time.monotonic()

    def is_over(self) -> bool:
        now = time.monotonic()
        self.spent_s += min(now - self._last, 1.0)
        self._last = now
        return self.spent_s > self._most_s


class _Tally:
    """What became of the mutants."""

    def __init__(self, log: Path | None) -> None:
        self.verdicts: collections.Counter[str] = collections.Counter()
        self.kinds: collections.Counter[str] = collections.Counter()
        self.findings: dict[str, list[dict[str, Any]]] = {}
        self.slowest: dict[str, Any] = {"cpu_s": 0.0}
        self.peak_bytes = 0
        self._log = None if log is None else log.open("a")

    def take(self, line: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.write(json.dumps(line) + "\n")
            self._log.flush()
        self.kinds[line["kind"]] += 1
        self.verdicts["finding" if "finding" in line else line["verdict"]] += 1
        self.peak_bytes = max(self.peak_bytes, line.get("peak_bytes", 0))
        if line.get("cpu_s", 0.0) > self.slowest["cpu_s"]:
            self.slowest = line
        if "finding" in line:
            key = f"{line['finding'][:90]} @ {line.get('where', '')}"
            known = self.findings.setdefault(key, [])
            known.append(line)
            if len(known) == 1:
                print("FINDING", json.dumps(line)[:1500], flush=True)

    def report(self, seed: int, spent_s: float) -> str:
        total = sum(self.kinds.values())
        lines = [
            f"seed {seed}: {total} mutants in {spent_s / 60:.1f} minutes",
            *(f"  {name}: {count}" for name, count in self.verdicts.most_common()),
            f"  kinds: {dict(self.kinds.most_common())}",
            f"  slowest: {self.slowest['cpu_s']} s of CPU, {self.slowest.get('of')}, "
            f"number {self.slowest.get('ends')} ({self.slowest.get('kind')})",
            f"  peak memory: {self.peak_bytes / 2**20:.0f} MiB",
            *(
                f"  {len(found)} × {key} (number {found[0]['ends']})"
                for key, found in self.findings.items()
            ),
        ]
        return "\n".join(lines)


def _supervise(options: argparse.Namespace) -> int:
    tally, clock = _Tally(options.log), _Clock(60 * options.minutes)
    start = 0
    with tempfile.TemporaryDirectory(prefix="graphjit-fuzz-") as folder:
        while not clock.is_over():
            last, ended = _watched(options, start, Path(folder), tally, clock)
            if options.only is not None or ended:
                break
            start = last + 1
    print(tally.report(options.seed, clock.spent_s))
    return 1 if tally.findings else 0


def _watched(
    options: argparse.Namespace, start: int, folder: Path, tally: _Tally, clock: _Clock
) -> tuple[int, bool]:
    """One worker until it ends or the time is over: its last mutant, and which."""
    command = [sys.executable, "-m", "tests.keras.fuzz", "--worker", str(folder)]
    command += ["--seed", str(options.seed), "--start", str(start)]
    command += ["--files", *map(str, options.files)]
    if options.only is not None:
        command += ["--only", str(options.only)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GRAPHJIT_HOME": os.devnull}
    worker = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=(folder / "stderr").open("w"),
        env=environment,
    )
    assert worker.stdout is not None
    pipe, rest = worker.stdout.fileno(), b""
    current: dict[str, Any] = {}
    idle_s = 0.0
    try:
        while not clock.is_over():
            ready, _, _ = select.select([pipe], [], [], _STEP_S)
            if not ready:
                # Our own steps are counted: a pause of the machine is none of them.
                idle_s += _STEP_S
                if current and idle_s > _MOST_IDLE_S:
                    worker.send_signal(signal.SIGABRT)  # its stack, to stderr
                    worker.wait(10)
                    _broken(tally, current, "it hangs", folder)
                    return current["begins"], False
                continue
            read = os.read(pipe, 2**16)
            if not read:
                code = worker.wait()
                if code == 0:
                    return start, True
                _broken(tally, current, f"the process ended with {code}", folder)
                return current.get("begins", start), not current
            idle_s = 0.0
            *lines, rest = (rest + read).split(b"\n")
            for line in map(json.loads, lines):
                if "ends" in line:
                    tally.take(line)
                current = line if "begins" in line else current
        return current.get("begins", start), True
    finally:
        worker.kill()
        worker.wait()


def _broken(tally: _Tally, current: dict[str, Any], what: str, folder: Path) -> None:
    text = (folder / "stderr").read_text(errors="replace")
    number = current.get("begins", -1)
    kind = current.get("kind", "?")
    tally.take({"ends": number, "kind": kind, "finding": what, "where": text[-1500:]})


if __name__ == "__main__":
    sys.exit(main())
