"""What holds for the process: kept programs and memory, in processes of their own."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

import graphjit as gj
from benchmarks.measure import fresh
from graphjit.errors import CaptureError

_NET = """
import jax, numpy as np, graphjit as gj
heard = []
jax.monitoring.register_event_listener(lambda name, **_: heard.append(name))
gj.config.set_compilation_cache({path!r})
x = gj.Input((3,))
gj.Model(x, gj.layers.Dense(2)(x)).predict(np.ones((2, 3)))
print(sum(name.endswith("cache_hits") for name in heard))
"""


def test_programs_are_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "programs"
    code = _NET.format(path=str(folder))
    assert int(fresh(code)) == 0
    assert list(folder.iterdir())
    assert int(fresh(code)) > 0


def test_no_cache_unless_asked(tmp_path: Path) -> None:
    assert int(fresh(_NET.format(path=None))) == 0
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(CaptureError, match=r"expected a folder, .*file is a file"):
        gj.config.set_compilation_cache(path)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_is_kept() -> None:
    code = """
import numpy as np, graphjit as gj
gj.config.keep_host_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
block = np.ones(50_000_000)
before = resident()
del block
print(resident() > before * 0.9)
"""
    assert fresh(code).strip() == "True"


def test_other_c_libraries_are_refused(monkeypatch: Any) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    text = "keep_host_memory: expected Linux with glibc, this is .* with another C libr"
    with pytest.raises(CaptureError, match=text):
        gj.config.keep_host_memory()
