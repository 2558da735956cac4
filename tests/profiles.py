"""How many examples a property test runs, and how programs are compiled.

`HYPOTHESIS_PROFILE` names the profile: ``dev`` (the default), ``ci`` (derandomized; the
default where ``CI=true``) or ``deep`` (many times the examples, for a long run, with
programs compiled as users have them).
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings

DEEP_FACTOR = 40

#: Building a model is slow next to drawing a number, and JAX compiles at first use: no
#: deadline, and no phase that runs a failing example again and again to explain it.
_COMMON = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def profile() -> str:
    """The name of the profile in force."""
    return os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if in_ci() else "dev")


def load() -> None:
    """Register the profiles and load the one in force."""
    settings.register_profile("dev", _COMMON)
    settings.register_profile("ci", _COMMON, derandomize=True, database=None)
    settings.register_profile("deep", _COMMON, max_examples=100 * DEEP_FACTOR)
    settings.load_profile(profile())


def examples(count: int) -> settings:
    """Settings for a property that needs `count` examples; more in ``deep``."""
    factor = DEEP_FACTOR if profile() == "deep" else 1
    return settings(max_examples=count * factor)


#: Settings of XLA for programs that run once, where compiling is most of the time: a
#: tenth of it is left. LLVM leaves out its own optimizations, XLA's stay; loops are
#: written by XLA:CPU's older emitter, which does without MLIR; and a program is one
#: LLVM module, not up to 32.
UNOPTIMIZED: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}

#: The same settings as users have them.
OPTIMIZED: dict[str, Any] = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_use_fusion_emitters": True,
    "xla_cpu_parallel_codegen_split_count": 32,
}


_LLVM = ("xla_backend_optimization_level", "xla_llvm_disable_expensive_passes")


def compile_quickly() -> None:
    """Compile `UNOPTIMIZED`, here and in processes started from here; not in ``deep``.

    XLA reads its flags once, so this goes before the import of JAX. Flags that are set
    already stay: ``XLA_FLAGS= make test`` compiles everything as users have it.
    """
    if profile() == "deep":
        return
    # JAX has a setting of its own for LLVM, which a test can take back.
    rest = {name: to for name, to in UNOPTIMIZED.items() if name not in _LLVM}
    flags = " ".join(f"--{name}={str(to).lower()}" for name, to in rest.items())
    if os.environ.setdefault("XLA_FLAGS", flags) == flags:
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
