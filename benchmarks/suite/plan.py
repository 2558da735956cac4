"""What is to be measured, and with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import graphjit as gj
from benchmarks.suite import peers
from benchmarks.suite.nets import Built, Net, Size, built, keras_on_jax

__all__ = ["MODES", "Plan"]

#: A module of this package each, with ``measured(net, plan, stack)``.
MODES = ("inference", "training", "compiling", "memory", "formats")


@dataclass
class Plan:
    """The settings of one run.

    Attributes:
        batches: Sizes for inference.
        asked: The peers asked for; None for all there are.
        quick: Tiny sizes, few rounds.
        folder: Where ONNX files are kept.
        peers: Those asked for that this environment has, and perhaps "plain".
        keras: Keras on JAX; None where it cannot be had.
        notes: Who is left out, and why.
    """

    batches: Sequence[int]
    asked: Sequence[str] | None
    quick: bool
    folder: Path
    peers: tuple[str, ...] = ()
    keras: Any = None
    notes: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        wanted = [*peers.PEERS, "plain"] if self.asked is None else self.asked
        here: list[str] = []
        for name in wanted:
            lack = "" if name == "plain" else peers.lacking(name)
            if lack:
                self.notes.append(lack)
            else:
                here.append(name)
        self.peers = tuple(here)
        self.keras = keras_on_jax()
        if self.keras is None:
            self.notes.append("without Keras on JAX: only networks of our own")

    def runs(self, net: Net) -> bool:
        """Whether the network can be built here."""
        return self.keras is not None or net.own is not None

    def built(self, net: Net, train: bool = False) -> Built:
        """The network, for inference or for a training step."""
        size = net.full
        if train:
            assert net.train is not None
            size = net.train
        if self.quick:
            size = Size(net.tiny.shape, net.tiny.classes, 2)
        return built(net, size, self.keras or gj)
