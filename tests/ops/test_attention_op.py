"""What the ops of attention and einsum refuse, and what they count."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from graphjit.errors import ShapeError
from graphjit.layout import Layout
from graphjit.ops.attention.attention_op import AttentionDropoutOp, AttentionOp
from graphjit.ops.base import Refusal
from graphjit.ops.einsum import EinsumOp
from graphjit.types import TensorType


def type_(*shape: Any, dtype: str = "float32") -> TensorType:
    return TensorType(shape, dtype)


Q, K, V = type_("batch", 4, 2, 3), type_("batch", 5, 2, 3), type_("batch", 5, 2, 6)
BOOL = {"dtype": "bool"}


@pytest.mark.parametrize(
    ("op", "operands", "text"),
    [
        (AttentionOp((0,)), (Q, K, V), r"^axes \(0,\) do not fit rank 4$"),
        (AttentionOp((3,)), (Q, K, V), r"^axes \(3,\) do not fit rank 4$"),
        (AttentionOp((2, 1)), (Q, K, V), r"^axes \(2, 1\) do not fit rank 4$"),
        (AttentionOp(()), (Q, K, V), r"^axes \(\) do not fit rank 4$"),
        (
            AttentionOp((1, 2), causal=True),
            (Q, Q, Q),
            r"^one axis has an order, several have not$",
        ),
        (AttentionOp((1,)), (Q, type_(5, 2, 3), V), r"^key is float32\[5, 2, 3\], "),
        (
            AttentionOp((1,)),
            (Q, K, type_("batch", 4, 2, 3)),
            r"^value: expected 5 at axis 1, received 4$",
        ),
        (
            AttentionOp((1,)),
            (Q, K, type_("batch", 5, 2, 3, dtype="float64")),
            r"^value is float64\[batch, 5, 2, 3\], query is float32",
        ),
        (
            AttentionOp((1,)),
            (Q, K, V, type_(3)),
            r"^weight: only additive scores take one$",
        ),
        (
            AttentionOp((1,), additive=True),
            (Q, K, V, type_(4)),
            r"^weight: expected float32\[\] or float32\[3\], received float32\[4\]$",
        ),
        (
            AttentionOp((1,)),
            (Q, K, V, None, type_("batch", 4, 5)),
            r"^mask: expected a bool that broadcasts to \('batch', 2, 4, 5\), received "
            r"float32\[batch, 4, 5\]$",
        ),
        (
            AttentionOp((1,)),
            (Q, K, V, None, type_(5, **BOOL)),
            r"^mask: expected a bool that broadcasts to .*, received bool\[5\]$",
        ),
        (
            AttentionOp((1,)),
            (Q, K, V, None, None, type_("batch", 5, **BOOL)),
            r"^query_mask: expected bool\[batch, 4\], received bool\[batch, 5\]$",
        ),
        (
            AttentionOp((1,)),
            (Q, K, V, None, None, None, type_("batch", 5)),
            r"^value_mask: expected bool\[batch, 5\], received float32\[batch, 5\]$",
        ),
        (
            EinsumOp("ab,bc->ac"),
            (type_(2, 3), type_(4, 5)),
            r"^axis 'b' of 'ab,bc->ac': dims 3 and 4 differ$",
        ),
        (
            EinsumOp("ab,bc->ac"),
            (type_(2, 3, 4), type_(3, 5)),
            r"^x: expected rank 2 for 'ab', received rank 3$",
        ),
        (
            EinsumOp("ab,bc->ac"),
            (type_(2, 3), type_(3)),
            r"^kernel: expected rank 2 for 'bc', received rank 1$",
        ),
        (
            EinsumOp("ab,bc->ac"),
            (type_(2, 3), type_(3, 4, dtype="float64")),
            r"^x is float32, kernel is float64$",
        ),
        (
            EinsumOp("ab,bc->ac"),
            (type_(2, 3), type_(3, 4), type_(3)),
            r"^bias: expected a shape that broadcasts to float32\[2, 4\], received "
            r"\(3,\)$",
        ),
        (
            EinsumOp("ab,bc->ac"),
            (type_(2, 3), type_(3, 1), type_(4)),
            r"^bias: expected a shape that broadcasts to float32\[2, 1\], received ",
        ),
        (
            EinsumOp("ab,bc->ac"),
            (type_(2, 3), type_(3, 4), type_(4, dtype="float64")),
            r"^x is float32, bias is float64$",
        ),
        (
            EinsumOp("ab,bc->ad"),
            (type_(2, 3), type_(3, 4)),
            r"^equation 'ab,bc->ad': 'd' of the result stands in neither operand$",
        ),
        (
            EinsumOp("ab,bc->aa"),
            (type_(2, 3), type_(3, 4)),
            r"^equation 'ab,bc->aa': 'a' stands twice behind ->$",
        ),
        (
            EinsumOp("ab->a"),
            (type_(2, 3), type_(3, 4)),
            r"^expected an equation like 'ab,bc->ac', received 'ab->a'$",
        ),
    ],
    ids=range(24),
)
def test_refusals(op: Any, operands: Any, text: str) -> None:
    with pytest.raises(ShapeError, match=text):
        op.infer(*operands)


def test_lengths_may_be_unknown() -> None:
    q, k = type_("batch", None, 2, 3), type_("batch", "s", 2, 3)
    output, scores = AttentionOp((1,), scores=True).infer(q, k, k)
    assert output == q
    assert scores == type_("batch", 2, None, "s")


def test_flops() -> None:
    """Two products: (t, d)·(s, d) and (t, s)·(s, v), for each head."""
    op = AttentionOp((1,))
    assert op.flops([Q, K, V], op.infer(Q, K, V)) == 2 * 2 * 4 * 5 * (3 + 6)
    x, kernel = type_("batch", 4, 3), type_(3, 5)
    einsum = EinsumOp("abc,cd->abd")
    assert einsum.flops([x, kernel], [einsum.infer(x, kernel)]) == 2 * 4 * 3 * 5


def test_an_einsum_takes_any_order_of_its_input() -> None:
    types = [type_("batch", 3, 6), type_(6, 2, 4), type_(2, 4)]
    rule = EinsumOp("abc,cde->abde").permuted(Layout((0, 2, 1)), types)
    assert rule is not None
    assert rule.op == EinsumOp("acb,cde->abde")
    assert rule.results[0].is_plain


def test_a_kernel_without_the_channels_cannot_be_scaled() -> None:
    class Never:
        def type_of(self, value: Any) -> TensorType:
            return type_(6)

    found = EinsumOp("abc,bd->adc").scale_output(Never(), [1, 2], 3, 4)  # type: ignore[arg-type]
    assert found == Refusal("the kernel has no axis for the channels of the result")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_jax_and_the_formula_agree(dtype: str) -> None:
    """With scores wanted the plain formula runs, without them JAX's attention."""
    rng = np.random.default_rng(4)
    arrays = [
        jax.numpy.asarray(rng.normal(size=(2, n, 2, 3)), dtype) for n in (4, 5, 5)
    ]
    mask = jax.numpy.asarray(rng.random((2, 4, 5)) < 0.5)
    settings: dict[str, Any] = {"scale": 0.6, "causal": True, "window": 3}
    (fused,) = AttentionOp((1,), **settings).lower(*arrays, None, mask)
    plain, _ = AttentionOp((1,), **settings, scores=True).lower(*arrays, None, mask)
    assert fused.dtype == plain.dtype == dtype
    tolerance = 1e-6 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(
        fused.astype("float32"),
        plain.astype("float32"),
        rtol=tolerance,
        atol=tolerance,
    )


def test_dropout_keeps_the_mean() -> None:
    op = AttentionDropoutOp((1,), 0.4, seed=1)
    q = jax.numpy.zeros((50, 40, 1))
    (found,) = op.lower(q, q, jax.numpy.ones((50, 40, 1)), key=jax.random.key(0))
    # 80,000 draws in all: the standard error of the mean is 0.003.
    assert abs(float(found.mean()) - 1) < 0.02
    assert float(found.std()) > 0.05
