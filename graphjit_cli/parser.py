"""What can be said on the command line, and the help.

Nothing here imports graphjit, but for the functions that begin the work.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from graphjit_cli import acts

__all__ = ["parser"]

Act: TypeAlias = Callable[[argparse.Namespace], int]
#: What `add_subparsers` gives; argparse has no public name for it.
Commands: TypeAlias = Any

_ABOUT: Final = """\
Keras models of every version, and graphjit's own files (.gjit): read, shown, run,
checked, compared and converted. A file is data: nothing in it is run or imported.
"""
_MORE: Final = """\
examples:
  graphjit convert old_model.h5 model.gjit     keep an old model for good
  graphjit summary model.gjit
  graphjit run model.gjit --input x.npz --output y.npz
  graphjit COMMAND --help                      more about one command

exit codes:
  0  done; check: the file is good; diff: the models are equal
  1  check: the file is not good; diff: the models differ
  2  trouble: wrong usage, no such file, a file that cannot be read, data that does
     not fit; the reason, and what to do, go to standard error
  70 an error in graphjit; 130 interrupted; 141 nobody reads the output any more
"""
_CONVERT: Final = """\
examples:
  graphjit convert model.h5 model.gjit
  graphjit convert model.json model.gjit --weights weights.h5
  graphjit convert weights.h5 model.gjit --config model.yaml
  graphjit convert keras1_model.h5 model.gjit --backend theano
  graphjit convert model.gjit model.keras      for Keras 3; .h5 for Keras 2 and 3

It prints who wrote the model, and every assumption made on the way; a .gjit file keeps
that. The training configuration of a Keras file is not kept in a .gjit file.
"""
_SUMMARY: Final = """\
examples:
  graphjit summary model.gjit
  graphjit summary model.keras --json | jq .inputs
"""
_EXPLAIN: Final = """\
examples:
  graphjit explain model.h5                    inference, on this machine
  graphjit explain model.gjit --target gpu --batch-size 64
  graphjit explain model.gjit --training

Nothing is compiled or run: any target can be asked about on any machine.
"""
_RUN: Final = """\
examples:
  python -c "import numpy as np; np.savez('x.npz', image=np.zeros((10, 28, 28, 1)))"
  graphjit run model.gjit --input x.npz --output y.npz

The arrays are named as the model's inputs are (`graphjit summary` lists them), or
arr_0, arr_1, … in their order, as numpy.savez names what is given without a name. Other
types are cast to the inputs' (float64 to float32, say), and each cast is said. The
outputs are written under their names, all of them or none.
"""
_CHECK: Final = """\
examples:
  graphjit check model.gjit
  graphjit check downloaded.h5 --json

A .gjit file: every byte is compared with its hash, and the graph verified. That finds
damage, not forgery: whoever can write the file can write its hashes. A Keras file is
loaded with all checks. Nothing in a file is run.
"""
_DIFF: Final = """\
examples:
  graphjit diff before.gjit after.gjit
  graphjit diff model.h5 model.gjit --tolerance 1e-6

