"""``python -m benchmarks [NAMES] [--quick] [--json PATH]``."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Report, environment

#: A module of this package each, with ``run(quick) -> Report``.
NAMES = (
    "import_time",
    "startup",
    "loading",
    "executable_overhead",
    "batch_stream",
    "training_loop",
    "rolled_blocks",
    "mobilenet_v2",
    "suite",
)


def run(name: str, quick: bool) -> Report:
    """Run one benchmark, at tiny sizes with `quick`."""
    return importlib.import_module(f"benchmarks.{name}").run(quick)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: does it still run?"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"expected names of {', '.join(NAMES)}; received {unknown[0]!r}")
    before = environment()
    reports: list[Report] = []
    for name in given.names or NAMES:
        reports.append(run(name, given.quick))
        print(reports[-1], flush=True)
    if given.json is not None:
        document = {
            "quick": given.quick,
            "environment": before,
            "reports": [asdict(report) for report in reports],
        }
        given.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
