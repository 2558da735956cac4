"""The gradient of a dense 2-D convolution to its kernel, in forms XLA:CPU runs fast.

What autodiff asks for is a convolution with the images as channels: transposes that
XLA:CPU inserts only outside of loops, and windows as large as the image. Here every
form is canonical as it stands, so it is as fast inside a scan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array
from graphjit.ops.conv.sliding import NHWC, Pads, Sliding, fitted, with_pads

__all__ = ["as_convolution", "kernel_gradient"]

#: From this many windows an image on, products of shifted copies beat one convolution.
_MANY_WINDOWS = 256

#: With fewer channels on either side the products are too thin to pay.
_FEW_CHANNELS = 16

#: The copies of one step of the scan should stay in the cache of a core.
_CACHE_BYTES = 1_700_000


def kernel_gradient(
    sliding: Sliding, x: Array, slope: Array, taps: Sequence[int]
) -> Array:
    """Sums over all windows of what each tap read, times the slope.

    Shapes:
        x: (n, h, w, c)   slope: (n, h', w', k)  ->  (kh, kw, c, k)

    Args:
        sliding: Where the windows lie.
        x: What was convolved, in the dtype to sum in.
        slope: The gradient to the convolution's result.
        taps: (kh, kw).
    """
    _, rows, columns, filters = slope.shape
    channels = x.shape[-1]
    if rows * columns < _MANY_WINDOWS or min(channels, filters) < _FEW_CHANNELS:
        return as_convolution(sliding, x, slope, taps)
    if sliding.strides == (1, 1):
        return _by_shifts(sliding, x, slope, taps)
    return _by_windows(sliding, x, slope, taps)


def as_convolution(
    sliding: Sliding, x: Array, slope: Array, taps: Sequence[int]
) -> Array:
    """One convolution: the images are its channels, the slope is its kernel."""
    rows, columns = _pads(sliding, x, slope.shape[1:3], taps)
    x, pads = with_pads(x, rows, columns)
    image = jnp.transpose(x, (3, 1, 2, 0))
    window = jnp.transpose(slope, (1, 2, 0, 3))
    y = jax.lax.conv_general_dilated(
        image,
        window,
        sliding.rates,
        pads,
        rhs_dilation=sliding.strides,
        dimension_numbers=NHWC,
    )
    return jnp.transpose(y, (1, 2, 0, 3))


def _by_shifts(sliding: Sliding, x: Array, slope: Array, taps: Sequence[int]) -> Array:
    """Stride 1: one product of row shifts of x and column shifts of the slope.

    With ``X[r, q, i] = x[r + i * rate, q]`` and ``G[r, q, j] = g[r, q - j * rate]`` the
    sum over r and q of X times G is the gradient to tap (i, j): kh + kw copies in place
    of kh * kw, and one large product in place of as many small ones.
    """
    (high, wide), (down, right) = taps, sliding.rates
    rows, columns = slope.shape[1:3]
    width = columns + (wide - 1) * right
    channels, filters = x.shape[-1], slope.shape[-1]

    def body(x: Array, slope: Array) -> Array:
        # Left to itself, XLA would pad anew, element by element, for every shift.
        image, wider = jax.lax.optimization_barrier(
            (
                _padded(sliding, x, (rows, columns), taps),
                fitted(slope, (0, 0), (width - columns, width - columns)),
            )
        )
        shifts = [image[:, i * down : i * down + rows] for i in range(high)]
        starts = [width - columns - j * right for j in range(wide)]
        slopes = [wider[:, :, start : start + width] for start in starts]
        return _product(jnp.concatenate(shifts, -1), jnp.concatenate(slopes, -1))

    each = rows * width * (high * channels + wide * filters)
    product = _summed(body, x, slope, each)
    split = product.reshape(high, channels, wide, filters)
    return jnp.transpose(split, (0, 2, 1, 3))


def _by_windows(sliding: Sliding, x: Array, slope: Array, taps: Sequence[int]) -> Array:
    """Any stride: the windows side by side, (n h' w', kh kw c), times the slope."""
    high, wide = taps
    rows, columns = slope.shape[1:3]
    channels, filters = x.shape[-1], slope.shape[-1]

    def body(x: Array, slope: Array) -> Array:
        padded = _padded(sliding, x, (rows, columns), taps)
        windows = [
            _every(padded, i * sliding.rates[0], j * sliding.rates[1], slope, sliding)
            for i in range(high)
            for j in range(wide)
        ]
        return _product(jnp.concatenate(windows, -1), slope)

    product = _summed(body, x, slope, rows * columns * high * wide * channels)
    return product.reshape(high, wide, channels, filters)


def _pads(
    sliding: Sliding, x: Array, outputs: Sequence[int], taps: Sequence[int]
) -> Pads:
    """Zeros around x up to the last element that a window reads; negative: crop."""
    return tuple(
        (before, end - before - length)
        for before, end, length in zip(
            sliding.before, sliding.reach(outputs, taps), x.shape[1:3], strict=True
        )
    )


def _padded(
    sliding: Sliding, x: Array, outputs: Sequence[int], taps: Sequence[int]
) -> Array:
    """x with its pads."""
    rows, columns = _pads(sliding, x, outputs, taps)
    return fitted(x, rows, columns)


def _every(
    padded: Array, row: int, column: int, slope: Array, sliding: Sliding
) -> Array:
    """What one tap reads, window by window: (n, h', w', c)."""
    rows, columns = slope.shape[1:3]
    down, right = sliding.strides
    stop = (
        padded.shape[0],
        row + (rows - 1) * down + 1,
        column + (columns - 1) * right + 1,
        padded.shape[3],
    )
    return jax.lax.slice(padded, (0, row, column, 0), stop, (1, down, right, 1))


def _product(left: Array, right: Array) -> Array:
    """(…, a) and (…, b), the same elsewhere, as ``left.T @ right``: (a, b)."""
    a, b = left.shape[-1], right.shape[-1]
    return jax.lax.dot_general(
        left.reshape(-1, a), right.reshape(-1, b), (((0,), (0,)), ((), ()))
    )


def _summed(
    body: Callable[[Array, Array], Array], x: Array, slope: Array, each: int
) -> Array:
    """The sum of `body` over groups of images whose copies fit into the cache.

    Args:
        body: (images, slopes) to their share.
        x: (n, h, w, c).
        slope: (n, h', w', k).
        each: How many elements `body` copies for one image.
    """
    batch = x.shape[0]
    most = min(_CACHE_BYTES // (each * x.dtype.itemsize), batch)
    group = next((m for m in range(most, 1, -1) if batch % m == 0), 1)
    if group >= batch:
        return body(x, slope)

    def step(total: Array, given: tuple[Array, ...]) -> tuple[Array, None]:
        return total + body(*given), None

    groups = tuple(a.reshape(batch // group, group, *a.shape[1:]) for a in (x, slope))
    result = jax.eval_shape(body, *(g[0] for g in groups))
    total, _ = jax.lax.scan(step, jnp.zeros(result.shape, result.dtype), groups)
    return total
