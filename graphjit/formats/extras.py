"""Packages that only some formats need, and that are imported when those are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["h5py", "yaml"]


def h5py() -> Any:
    """The package h5py.

    Raises:
        ImportError: It is not installed; the message says how to.
    """
    return _package("h5py", "HDF5 files need h5py")


def yaml() -> Any:
    """The package PyYAML.

    Raises:
        ImportError: It is not installed; the message says how to.
    """
    return _package("yaml", "YAML texts need PyYAML")


def _package(name: str, message: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(f"{message}: pip install 'graphjit[keras]'") from None
