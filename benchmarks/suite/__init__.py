"""Whole networks, graphjit beside its peers; ``python -m benchmarks.suite``.

One file a question (`inference`, `training`, `compiling`, `memory`, `formats`), one for
the networks, one for each kind of peer. What a machine lacks is left out with a note.
"""

from benchmarks.suite.quick import run

__all__ = ["run"]
