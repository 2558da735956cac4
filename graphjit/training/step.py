"""The pure train step: usable by itself, with nothing of Keras around it.

>>> import jax, numpy as np, optax
>>> import graphjit as gj
>>> from graphjit.training.state import Batch
>>> x = gj.Input((4,))
>>> model = gj.Model(x, gj.layers.Dense(1)(x))
>>> step = make_train_step(model.graph, optax.adam(1e-3), "mse", metrics=["mae"])
>>> state = step.init(model.init(seed=0), rng=0)
>>> fast = jax.jit(step, donate_argnums=0)
>>> state, sums = fast(state, Batch((np.ones((8, 4)),), (np.zeros((8, 1)),), (None,)))
>>> sorted(step.read(sums)), int(state.step)
(['loss', 'mae'], 1)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from graphjit import optimizers
from graphjit.errors import DataError
from graphjit.ir import Graph, Param
from graphjit.lower import lower_flat, rng_key, uses_rng, x64_scope
from graphjit.passes.mask_rows import ROW_MASK, MaskRows
from graphjit.passes.pipeline import run
from graphjit.training.objective import Objective, accumulate, objective_of
from graphjit.training.state import Batch, TrainState
from graphjit.variables import flatten, nest

__all__ = ["TrainStep", "make_train_step", "penalty_of"]


class TrainStep:
    """One optimizer step as a pure function: ``(state, batch) -> (state, sums)``.

    jit, vmap and shard_map work on it; under jit the state may be donated. `sums` is
    one small vector with everything that is reported: `read` names its numbers, and
    `accumulating` adds them up on the device. A graph with 64-bit types is stepped
    inside ``graphjit.lower.x64_scope(graph)``.

    Attributes:
        graph: The graph being trained.
        optimizer: The optax transformation.
        objective: The losses and metrics.
    """

    def __init__(
        self,
        graph: Graph,
        optimizer: optax.GradientTransformationExtraArgs,
        objective: Objective,
    ) -> None:
        self.graph = graph
        self.optimizer = optimizer
        self.objective = objective
        self._run = lower_flat(graph)
        self._random = uses_rng(graph)
        self._masked = any(entry.name == ROW_MASK for entry in graph.inputs)
        updated = {update.param for update in graph.updates}
        self._trained = [p for p in graph.params if not p.is_state and p.trainable]
        self._updated = [p for p in graph.params if p.name in updated]
        moving = {p.name for p in (*self._trained, *self._updated)}
        self._frozen = [p for p in graph.params if p.name not in moving]

    def masked(self) -> TrainStep:
        """The step for batches padded to a fixed size, with a mask of valid rows.

        Its loss, gradient, statistics and sums are those of the valid rows alone.

        Raises:
            DataError: An op mixes rows and cannot take a mask; or a loss or metric is
                a function of the user's, which may do so too.
        """
        graph, log = run(self.graph, (MaskRows(),))
        refusals = log.refusals()
        if refusals:
            node, reason = refusals[0].node, refusals[0].reason
            raise DataError(f"a batch cannot be padded: {node!r}: {reason}")
        if not self.objective.rowwise:
            raise DataError("a batch cannot be padded: a loss or metric may mix rows")
        return TrainStep(graph, self.optimizer, self.objective)

    # --- states -------------------------------------------------------------------

    def init(self, variables: Mapping[str, Any], rng: Any = 0) -> TrainState:
        """The state before the first step.

        Args:
            variables: ``{"params": …, "state": …}`` as `Model.init` gives them.
            rng: An int or a JAX key.
        """
        return self.state_of(flatten(variables, self.graph.params), rng)

    def state_of(self, arrays: Mapping[str, Any], rng: Any = 0) -> TrainState:
        """Like `init`, from arrays by param name."""
        with x64_scope(self.graph):
            params = _chosen(arrays, self._trained)
            # Eagerly every shape of param would be a compilation of its own.
            made: Any = jax.jit(self.optimizer.init)
            return TrainState(
                params=params,
                state=_chosen(arrays, self._updated),
                frozen=_chosen(arrays, self._frozen),
                opt_state=made(params),
                step=jnp.zeros((), jnp.int32),
                rng=jax.random.key_data(rng_key(rng)),
            )

    def with_arrays(self, state: TrainState, arrays: Mapping[str, Any]) -> TrainState:
        """The state with other variables."""
        return TrainState(
            params=_chosen(arrays, self._trained),
            state=_chosen(arrays, self._updated),
            frozen=_chosen(arrays, self._frozen),
            opt_state=state.opt_state,
            step=state.step,
            rng=state.rng,
        )

    def variables(self, state: TrainState) -> dict[str, Any]:
        """``{"params": …, "state": …}`` of a state, nested by layer name."""
        arrays = state.arrays()
        of_params = [p.name for p in self.graph.params if not p.is_state]
        of_state = [p.name for p in self.graph.params if p.is_state]
        return {
            "params": nest({name: arrays[name] for name in of_params}),
            "state": nest({name: arrays[name] for name in of_state}),
        }

    # --- stepping -----------------------------------------------------------------

    def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, jax.Array]:
        """One step.

        Returns:
            The new state, and the batch's sums.
        """
        gradient: Any = jax.grad(self._loss, has_aux=True)  # pyright: ignore[reportUnknownVariableType]
        grads, (sums, updates) = gradient(state.params, state, batch)
        deltas, opt_state = self.optimizer.update(grads, state.opt_state, state.params)
        params = self._projected(optax.apply_updates(state.params, deltas))
        names = [update.param for update in self.graph.updates]
        new = TrainState(
            params=params,
            state={**state.state, **dict(zip(names, updates, strict=True))},
            frozen=state.frozen,
            opt_state=opt_state,
            step=state.step + 1,
            rng=state.rng,
        )
        return new, sums

    def accumulating(
        self, state: TrainState, total: jax.Array, batch: Batch
    ) -> tuple[TrainState, jax.Array]:
        """One step that adds its sums to `total`, which starts as `Objective.zeros`."""
        new, sums = self(state, batch)
        return new, accumulate(total, sums)

    def read(self, sums: Any) -> dict[str, float]:
        """The loss and metrics by name; waits for the device."""
        return self.objective.read(sums)

    def _loss(
        self, params: dict[str, jax.Array], state: TrainState, batch: Batch
    ) -> tuple[jax.Array, tuple[jax.Array, tuple[jax.Array, ...]]]:
        arrays = {**params, **state.state, **state.frozen}
        key: Any = None
        if self._random:
            key = jax.random.fold_in(rng_key(state.rng), state.step)
        inputs = batch.inputs
        if self._masked:
            inputs = (*inputs, batch.row_mask)
        casts = [
            jnp.asarray(array).astype(entry.type.dtype)
            for entry, array in zip(self.graph.inputs, inputs, strict=True)
        ]
        flat = self._run([arrays[p.name] for p in self.graph.params], casts, key)
        loss, sums = self.objective.measure(
            flat.outputs,
            flat.masks,
            batch.targets,
            batch.weights,
            batch.row_mask,
            sum(flat.losses) + penalty_of(self.graph, arrays),
        )
        return loss, (sums, flat.updates)

    def _projected(self, params: Any) -> dict[str, jax.Array]:
        """The params with constraints put into force."""
        new = dict(params)
        for param in self._trained:
            if param.constraint is not None:
                new[param.name] = param.constraint.project(new[param.name])
        return new


def make_train_step(
    graph: Graph,
    optimizer: Any,
    loss: Any,
    metrics: Any = None,
    *,
    loss_weights: Any = None,
    weighted_metrics: Any = None,
) -> TrainStep:
    """The train step of a graph.

    The loss is that of `Objective`, plus the weights' regularizers and the graph's own
    losses (activity regularizers). Its gradient is taken with respect to the trainable
    params; constraints are put into force after the update; state updates are written.

    Args:
        graph: A training graph: as captured, or `Model.training_graph()`, with layers
            frozen and rewritten for speed.
        optimizer: What `graphjit.optimizers.get` takes.
        loss: What `Model.compile` takes, as are the rest.
        metrics: Reported for every batch.
        loss_weights: Factors of the outputs' losses.
        weighted_metrics: Metrics counted with sample weights.

    Raises:
        CaptureError: An argument means nothing.
    """
    objective = objective_of(graph, loss, metrics, loss_weights, weighted_metrics)
    return TrainStep(graph, optimizers.get(optimizer), objective)


def penalty_of(graph: Graph, arrays: Mapping[str, Any]) -> Any:
    """What the regularizers of trainable params add to the loss."""
    return sum(
        param.regularizer.penalty(arrays[param.name])
        for param in graph.params
        if param.regularizer is not None and param.trainable
    )


def _chosen(arrays: Mapping[str, Any], params: list[Param]) -> dict[str, jax.Array]:
    found = {param.name: arrays[param.name] for param in params}
    return {
        name: array if isinstance(array, jax.Array) else jnp.asarray(array)
        for name, array in found.items()
    }
