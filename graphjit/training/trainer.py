"""What `Model.compile` makes: the step, its compiled programs, and the loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.buckets import LARGEST_PIECE, bucket_of
from graphjit.callbacks import CallbackList, History, checked
from graphjit.compiling import compile_graph
from graphjit.data import rows_per_call
from graphjit.errors import CaptureError, DataError, expected
from graphjit.executable import Executable
from graphjit.id_ranges import id_ranges
from graphjit.ir import Output
from graphjit.lower import is_wide, rng_key, x64_scope
from graphjit.narrow import sequence_of
from graphjit.passes.mask_rows import can_mask_rows
from graphjit.training.batches import Batches
from graphjit.training.loop import Epochs, score_batches
from graphjit.training.objective import accumulate
from graphjit.training.programs import StepProgram, steps_per_dispatch
from graphjit.training.progress import Progress, progress_of
from graphjit.training.state import Batch, TrainState, copied
from graphjit.training.step import make_train_step, penalty_of
from graphjit.training.table import Table, table_of, warn_not_finite

if TYPE_CHECKING:
    from graphjit.model import Model

__all__ = ["Trainer"]


class Trainer:
    """Trains and evaluates one model, as it was when compiled.

    Which layers are frozen is fixed here. Between calls the values live in the model;
    the optimizer's state, the step count and the key live here, in a state whose
    buffers are never given away.

    Args:
        model: The model.
        optimizer: What `graphjit.optimizers.get` takes.
        loss: One loss, or a list or dict of them, for the outputs.
        metrics: Metrics for the outputs, not weighted by samples.
        loss_weights: Factors of the outputs' losses.
        weighted_metrics: Metrics weighted by samples.

    Raises:
        CaptureError: An argument means nothing.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Any,
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        self.model = model
        #: As they were given: what they are built into does not say what they were.
        self.arguments: Mapping[str, Any] = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "optimizer": optimizer,
            "weighted_metrics": weighted_metrics,
        }
        self.step = make_train_step(
            model.training_graph(),
            optimizer,
            loss,
            metrics,
            loss_weights=loss_weights,
            weighted_metrics=weighted_metrics,
        )
        self.objective = self.step.objective
        self._ids = id_ranges(model.graph)
        self._state: TrainState | None = None
        self._resumed: tuple[Callable[[Any], Any], int] | None = None
        self._version = -1
        self._fits = 0
        self._programs: dict[str, Any] = {}
        self._scorer: Executable | None = None

    # --- training -----------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = 1,
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        seed: int | None = None,
    ) -> History:
        """See `Model.fit`."""
        self.model.stop_training = False
        if shuffle and any(param.recurrent for param in self.step.graph.params):
            raise CaptureError(
                "fit: the model is stateful, and shuffled rows have no order to carry "
                "state along",
                hint="fit(…, shuffle=False)",
            )
        table = self._table(x, y, sample_weight, class_weight)
        held_out: Table | None = None
        if validation_data is not None:
            held_out = self._table(*_validation(validation_data))
        elif validation_split:
            table, held_out = _split(table, validation_split)
        for part in (table, held_out):
            if part is not None:
                inputs = self.model.graph.inputs
                warn_not_finite(part, inputs, self.objective.outputs)
        size = self._batch_size(batch_size, table.rows)
        batches, program = self._batches(table, size)
        if seed is None:
            seed = self._fits
            self._fits += 1
        elif seed < 0:
            expected(CaptureError, "seed", "an int >= 0", seed)
        with x64_scope(self.step.graph):
            key = jax.random.key_data(rng_key(seed))
            state: TrainState = copied(replaced(self._current(), rng=key))
            room = self._room(program, state, batches)
        history = History()
        params = {"epochs": epochs, "steps": len(batches), "verbose": verbose}
        loop = Epochs(
            program=program,
            room=room,
            zeros=self._zeros,
            objective=self.objective,
            batches=batches,
            weights=self,
            callbacks=CallbackList([*checked(callbacks), history], self.model, params),
            progress=progress_of(verbose),
            validate=None if held_out is None else self._validator(held_out, size),
            seed=seed if shuffle else None,
        )
        with x64_scope(self.step.graph):
            loop.run(state, initial_epoch, epochs)
        return history

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """See `Model.train_on_batch`."""
        table = self._table(x, y, sample_weight, class_weight)
        self._batch_size(table.rows, table.rows)
        # Nothing is given away here: the old values stay with whoever holds them.
        program = self._program("one step", lambda: jax.jit(self.step))
        with x64_scope(self.step.graph):
            state, sums = program(self._current(), Batch(*table))
            logs = self.objective.read(sums)
            self.commit(state, copy=False)
        return self._answer(logs, return_dict)

    # --- evaluating ---------------------------------------------------------------

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int | None = None,
        verbose: Any = 1,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """See `Model.evaluate`."""
        table = self._table(x, y, sample_weight)
        warn_not_finite(table, self.model.graph.inputs, self.objective.outputs)
        size = self._batch_size(batch_size, table.rows)
        logs = self._evaluated(table, size, progress_of(verbose))
        return self._answer(logs, return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """See `Model.test_on_batch`."""
        table = self._table(x, y, sample_weight)
        size = self._batch_size(table.rows, table.rows)
        logs = self._evaluated(table, size, Progress())
        return self._answer(logs, return_dict)

    def _validator(self, table: Table, size: int) -> Callable[[], dict[str, float]]:
        return lambda: self._evaluated(table, size, Progress())

    def _evaluated(
        self, table: Table, size: int, progress: Progress
    ) -> dict[str, float]:
        exe = self._executable()
        pads = self.objective.rowwise and exe.sizes is not None
        if pads and table.rows <= size:
            # Batches of every size need few programs here, too.
            size = min(bucket_of(table.rows), LARGEST_PIECE)
        batches = Batches(table, size, padded=pads and table.rows % size != 0)
        measure = self._program("score", lambda: jax.jit(self._score, donate_argnums=0))
        held = self.model.held_state(exe)
        count = len(self.objective.outputs)

        def score(total: Any, batch: Batch) -> Any:
            nonlocal held
            flat = exe.run(held, batch.inputs, self.model.next_key(exe))
            held = exe.state_after(flat.updates)
            outputs, masks = flat.outputs, flat.masks
            parts = (outputs[:count], masks[:count], batch, outputs[count:], added)
            return measure(total, *parts)

        with x64_scope(exe.graph):
            added = self._penalties()
            logs = score_batches(
                score, self._zeros(), batches, progress, self.objective
            )
        self.model.keep_state(exe, held)
        return logs

    def _score(
        self,
        total: Any,
        outputs: Any,
        masks: Any,
        batch: Batch,
        losses: Any,
        added: Any,
    ) -> Any:
        _, sums = self.objective.measure(
            outputs,
            masks,
            batch.targets,
            batch.weights,
            batch.row_mask,
            added + sum(losses),
        )
        return accumulate(total, sums)

    def _penalties(self) -> Any:
        """What regularizers add to the loss."""
        if all(param.regularizer is None for param in self.step.graph.params):
            return np.zeros((), self.objective.dtype)
        program = self._program("penalty", lambda: jax.jit(self._penalty))
        return program(self.model.arrays())

    def _penalty(self, arrays: Any) -> Any:
        return jnp.asarray(penalty_of(self.step.graph, arrays), self.objective.dtype)

    def _executable(self) -> Executable:
        """The inference executable; with the graph's losses as outputs, if any.

        Keras counts activity penalties in evaluate too, and the inference graph has
        none. They sum over the batch, so such a graph is never padded.
        """
        graph = self.model.inference_source()
        if not graph.losses:
            return self.model.executable()
        if self._scorer is None:
            extra = [Output(f"loss/{loss.name}", loss.value) for loss in graph.losses]
            with_losses = graph.replace(outputs=(*graph.outputs, *extra), losses=())
            self._scorer = compile_graph(with_losses)
        return self._scorer.rebind(self.model.variables)

    # --- the state ----------------------------------------------------------------

    @property
    def optimizer(self) -> Any:
        """The optimizer as it was given."""
        return self.arguments["optimizer"]

    @property
    def has_state(self) -> bool:
        """Whether the optimizer has done a step, here or elsewhere."""
        return self._state is not None or self._resumed is not None

    def commit(self, state: TrainState, copy: bool = True) -> None:
        """Keep the state and write its variables into the model: all or none.

        Args:
            state: The state; its buffers may be given away after, if it is copied.
            copy: Whether to copy it.
        """
        kept: TrainState = self._scoped(copied)(state) if copy else state
        arrays = kept.arrays()
        try:
            self.model.write(arrays)
        except BaseException:
            # An interrupt between two variables: write them all again.
            self.model.write(arrays)
            raise
        finally:
            self._state, self._version = kept, self._written()

    def refreshed(self, state: TrainState) -> TrainState:
        """The state, with the model's variables if they were written since `commit`."""
        if self._written() == self._version:
            return state
        return self._scoped(copied)(self.step.with_arrays(state, self.model.arrays()))

    def stopped(self) -> bool:
        """Whether a callback asked to stop."""
        return bool(self.model.stop_training)

    def _current(self) -> TrainState:
        """The state to go on from, with the model's variables as they are now."""
        if self._state is not None and self._written() == self._version:
            return self._state
        arrays = self.model.arrays()
        if self._state is not None:
            return self.step.with_arrays(self._state, arrays)
        state = self.step.state_of(arrays)
        if self._resumed is None:
            return state
        fill, steps = self._resumed
        done = jnp.asarray(steps, jnp.int32)
        return replaced(state, opt_state=fill(state.opt_state), step=done)

    def resume(self, fill: Callable[[Any], Any], steps: int) -> None:
        """Begin as somebody else's training ended.

        Args:
            fill: From a fresh state of the optimizer to the one to begin with.
            steps: How many steps were done.
        """
        self._resumed = (fill, steps)

    def _written(self) -> int:
        return sum(cell.version for cell in self.model.cells.values())

    # --- programs -----------------------------------------------------------------

    def _batches(self, table: Table, size: int) -> tuple[Batches, StepProgram]:
        """The batches, and the program that takes them.

        Where the rows do not divide into batches and every op can take a mask, one
        masked program serves all batches. Where some op cannot, the last batch keeps
        its own size, and costs a compilation of its own. Nothing is padded silently.
        """
        partial = table.rows > size and table.rows % size != 0
        graph = self.step.graph
        if partial and self.objective.rowwise and can_mask_rows(graph) is None:
            masked = self._program("masked", lambda: StepProgram(self.step.masked()))
            return Batches(table, size, padded=True), masked
        return Batches(table, size), self._program(
            "plain", lambda: StepProgram(self.step)
        )

    def _room(self, program: StepProgram, state: TrainState, batches: Batches) -> int:
        """How many steps a dispatch may hold."""
        if batches.equal < 2:
            return 1
        room = steps_per_dispatch(self.step.graph, batches.batch(0))
        if room == 1:
            return 1
        # Few batches need no long stack, all the lengths are few.
        room = min(room, 1 << (batches.equal - 1).bit_length())
        run = program.open(state, self._zeros())
        return room if program.can_loop(run, batches.stack(0, 1, room)) else 1

    def _program(self, name: str, make: Callable[[], Any]) -> Any:
        """A compiled program, made when first asked for."""
        if name not in self._programs:
            self._programs[name] = make()
        return self._programs[name]

    def _scoped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, run with 64-bit types where the graph has any."""
        graph = self.step.graph
        if not is_wide(graph):
            return function

        def scoped(*args: Any) -> Any:
            with x64_scope(graph):
                return function(*args)

        return scoped

    def _zeros(self) -> Any:
        with x64_scope(self.step.graph):
            return jnp.asarray(self.objective.zeros())

    # --- arguments ----------------------------------------------------------------

    def _table(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> Table:
        graph = self.model.graph
        with x64_scope(graph):
            return table_of(
                graph.inputs,
                self.objective,
                x,
                y,
                sample_weight,
                class_weight,
                self._ids,
            )

    def _batch_size(self, given: int | None, rows: int) -> int:
        return rows_per_call(self.step.graph.inputs, given, rows)

    def _answer(self, logs: dict[str, float], return_dict: bool) -> Any:
        if return_dict:
            return logs
        values = list(logs.values())
        return values[0] if len(values) == 1 else values


def _validation(given: Any) -> list[Any]:
    items = sequence_of(given)
    if items is None or len(items) not in (2, 3):
        wanted = "(x, y) or (x, y, sample_weight)"
        received = type(given).__name__ if items is None else f"{len(items)} items"
        expected(CaptureError, "validation_data", wanted, received)
    return items


def _split(table: Table, fraction: float) -> tuple[Table, Table]:
    """The first rows to train on, the last ones to validate with."""
    if not 0 < fraction < 1:
        expected(CaptureError, "validation_split", "a number from 0 to 1", fraction)
    at = int(table.rows * (1 - fraction))
    if at in (0, table.rows):
        raise DataError(
            f"validation_split: {fraction} of {table.rows} rows leaves no rows for "
            f"{'training' if at == 0 else 'validation'}"
        )
    return table.take(slice(None, at)), table.take(slice(at, None))
