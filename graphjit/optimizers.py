"""Optimizers with Keras's names, defaults and formulas, built from optax.

Each is a frozen object with settings; `build` makes the optax transformation. Any
`optax.GradientTransformation` can stand in the place of one. optax itself is imported
only when an optimizer is built.

The learning rate is a number, or a schedule: a function of the step (from 0) as optax
has them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.configurable import Configurable, Family, resolve

if TYPE_CHECKING:
    import optax

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
]

Rate: TypeAlias = float | Callable[..., Any]
Tree: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Optimizer(Configurable, ABC):
    """Base of the optimizers.

    Args:
        learning_rate: A number, or a function of the step.
        weight_decay: Every step also moves w by -rate · weight_decay · w.
        clipvalue: Gradients are first clipped to [-clipvalue, clipvalue].
        clipnorm: Each param's gradient is first scaled down to this norm.
        global_clipnorm: All gradients together are first scaled down to this norm.
    """

    config_aliases: ClassVar[Mapping[str, str]] = {"lr": "learning_rate"}
    config_ignored: ClassVar[frozenset[str]] = frozenset({"name"})

    learning_rate: Rate = 0.001
    weight_decay: float | None = field(default=None, kw_only=True)
    clipvalue: float | None = field(default=None, kw_only=True)
    clipnorm: float | None = field(default=None, kw_only=True)
    global_clipnorm: float | None = field(default=None, kw_only=True)

    def check(self) -> None:
        rate = self.learning_rate
        if isinstance(rate, float) and rate < 0:
            self.refuse("learning_rate", "a number >= 0")
        for name in ("clipvalue", "clipnorm", "global_clipnorm"):
            bound = getattr(self, name)
            if bound is not None and bound <= 0:
                self.refuse(name, "a number > 0")

    @abstractmethod
    def direction(self) -> optax.GradientTransformation:
        """From gradients to the direction against which a step goes."""

    def build(self) -> optax.GradientTransformation:
        """The optax transformation, from gradients to what is added to params."""
        import optax

        stages: list[optax.GradientTransformation] = []
        if self.clipvalue is not None:
            stages.append(optax.clip(self.clipvalue))
        if self.clipnorm is not None:
            stages.append(_clip_each(self.clipnorm))
        if self.global_clipnorm is not None:
            stages.append(optax.clip_by_global_norm(self.global_clipnorm))
        stages.append(self.direction())
        if self.weight_decay:
            stages.append(optax.add_decayed_weights(self.weight_decay))
        stages.append(optax.scale_by_learning_rate(self.learning_rate))
        return optax.chain(*stages)


@dataclass(frozen=True, slots=True)
class SGD(Optimizer):
    """m = momentum · m + g; w -= rate · m. Nesterov: w -= rate · (momentum · m + g)."""

    learning_rate: Rate = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def direction(self) -> optax.GradientTransformation:
        import optax

        if not self.momentum:
            return optax.identity()
        return optax.trace(self.momentum, nesterov=self.nesterov)


@dataclass(frozen=True, slots=True)
class RMSprop(Optimizer):
    """v = rho · v + (1 - rho) · g²; w -= rate · g / sqrt(v + epsilon)."""

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def direction(self) -> optax.GradientTransformation:
        import optax

        # Keras has epsilon inside the square root, and so have these two.
        scale = optax.scale_by_stddev if self.centered else optax.scale_by_rms
        scaled = scale(self.rho, self.epsilon)
        if not self.momentum:
            return scaled
        return optax.chain(scaled, optax.trace(self.momentum))


@dataclass(frozen=True, slots=True)
class Adagrad(Optimizer):
    """a += g²; w -= rate · g / sqrt(a + epsilon) (Duchi et al., 2011)."""

    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def direction(self) -> optax.GradientTransformation:
        import optax

        return optax.scale_by_rss(self.initial_accumulator_value, self.epsilon)


@dataclass(frozen=True, slots=True)
class Adadelta(Optimizer):
    """w -= rate · g · rms(steps) / rms(gradients) (arXiv:1212.5701)."""

    rho: float = 0.95
    epsilon: float = 1e-7

    def direction(self) -> optax.GradientTransformation:
        import optax

        return optax.scale_by_adadelta(self.rho, self.epsilon)


@dataclass(frozen=True, slots=True)
class Adam(Optimizer):
    """m, v: running means of g, g²; w -= rate · c · m / (sqrt(v) + epsilon).

    c = sqrt(1 - beta_2^t) / (1 - beta_1^t): the form at the end of section 2 of
    arXiv:1412.6980, which Keras uses. optax.adam adds epsilon to the corrected root.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    def direction(self) -> optax.GradientTransformation:
        return _adam(self.beta_1, self.beta_2, self.epsilon, self.amsgrad)


