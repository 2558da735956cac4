"""The command `graphjit`: what can be said to it, and how it ends.

It stands beside the package `graphjit` and imports that, and so JAX, only when there is
work to do: ``graphjit --help`` answers at once.
"""

from graphjit_cli.main import main

__all__ = ["main"]
