"""EinsumDense: a kernel of any number of axes, by an equation."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from graphjit import activations
from graphjit.activations import Activation
from graphjit.capture.arguments import Unfit, arg, optional
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.errors import ShapeError
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.narrow import sequence_of
from graphjit.ops import weights
from graphjit.ops.einsum import EinsumOp, Terms, terms_of
from graphjit.regularizers import Regularizer
from graphjit.types import Dim, TensorType, unify_dim

__all__ = ["EinsumDense", "along_axes"]

_FORMS: Final = re.compile(
    r"(?P<left>\.\.\.)?(?P<x>[a-zA-Z]+)(?P<right>\.\.\.)?,(?P<kernel>[a-zA-Z]+)->"
    r"(?P<left_result>\.\.\.)?(?P<result>[a-zA-Z]+)(?P<right_result>\.\.\.)?"
)


@dataclass(frozen=True, slots=True)
class _Equation:
    """An equation as the user wrote it: terms, and where the dots stand."""

    terms: Terms
    dots: str = ""

    @property
    def batch_is_named(self) -> bool:
        """Whether axis 0 has a letter; else it is one of the dots."""
        return self.dots != "left"


def _parsed(text: str) -> _Equation:
    found = _FORMS.fullmatch(re.sub(r"\s", "", text))
    wanted = "an equation like 'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...'"
    if found is None:
        raise Unfit(wanted)
    left, right = found["left"], found["right"]
    same = (left, right) == (found["left_result"], found["right_result"])
    if not same or (left and right):
        raise Unfit(wanted)
    terms = Terms(found["x"], found["kernel"], found["result"])
    equation = _Equation(terms, "left" if left else "right" if right else "")
    problem = _problem(equation)
    if problem is not None:
        raise Unfit(f"{wanted} ({problem})")
    return equation


def _problem(equation: _Equation) -> str | None:
    """What is wrong with an equation of the right form."""
    terms = equation.terms
    try:
        terms_of(f"{terms.x},{terms.kernel}->{terms.result}")
    except ShapeError as error:
        return error.message
    for letter in terms.kernel:
        if letter not in terms.x + terms.result:
            return f"{letter!r} stands in the kernel alone, so its size is not known"
    if equation.batch_is_named and (
        terms.result[0] != terms.x[0] or terms.x[0] in terms.kernel
    ):
        return f"{terms.x[0]!r} is the batch: the result begins with it too"
    return None


def _equation(value: str) -> str:
    """Reader of the `equation` argument."""
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Unfit("an equation like 'ab,bc->ac'")
    _parsed(value)
    return value


def _result_sizes(value: Any) -> tuple[int | None, ...]:
    """Reader of the `output_shape` argument: ints, or None where x's size counts."""
    items = sequence_of(value)
    sizes: list[Any] = [value] if items is None else items
    fits = all(
        dim is None or (isinstance(dim, int) and dim > 0 and not isinstance(dim, bool))
        for dim in sizes
    )
    if not sizes or not fits:
        raise Unfit("an int >= 1, or a tuple of ints >= 1 and None")
    return tuple(sizes)


def _letters(value: str) -> str:
    if not isinstance(value, str) or not value.isalpha():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Unfit("letters of the equation's result")
    return value


