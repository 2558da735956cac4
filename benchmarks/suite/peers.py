"""The peers: what runs a network besides graphjit."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT
from benchmarks.suite.nets import Built

__all__ = ["PEERS", "Away", "Process", "lacking", "onnx_file"]

#: By name, the packages it needs.
PEERS: dict[str, tuple[str, ...]] = {
    "keras-jax": ("keras",),
    "flax": ("flax",),
    "keras-tensorflow": ("keras", "tensorflow"),
    "keras-torch": ("keras", "torch"),
    "onnxruntime": ("onnxruntime", "keras", "tensorflow", "tf2onnx"),
    "openvino": ("openvino", "keras", "tensorflow", "tf2onnx"),
}


def lacking(peer: str) -> str:
    """What a peer needs and this environment has not; empty: nothing."""
    missing = [p for p in PEERS[peer] if importlib.util.find_spec(p) is None]
    return f"{peer} left out: {', '.join(missing)} not installed" if missing else ""


class Process:
    """A worker of `benchmarks.suite.worker`, idle between questions."""

    def __init__(self, backend: str) -> None:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.suite.worker", backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )

    def ask(self, method: str, *arguments: Any) -> Any:
        """Run a method of the worker.

        Raises:
            RuntimeError: It failed, with the worker's own words.
        """
        stdin: Any = self._process.stdin
        pickle.dump((method, arguments), stdin)
        stdin.flush()
        said, result = pickle.load(self._process.stdout)  # pyright: ignore[reportArgumentType]
        if said != "ok":
            raise RuntimeError(f"the worker failed in {method}:\n{said}")
        return result

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Away:
    """A candidate in another process."""

    name: str
    process: Process

    def turn(self, calls: int) -> float:
        return self.process.ask("turn", calls)


# --- ONNX ---------------------------------------------------------------------------


def onnx_file(built: Built, folder: Path) -> Path:
    """The network as an ONNX file, made once; see `onnx_export`.

    Raises:
        RuntimeError: It could not be made.
    """
    path = folder / f"{built.key}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with Process("tensorflow") as worker:
            worker.ask("build", built.text, built.weights)
            worker.ask("onnx", str(path.with_suffix(".part")))
        path.with_suffix(".part").rename(path)
    return path
