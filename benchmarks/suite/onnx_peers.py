"""ONNX Runtime and OpenVINO, on all cores; without JAX, so that memory shows theirs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["onnxruntime", "openvino"]


def onnxruntime(path: Path) -> Callable[[Any], Any]:
    """A function of one array, by ONNX Runtime on all cores."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = os.cpu_count() or 1
    # Else its threads spin on for a while, in the next candidate's turn.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(
        str(path), settings, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def openvino(path: Path, x: Any) -> Callable[[Any], Any]:
    """A function of one array shaped like `x`, by OpenVINO on all cores in float32."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(str(path))
    model.reshape(x.shape)
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": os.cpu_count() or 1,
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda x: np.array(request.infer([x], share_inputs=True)[0])