Compared are the graph (inputs, layers and their settings, ops, outputs) and the weights
by name; not who wrote the file, nor how the model was compiled. Numbers count as equal
when they differ by no more than the tolerance; NaN equals NaN.
"""


def parser() -> argparse.ArgumentParser:
    """The parser; what it gives has `act`, the function that does the work."""
    top = _new_parser("graphjit", _ABOUT, _MORE)
    top.add_argument(
        "--version", action=_Version, nargs=0, help="print the version and exit"
    )
    commands = top.add_subparsers(
        title="commands",
        dest="command",
        metavar="COMMAND",
        required=True,
        parser_class=argparse.ArgumentParser,
    )
    _add_convert(commands)
    _add_summary(commands)
    _add_explain(commands)
    _add_run(commands)
    _add_check(commands)
    _add_diff(commands)
    return top


class _Version(argparse.Action):
    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        from importlib.metadata import version

        print(f"graphjit {version('graphjit')}")
        raise SystemExit(0)


def _new_parser(prog: str, about: str, more: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=prog,
        description=about,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _command(
    commands: Commands, name: str, act: Act, about: str, more: str
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(act=act)
    return made


# --- commands -------------------------------------------------------------------


def _add_convert(commands: Commands) -> None:
    about = "convert a Keras file to .gjit, or a model to a Keras file"
    made = _command(commands, "convert", acts.convert, about, _CONVERT)
    _add_source(made, "source", "IN")
    made.add_argument(
        "target",
        metavar="OUT",
        type=Path,
        help="the file to write: .gjit, or .keras, .h5, .hdf5 for Keras",
    )
    made.add_argument(
        "--force", action="store_true", help="replace OUT where it exists"
    )


def _add_summary(commands: Commands) -> None:
    about = "print a model's inputs, outputs, layers and sizes"
    made = _command(commands, "summary", acts.summary, about, _SUMMARY)
    _add_source(made, "file", "FILE")
    _add_json(made)


def _add_explain(commands: Commands) -> None:
    about = "print what graphjit makes of a model: passes, refusals, kernels, cost"
    made = _command(commands, "explain", acts.explain, about, _EXPLAIN)
    _add_source(made, "file", "FILE")
    made.add_argument(
        "--target",
        choices=("cpu", "gpu", "tpu"),
        help="the platform (default: the one that JAX runs on here)",
    )
    made.add_argument(
        "--training", action="store_true", help="as `fit` has it; else for inference"
    )
    made.add_argument(
        "--batch-size",
        type=_count,
        metavar="N",
        help="choose kernels and count cost for batches of N rows (default: kernels "
        "for any, the cost of 1)",
    )


def _add_run(commands: Commands) -> None:
    about = "run a model on arrays: .npz in, .npz out"
    made = _command(commands, "run", acts.run, about, _RUN)
    _add_source(made, "file", "FILE")
    made.add_argument(
        "--input",
        required=True,
        type=Path,
        metavar="X.npz",
        help="the inputs; never unpickled",
    )
    made.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="Y.npz",
        help="the outputs; replaced where it exists",
    )
    made.add_argument(
        "--batch-size",
        type=_count,
        metavar="N",
        help="rows at a time (default: 32, or the model's fixed batch)",
    )


def _add_check(commands: Commands) -> None:
    about = "check that a file is whole and safe to load"
    made = _command(commands, "check", acts.check, about, _CHECK)
    _add_source(made, "file", "FILE")
    _add_json(made)


def _add_diff(commands: Commands) -> None:
    about = "compare two models: graph and weights"
    made = _command(commands, "diff", acts.diff, about, _DIFF)
    made.add_argument("first", metavar="A", type=Path, help="a model")
    made.add_argument("second", metavar="B", type=Path, help="another")
    made.add_argument(
        "--tolerance",
        type=_tolerance,
        default=0.0,
        metavar="T",
        help="how far two numbers may lie apart and count as equal (default: 0)",
    )
    _add_reading(made)
    _add_json(made)


# --- arguments that commands share ----------------------------------------------


def _add_source(made: argparse.ArgumentParser, name: str, metavar: str) -> None:
    made.add_argument(
        name,
        metavar=metavar,
        type=Path,
        help="a model: .gjit; or Keras's .h5, .hdf5, .keras, or JSON or YAML",
    )
    group = made.add_argument_group("where a model is in several files")
    group.add_argument(
        "--weights", type=Path, metavar="W", help="the file that has its weights"
    )
    group.add_argument(
        "--config",
        type=Path,
        metavar="C",
        help="the file that describes it (JSON, YAML, or a whole model)",
    )
    _add_reading(made)


def _add_reading(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("reading")
    group.add_argument(
        "--backend",
        choices=("tensorflow", "theano"),
        help="what Keras ran on, where a file of Keras 1 does not say it",
    )
    group.add_argument(
        "--limit",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=N",
        help="let a file that you trust ask for more than usual; the error that "
        "refuses it says which NAME",
    )


def _add_json(made: argparse.ArgumentParser) -> None:
    made.add_argument("--json", action="store_true", help="print JSON, for programs")


# --- values ---------------------------------------------------------------------


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected an int >= 1, received {text!r}")
    return number


def _tolerance(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number >= 0, received {text!r}")
    return number


def _limit(text: str) -> tuple[str, int]:
    name, equals, number = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=N, received {text!r}")
    return name, _count(number)
