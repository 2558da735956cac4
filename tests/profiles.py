"""How many examples a property test runs, in each hypothesis profile.

`HYPOTHESIS_PROFILE` names the profile: ``dev`` (the default), ``ci`` (derandomized; the
default where ``CI=true``) or ``deep`` (many times the examples, for a long run).
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


#: Options of `jax.jit` for what runs once: compiling is most of the time, then. LLVM
#: leaves out its own optimizations, XLA's stay; and loops are written by XLA:CPU's
#: older emitter, which does without MLIR and so takes a third of the time.
UNOPTIMIZED: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}


def quick_compile() -> dict[str, Any]:
    """`UNOPTIMIZED`, or nothing in ``deep``: there all is compiled as users have it."""
    return {} if profile() == "deep" else UNOPTIMIZED
