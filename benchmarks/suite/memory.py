"""Peak resident memory of a fresh process that loads a network and runs it."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import fresh
from benchmarks.suite import candidates, peers
from benchmarks.suite.nets import Built, Net
from benchmarks.suite.plan import Plan
from benchmarks.suite.table import Row, rows_of
from graphjit.stopwatch import Timing

__all__ = ["measured"]

#: What every probe ends with: three calls, and the peak in MB. Not by `getrusage`: its
#: peak is never less than that of the process that started this one.
_END = """
for _ in range(3):
    np.asarray(call(x))
status = open("/proc/self/status").read()
print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
"""

_START = """
import os
import numpy as np
path, shape, dtype = {path!r}, {shape!r}, {dtype!r}
x = np.ones(shape, dtype)
"""

#: How each reads its own file and makes a function `call` of an array.
_LOADING = {
    "graphjit": """
import graphjit as gj
call = gj.jit(gj.load(path))
""",
    "keras-jax": """
os.environ["KERAS_BACKEND"] = "jax"
import jax, keras
model = keras.models.load_model(path, compile=False)
held = [[v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables]]
run = jax.jit(lambda t, n, x: model.stateless_call(t, n, x, training=False)[0])
call = lambda x: run(*held, x)
""",
    "keras-tensorflow": """
os.environ["KERAS_BACKEND"] = "tensorflow"
import keras, tensorflow as tf
model = keras.models.load_model(path, compile=False)
run = tf.function(lambda x: model(x, training=False))
call = lambda x: run(tf.constant(x))
""",
    "onnxruntime": """
from pathlib import Path
from benchmarks.suite.onnx_peers import onnxruntime
call = onnxruntime(Path(path))
""",
    "openvino": """
from pathlib import Path
from benchmarks.suite.onnx_peers import openvino
call = openvino(Path(path), x)
""",
}


def measured(net: Net, plan: Plan, _stack: contextlib.ExitStack) -> Iterator[list[Row]]:
    """Rows for inference at every batch size, in MB, imports included."""
    if not plan.runs(net) or not Path("/proc/self/status").exists():
        return
    built = plan.built(net)
    with tempfile.TemporaryDirectory() as folder:
        files = _files(built, plan, Path(folder))
        for batch in plan.batches:
            example = net.data(built.size, batch)
            peaks: dict[str, Timing] = {}
            for name, path in files.items():
                start = _START.format(
                    path=str(path), shape=example.shape, dtype=str(example.dtype)
                )
                printed = fresh(start + _LOADING[name] + _END)
                peaks[name] = Timing((json.loads(printed.split()[-1]),))
            yield rows_of("memory", net.name, f"b{batch}", peaks, unit="MB")


def _files(built: Built, plan: Plan, folder: Path) -> dict[str, Path]:
    """A file for every candidate."""
    files = {"graphjit": folder / "model.gjit"}
    candidates.loaded(built).save(str(files["graphjit"]))
    by_keras = {"keras-jax", "keras-tensorflow"} & set(plan.peers)
    if by_keras and plan.keras is not None:
        path = folder / "model.keras"
        candidates.keras_model(plan.keras, built).save(path)
        files.update(dict.fromkeys(sorted(by_keras), path))
    by_onnx = {"onnxruntime", "openvino"} & set(plan.peers)
    if by_onnx:
        path = peers.onnx_file(built, plan.folder)
        files.update(dict.fromkeys(sorted(by_onnx), path.resolve()))
    return files
