"""The axes of attention, as letters for einsum.

A query lies as (batch axes and attended axes in any order, features), axis 0 a batch
axis; keys and values like it, with other lengths of the attended axes. Heads are a
batch axis. Scores lie as (batch axes, attended axes of the query, those of the key).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["MOST_AXES", "Letters", "letters_of"]

#: Axes of a query and attended axes: each has a letter, and so have the features.
MOST_AXES: Final = len(string.ascii_letters) - 1


@dataclass(frozen=True, slots=True)
class Letters:
    """A letter for every axis.

    Attributes:
        query: Of the query, features last.
        key: Of the key: other letters at the attended axes.
        value: Of the value: the key's, with other features.
        batch: The axes that are not attended over, features left out.
        reads: The attended axes of the query.
        read: The attended axes of key and value.
    """

    query: str
    key: str
    value: str
    batch: str
    reads: str
    read: str

    @property
    def scores(self) -> str:
        return self.batch + self.reads + self.read

    @property
    def product(self) -> str:
        """query · key -> scores."""
        return f"{self.query},{self.key}->{self.scores}"

    @property
    def combination(self) -> str:
        """weights · value -> result."""
        return f"{self.scores},{self.value}->{self.query[:-1]}{self.value[-1]}"


def letters_of(rank: int, axes: Sequence[int]) -> Letters:
    """The letters for operands of this rank, attending over `axes`.

    >>> letters_of(4, (1,)).product
    'abcd,aecd->acbe'
    """
    query = string.ascii_letters[:rank]
    read = string.ascii_letters[rank : rank + len(axes)]
    other = dict(zip(axes, read, strict=True))
    key = "".join(other.get(axis, letter) for axis, letter in enumerate(query))
    batch = "".join(query[axis] for axis in range(rank - 1) if axis not in axes)
    value = key[:-1] + string.ascii_letters[rank + len(axes)]
    reads = "".join(query[axis] for axis in axes)
    return Letters(query, key, value, batch, reads, read)
