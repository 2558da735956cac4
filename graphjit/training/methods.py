"""The methods of `Model` that train and evaluate; the work is done in `trainer`.

They stand apart from `Model` so that what needs optax, flax and rich is imported only
when a model is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from graphjit.errors import CaptureError
from graphjit.narrow import sequence_of

if TYPE_CHECKING:
    from graphjit.callbacks import History
    from graphjit.model import Model
    from graphjit.training.trainer import Trainer

__all__ = ["Trained"]


class Trained:
    """What makes a model one that can be trained: a base of `Model` alone."""

    #: Set to True by a callback to end `fit` after the epoch.
    stop_training = False
    _trainer: Trainer | None = None
    _written: Mapping[str, Any] | None = None

    @property
    def _model(self) -> Model:
        return cast("Model", self)

    @property
    def trainer(self) -> Trainer | None:
        """What `compile` made; None before.

        A model from a file that says how it was compiled is compiled so now.

        Raises:
            CaptureError: What the file names is not known here.
        """
        if self._trainer is None and self._written is not None:
            from graphjit.training.compiled import arguments_of

            try:
                self.compile(**arguments_of(self._written))
            except CaptureError as error:
                raise CaptureError(
                    f"the model's file says how it is compiled, but {error.message}",
                    details=error.details,
                    hint=error.hint or "call model.compile(optimizer, loss)",
                ) from error
        return self._trainer

    def compile_when_asked(self, written: Mapping[str, Any]) -> None:
        """Be compiled as data of `training.compiled` says, once it matters."""
        self._written = written

    @property
    def has_optimizer_state(self) -> bool:
        """Whether training would go on with what an optimizer has gathered."""
        return self._trainer is not None and self._trainer.has_state

    def compiled_as(self) -> Mapping[str, Any] | None:
        """How the model is compiled, as plain data; None where it is not.

        Raises:
            CaptureError: It is compiled with code that no file can name.
        """
        if self._trainer is None:
            return self._written
        from graphjit.training.compiled import written_arguments

        names = [output.name for output in self._model.graph.outputs]
        return written_arguments(self._trainer.arguments, names)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Say how to train. Which layers are frozen (`trainable`) is read here.

        Args:
            optimizer: A name, an object of `gj.optimizers`, or any
                `optax.GradientTransformation`.
            loss: A name, an object or function of `gj.losses`, or a function of
                (y_true, y_pred). For several outputs one for all, a list, or a dict by
                output name; None trains an output on nothing.
            metrics: A list of names, objects or functions of `gj.metrics` or
                `gj.losses`, for every output; a list of lists, or a dict by output
                name. "accuracy" is the one that fits the loss and the output.
            loss_weights: Factors of the outputs' losses: a list or a dict.
            weighted_metrics: Like `metrics`, counted with the sample weights.

        Raises:
            CaptureError: A name is unknown (the message has the nearest one), or
                there is one too few or too many.
        """
        from graphjit.training.trainer import Trainer

        self._trainer = Trainer(
            self._model,
            optimizer,
            loss,
            metrics,
            loss_weights,
            weighted_metrics,
        )

    def _compiled(self, method: str) -> Trainer:
        trainer = self.trainer
        if trainer is None:
            raise CaptureError(
                f"{method}: the model is not compiled",
                hint="call model.compile(optimizer, loss) first",
            )
        return trainer

    def fit(
        self,
        x: Any,
        y: Any = None,
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
        """Train on all the data, `epochs` times.

        The last batch of an epoch has the rows that are left; its loss, gradient and
        batch statistics are exactly theirs. If training is interrupted, the model has
        the values of the last epoch that ended.

        Args:
            x: An array; a list, tuple or dict by input name for several.
            y: The targets: the same for the outputs.
            batch_size: Rows per step; None for 32, or the model's fixed batch.
            epochs: The number of the last epoch.
            verbose: 0 for silence, 1 for a bar, 2 for a line per epoch.
            callbacks: Objects of `gj.callbacks`.
            validation_split: This fraction of the rows, the last ones, is held out.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, to evaluate after
                every epoch.
            shuffle: Whether rows go in another order in every epoch.
            class_weight: The weight of every class, for one output.
            sample_weight: (n,), or (n, t) for one per time step; as `y` for several
                outputs.
            initial_epoch: The number of the first epoch.
            seed: Of shuffling and dropout. None: 0 at the first call, then 1, 2, …;
                the same calls give the same numbers.

        Returns:
            A `History`: ``history.history["loss"]`` has a float per epoch.

        Raises:
            CaptureError: The model is not compiled.
            DataError: The data does not fit; says what, expected and received.
        """
        self._model.build_on(x)
        return self._compiled("fit").fit(
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            seed=seed,
        )

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = 1,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss (penalties included) and metrics on data, nothing trained.

        Returns:
            The loss, or ``[loss, *metrics]`` if there are any; a dict by name with
            `return_dict`.
        """
        self._model.build_on(x)
        return self._compiled("evaluate").evaluate(
            x,
            y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            return_dict=return_dict,
        )

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on exactly these rows; what it returns is like `evaluate`'s."""
        self._model.build_on(x)
        trainer = self._compiled("train_on_batch")
        return trainer.train_on_batch(x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and metrics of these rows in one batch, nothing trained."""
        self._model.build_on(x)
        trainer = self._compiled("test_on_batch")
        return trainer.test_on_batch(x, y, sample_weight, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for `x` in one batch, as NumPy arrays."""
        outputs = self._model(x)
        items = sequence_of(outputs)
        if items is None:
            return np.asarray(outputs)
        return [np.asarray(item) for item in items]
