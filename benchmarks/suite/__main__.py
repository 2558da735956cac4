"""``python -m benchmarks.suite MODE … [--nets NAME …] [--json FILE]``; see --help."""

from __future__ import annotations

import argparse
import contextlib
import importlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.suite import peers
from benchmarks.suite.nets import chosen
from benchmarks.suite.plan import MODES, Plan
from benchmarks.suite.table import in_words, merge

#: Where ONNX files are kept between runs; not under version control.
FOLDER = Path("build") / "suite"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.suite",
        description="Whole networks, graphjit beside its peers.",
    )
    parser.add_argument(
        "modes", nargs="+", metavar="MODE", help=f"of {', '.join(MODES)}"
    )
    parser.add_argument("--nets", nargs="*", default=(), help="names or families")
    parser.add_argument("--batches", nargs="*", type=int, default=(1, 8))
    parser.add_argument(
        "--peers",
        nargs="*",
        default=None,
        help=f"of {', '.join(peers.PEERS)} and plain (graphjit without its passes)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the rows to it")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, few rounds")
    given = parser.parse_args(arguments)
    for mode in given.modes:
        if mode not in MODES:
            parser.error(f"expected modes of {', '.join(MODES)}; received {mode!r}")
    try:
        nets = chosen(given.nets)
    except ValueError as error:
        parser.error(str(error))
    plan = Plan(tuple(given.batches), given.peers, given.quick, FOLDER)
    for note in plan.notes:
        print(f"note: {note}", flush=True)
    for net in nets:
        for mode in given.modes:
            module = importlib.import_module(f"benchmarks.suite.{mode}")
            with contextlib.ExitStack() as stack:
                for rows in module.measured(net, plan, stack):
                    print(in_words(rows), flush=True)
                    if given.json is not None:
                        merge(given.json, rows)


if __name__ == "__main__":
    main()