@dataclass(frozen=True, slots=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (arXiv:1711.05101)."""

    weight_decay: float | None = field(default=0.004, kw_only=True)


@dataclass(frozen=True, slots=True)
class Adamax(Optimizer):
    """u = max(beta_2 · u, |g|); w -= rate · m / ((1 - beta_1^t) · (u + epsilon))."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def direction(self) -> optax.GradientTransformation:
        return _adamax(self.beta_1, self.beta_2, self.epsilon)


@dataclass(frozen=True, slots=True)
class Nadam(Optimizer):
    """Adam with Nesterov momentum and the momentum schedule 1 - 0.96^t / 2 (Dozat)."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def direction(self) -> optax.GradientTransformation:
        return _nadam(self.beta_1, self.beta_2, self.epsilon)


OPTIMIZERS: Final[Family[Optimizer]] = Family("optimizer", Optimizer)
OPTIMIZERS.add("SGD", SGD, "sgd")
OPTIMIZERS.add("RMSprop", RMSprop, "RMSProp", "rmsprop")
OPTIMIZERS.add("Adagrad", Adagrad, "adagrad")
OPTIMIZERS.add("Adadelta", Adadelta, "adadelta")
OPTIMIZERS.add("Adam", Adam, "adam")
OPTIMIZERS.add("AdamW", AdamW, "adamw")
OPTIMIZERS.add("Adamax", Adamax, "adamax")
OPTIMIZERS.add("Nadam", Nadam, "nadam")


def get(
    identifier: object, where: str = "optimizer"
) -> optax.GradientTransformationExtraArgs:
    """The optax transformation that `identifier` means.

    Args:
        identifier: A name, for Keras's defaults; an object or a class of this module;
            a dict as Keras saves it; or any `optax.GradientTransformation`.
        where: What it was given for, for errors.

    >>> get("adamm")
    Traceback (most recent call last):
    graphjit.errors.CaptureError: optimizer: expected a known name, received 'adamm'
      hint: did you mean 'adam'?

    Raises:
        CaptureError: The identifier means no optimizer.
    """
    import optax

    if isinstance(identifier, optax.GradientTransformation):
        made = identifier
    else:
        made = resolve(OPTIMIZERS, identifier, where).build()
    return optax.with_extra_args_support(made)


# --- the formulas in which Keras differs from optax -------------------------------


class _Moments(NamedTuple):
    """The state of Adam and its kin; `extra` is what only one of them has."""

    step: jax.Array
    first: Tree
    second: Tree
    extra: Tree


def _transformation(
    extra: Callable[[Tree], Tree], move: Callable[[Tree, _Moments], tuple[Tree, Tree]]
) -> optax.GradientTransformation:
    """From how `extra` begins, and (gradients, state) -> (direction, new state).

    `move` sees a state whose step counts from 1.
    """
    import optax

    def init(params: Any) -> Any:
        # Each in buffers of its own: a step gives all of them away.
        first, second = (jax.tree.map(_zeros, params) for _ in range(2))
        return _Moments(jnp.zeros((), jnp.int32), first, second, extra(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        return move(updates, state._replace(step=state.step + 1))

    return optax.GradientTransformation(init, update)


def _adam(
    beta_1: float, beta_2: float, epsilon: float, amsgrad: bool
) -> optax.GradientTransformation:
    def extra(params: Tree) -> Tree:
        return jax.tree.map(_zeros, params) if amsgrad else ()

    def move(grads: Tree, state: _Moments) -> tuple[Tree, Tree]:
        first = _mean(beta_1, state.first, grads)
        second = _mean(beta_2, state.second, jax.tree.map(jnp.square, grads))
        root, highest = second, state.extra
        if amsgrad:
            root = highest = jax.tree.map(jnp.maximum, highest, second)

        def scaled(m: jax.Array, v: jax.Array) -> jax.Array:
            correction = jnp.sqrt(1 - _power(beta_2, state.step, m))
            correction /= 1 - _power(beta_1, state.step, m)
            return (m * correction / (jnp.sqrt(v) + epsilon)).astype(m.dtype)

        new = _Moments(state.step, first, second, highest)
        return jax.tree.map(scaled, first, root), new

    return _transformation(extra, move)


def _adamax(
    beta_1: float, beta_2: float, epsilon: float
) -> optax.GradientTransformation:
    def larger(u: jax.Array, g: jax.Array) -> jax.Array:
        return jnp.maximum(beta_2 * u, jnp.abs(g))

    def move(grads: Tree, state: _Moments) -> tuple[Tree, Tree]:
        first = _mean(beta_1, state.first, grads)
        largest = jax.tree.map(larger, state.second, grads)

        def scaled(m: jax.Array, u: jax.Array) -> jax.Array:
            step = m / ((1 - _power(beta_1, state.step, m)) * (u + epsilon))
            return step.astype(m.dtype)

        new = _Moments(state.step, first, largest, ())
        return jax.tree.map(scaled, first, largest), new

    return _transformation(lambda _: (), move)


def _nadam(
    beta_1: float, beta_2: float, epsilon: float
) -> optax.GradientTransformation:
    # `extra` is the product of the momentum schedule so far; in float32, since one
    # number serves params of all dtypes.
    one = np.float32(1)

    def schedule(step: jax.Array) -> jax.Array:
        return beta_1 * (1 - 0.5 * _power(0.96, step, one))

    def move(grads: Tree, state: _Moments) -> tuple[Tree, Tree]:
        now, following = schedule(state.step), schedule(state.step + 1)
        product = state.extra * now
        of_mean = following / (1 - product * following)
        of_gradient = (1 - now) / (1 - product)
        first = _mean(beta_1, state.first, grads)
        second = _mean(beta_2, state.second, jax.tree.map(jnp.square, grads))

        def scaled(g: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
            ahead = of_mean * m + of_gradient * g
            root = jnp.sqrt(v / (1 - _power(beta_2, state.step, m)))
            return (ahead / (root + epsilon)).astype(m.dtype)

        new = _Moments(state.step, first, second, product)
        return jax.tree.map(scaled, grads, first, second), new

    return _transformation(lambda _: jnp.ones((), jnp.float32), move)


def _zeros(like: jax.Array) -> jax.Array:
    return jnp.zeros_like(like)


def _mean(rho: float, mean: Tree, new: Tree) -> Tree:
    """The running mean, moved towards `new` by 1 - rho of the way."""

    def moved(old: jax.Array, value: jax.Array) -> jax.Array:
        return old + (value - old) * (1 - rho)

    return jax.tree.map(moved, mean, new)


def _power(base: float, step: jax.Array, like: Any) -> jax.Array:
    """base^step in the dtype of `like`, float32 at least: 0.999 is 1 in bfloat16."""
    wide = jnp.promote_types(like.dtype, jnp.float32)
    return jnp.asarray(base, wide) ** step.astype(wide)


def _clip_each(norm: float) -> optax.GradientTransformation:
    """Scale down every array whose norm exceeds `norm`."""
    import optax

    def clip(g: Any, param: Any) -> Any:
        del param
        size = jnp.sqrt(jnp.sum(jnp.square(g)))
        return g * (norm / jnp.maximum(size, norm))

    return optax.stateless_with_tree_map(clip)
