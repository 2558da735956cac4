"""What holds for the whole process: kept programs, and how memory is given back.

Both are off until asked for (`graphjit.config` has them). Nothing here is a setting of
a model: results are the same with and without.
"""

from __future__ import annotations

import ctypes
import platform
from os import PathLike
from pathlib import Path
from typing import Any, Final

from graphjit.errors import CaptureError

__all__ = ["keep_host_memory", "set_compilation_cache"]

# From glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_MAX: Final = -4
_M_ARENA_MAX: Final = -8

#: The most that `mallopt` takes: an int.
_NEVER: Final = 2**31 - 1


def set_compilation_cache(path: str | PathLike[str] | None) -> None:
    """Keep compiled programs in a folder, for this process and later ones.

    This sets JAX's own cache (``jax_compilation_cache_dir``), for all of JAX, and lets
    it keep short compilations too. A program is found again by its contents, the
    versions of JAX, and the machine; nothing is ever removed. What lies in the folder
    is run: let nobody else write there.

    Args:
        path: The folder, made if it is missing; None for no cache.

    Raises:
        CaptureError: The path is a file.
    """
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    folder = None if path is None else Path(path)
    if folder is not None:
        if folder.exists() and not folder.is_dir():
            raise CaptureError(
                f"set_compilation_cache: expected a folder, {folder} is a file"
            )
        folder.mkdir(parents=True, exist_ok=True)
    update: Any = getattr(jax.config, "update")  # noqa: B009
    update("jax_compilation_cache_dir", None if folder is None else str(folder))
    update("jax_persistent_cache_min_compile_time_secs", 1.0 if folder is None else 0.0)
    # JAX decides at the first compilation whether there is a cache.
    compilation_cache.reset_cache()


def keep_host_memory() -> None:
    """Let this process keep the memory it frees, to use it again.

    Large buffers otherwise go back to the system after every step, and the next step
    waits for the kernel to hand out zeroed pages. Training a convolutional net on the
    CPU gains most. The process then holds as much memory as it ever needed; there is no
    way back. It sets the C library's allocator (``mallopt``), for everything in the
    process. Call it first: threads that have allocated before keep their own heaps.

    Raises:
        CaptureError: The C library is not glibc, or refuses.
    """
    library, _ = platform.libc_ver()
    if platform.system() != "Linux" or library != "glibc":
        raise CaptureError(
            "keep_host_memory: expected Linux with glibc, this is "
            f"{platform.system()} with {library or 'another C library'}"
        )
    mallopt = ctypes.CDLL(None).mallopt
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    settings = {
        # Threads would have heaps of their own, which give whole pieces back.
        _M_ARENA_MAX: 1,
        _M_MMAP_MAX: 0,  # no block has a mapping of its own, to be unmapped when freed
        _M_TRIM_THRESHOLD: _NEVER,  # what is free at the top of the heap stays
        _M_TOP_PAD: 64 << 20,  # and the heap grows in large steps
    }
    for name, value in settings.items():
        if not mallopt(name, value):
            raise CaptureError(f"keep_host_memory: mallopt({name}, {value}) failed")