def along_axes(
    initializer: Initializer, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> Initializer:
    """An initializer that counts fans, told which axes of the kernel are which."""
    settings: Any = initializer
    if getattr(settings, "input_axes", 0) is None and settings.output_axes is None:
        return replace(settings, input_axes=inputs, output_axes=outputs)
    return initializer


@dataclass(frozen=True, slots=True)
class _Plan:
    """What an equation means for one input: every axis named, every size known."""

    terms: Terms
    sizes: dict[str, Dim]

    def kernel_axes(self, of_result: bool) -> tuple[int, ...]:
        letters = enumerate(self.terms.kernel)
        return tuple(at for at, a in letters if (a in self.terms.result) == of_result)


@LAYERS.register("EinsumDense")
class EinsumDense(Layer):
    """activation(einsum(equation, x, kernel) + bias).

    Dots stand for any number of axes: ``"...b,bc->...c"`` is Dense.

    Shapes:
        x, kernel: an axis for each letter of their term  ->  one for each behind "->"
        bias: the result's axes from the first of `bias_axes` on, the others 1
        "abc,cde->abde": (n, t, c), (c, d, e)  ->  (n, t, d, e)

    Args:
        equation: ``x,kernel->result``. Axis 0 of x and of the result is the batch.
        output_shape: Of the result, without the batch and the axes of dots; None for
            an axis that x has too.
        activation: Name or function; None for none.
        bias_axes: The letters of the result that the bias has; None for no bias.
        kernel_initializer: Of the kernel.
        bias_initializer: Of the bias.
        kernel_regularizer: Penalty on the kernel.
        bias_regularizer: Penalty on the bias.
        activity_regularizer: Penalty on the output.
        kernel_constraint: Projection of the kernel after each update.
        bias_constraint: Projection of the bias after each update.

    >>> import graphjit as gj
    >>> layer = EinsumDense("abc,cd->abd", (None, 64), bias_axes="d")
    >>> layer(gj.Input((32, 128))).shape
    (None, 32, 64)
    """

    casts_integers = True

    equation: str = arg(converter=_equation)
    output_shape: tuple[int | None, ...] = arg(converter=_result_sizes)
    activation: Activation = arg(default=None, converter=activations.get)
    bias_axes: str | None = arg(default=None, converter=optional(_letters))
    kernel_initializer: Initializer = arg(
        default="glorot_uniform", converter=weights.initializer
    )
    bias_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
    kernel_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    bias_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    activity_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    kernel_constraint: Constraint | None = arg(
        default=None, converter=weights.constraint
    )
    bias_constraint: Constraint | None = arg(default=None, converter=weights.constraint)

    def check(self) -> None:
        equation = _parsed(self.equation)
        result = equation.terms.result
        for letter in self.bias_axes or "":
            if letter not in result:
                self.refuse("bias_axes", f"letters of {result!r}", self.bias_axes)
        count = len(result) - equation.batch_is_named
        if len(self.argument("output_shape")) != count:
            wanted = f"{count} sizes for {self.equation!r}, without the batch"
            self.refuse("output_shape", wanted, self.argument("output_shape"))

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        plan = self._plan(emitter, emitter.type_of(x))
        terms = plan.terms
        kernel = emitter.param(
            "kernel",
            self._known(plan, terms.kernel, "kernel"),
            along_axes(
                self.kernel_initializer,
                plan.kernel_axes(of_result=False),
                plan.kernel_axes(of_result=True),
            ),
            self.kernel_regularizer,
            self.kernel_constraint,
        )
        bias = None
        if self.bias_axes is not None:
            bias = emitter.param(
                "bias",
                self._bias_shape(plan, self.bias_axes),
                self.bias_initializer,
                self.bias_regularizer,
                self.bias_constraint,
            )
        op = EinsumOp(f"{terms.x},{terms.kernel}->{terms.result}")
        return self.activation.emit(emitter, emitter(op, x, kernel, bias))

    def _plan(self, emitter: Emitter, x: TensorType) -> _Plan:
        """Letters in the dots' place, and the size of every letter."""
        equation = _parsed(self.equation)
        terms = equation.terms
        elided = x.rank - len(terms.x)
        least = 1 if equation.dots == "left" else 0
        if elided < least or (elided and not equation.dots):
            more = " or more" if equation.dots else ""
            raise ShapeError(
                f"{emitter.title}: {self.equation!r} wants an input of rank "
                f"{len(terms.x) + least}{more}, received {x}"
            )
        used = terms.x + terms.kernel + terms.result
        free = [a for a in string.ascii_letters if a not in used]
        dots = "".join(free[:elided])
        before, behind = (dots, "") if equation.dots == "left" else ("", dots)
        whole = Terms(
            before + terms.x + behind, terms.kernel, before + terms.result + behind
        )
        sizes: dict[str, Dim] = dict(zip(whole.x, x.shape, strict=True))
        named = terms.result[1:] if equation.batch_is_named else terms.result
        for letter, dim in zip(named, self.argument("output_shape"), strict=True):
            try:
                sizes[letter] = unify_dim(sizes.get(letter), dim)
            except ShapeError:
                raise ShapeError(
                    f"{emitter.title}: axis {letter!r} of {self.equation!r}: "
                    f"output_shape has {dim}, the input {sizes[letter]}: {x}"
                ) from None
        return _Plan(whole, sizes)

    def _known(self, plan: _Plan, letters: Sequence[str], slot: str) -> tuple[int, ...]:
        """The sizes of letters that a weight has, which must be numbers."""
        found: list[int] = []
        for letter in letters:
            dim = plan.sizes[letter]
            if not isinstance(dim, int):
                axis = f"the size of axis {letter!r} of the {slot}"
                self.refuse("output_shape", axis, self.argument("output_shape"))
            found.append(dim)
        return tuple(found)

    def _bias_shape(self, plan: _Plan, axes: str) -> tuple[int, ...]:
        result = plan.terms.result
        first = min(result.index(letter) for letter in axes)
        return tuple(
            self._known(plan, letter, "bias")[0] if letter in axes else 1
            for letter in result[first:]
        )
