"""Where a model that was read from a foreign file is from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Provenance"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What wrote a model's file, and what its reader chose and left out.

    Attributes:
        writer: Such as "Keras 2.2.4"; "Keras 1" where the file says no more.
        backend: What Keras ran on; None where it is not said and does not matter.
        notes: A sentence for every assumption made, and for everything not kept.

    >>> print(Provenance("Keras 1.2.2", "theano", ("kernels are turned round",)))
    written by Keras 1.2.2 (theano)
    - kernels are turned round
    """

    writer: str
    backend: str | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        backend = f" ({self.backend})" if self.backend else ""
        return "\n".join(
            [f"written by {self.writer}{backend}", *(f"- {n}" for n in self.notes)]
        )
