"""What a kernel is tried on: an op, and operands of random shapes."""

from __future__ import annotations

from hypothesis import strategies as st

from graphjit.ops.base import Op
from tests.conformance.case import Arg

#: An op and its operands, None for one left out.
Problem = tuple[Op, list[Arg | None]]

#: By (kind of op, name of kernel).
Problems = dict[tuple[str, str], st.SearchStrategy[Problem]]
