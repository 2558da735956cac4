"""A peer in a process of its own; ``python -m benchmarks.suite.worker tensorflow``.

Keras chooses its backend once per process, so Keras on TensorFlow or PyTorch runs here,
idle but for its turns. Messages are pickles over the standard streams, (method,
arguments) one way, ("ok" or the error's text, result) back.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
import traceback
from typing import Any

import numpy as np


class Worker:
    """Keras on the backend of ``KERAS_BACKEND``."""

    def __init__(self) -> None:
        import keras

        self.keras = keras
        self.backend = keras.config.backend()
        self.model: Any = None
        self._call: Any = None

    def build(self, text: str, weights: list[Any]) -> None:
        """Make the model, with its weights."""
        from benchmarks.mobilenet_v2 import undrawn

        self.keras.utils.clear_session()
        with undrawn(self.keras):
            self.model = self.keras.models.model_from_json(text)
        self.model.set_weights(weights)

    def infer(self, x: Any) -> Any:
        """Get ready for inference on `x`, and give the outputs."""
        if self.backend == "tensorflow":
            import tensorflow as tf

            model = self.model
            function = tf.function(lambda x: model(x, training=False))
            data = tf.constant(x)
            self._call = lambda: function(data)
        else:
            import torch

            data = torch.from_numpy(x)

            def call() -> Any:
                with torch.no_grad():
                    return self.model(data, training=False)

            self._call = call
        return self.keras.ops.convert_to_numpy(self._call())

    def train(self, loss: str, rate: float, x: Any, y: Any) -> list[float]:
        """Get ready for training steps, and give the losses of the first two."""
        optimizer = self.keras.optimizers.Adam(rate)
        self.model.compile(optimizer, loss)
        ops = self.keras.ops
        data = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
        step: Any = self.model.train_step
        if self.backend == "tensorflow":
            import tensorflow as tf

            optimizer.build(self.model.trainable_variables)
            step = tf.function(step)
        self._call = lambda: step(data)
        means = [float(ops.convert_to_numpy(self._call()["loss"])) for _ in range(2)]
        return [means[0], 2 * means[1] - means[0]]  # Keras reports running means

    def turn(self, calls: int) -> float:
        """Calls one after the other; the seconds they took together."""
        result: Any = None
        start = time.perf_counter()
        for _ in range(calls):
            result = self._call()
        self._wait(result)
        return time.perf_counter() - start

    def _wait(self, result: Any) -> None:
        for leaf in self.keras.tree.flatten(result):
            self.keras.ops.convert_to_numpy(leaf)

    def onnx(self, path: str) -> None:
        """Write the model as an ONNX file."""
        from benchmarks.suite.onnx_export import export

        export(self.model, path)


def main() -> None:
    os.environ["KERAS_BACKEND"] = sys.argv[1]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    worker = Worker()
    while True:
        try:
            method, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = "ok", getattr(worker, method)(*arguments)
        except Exception:
            answer = traceback.format_exc(limit=-3), None
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    # Results are plain: NumPy arrays, floats, None.
    assert np is not None
    main()
