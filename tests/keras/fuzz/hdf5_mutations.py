"""HDF5 files changed at random, by what they are made of: groups, links, datasets."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import h5py
import numpy as np

__all__ = ["mutate"]

#: Where links to elsewhere lead: the fuzzer watches that nobody goes there.
ELSEWHERE: Final = "/etc/passwd"


def mutate(file: Any, rng: random.Random) -> str:
    """Change an open file, and say how."""
    done: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(_CHANGES)
        try:
            done.append(f"{change.__name__.strip('_')} {change(file, rng)}")
        except Exception as error:
            # What one change has left another cannot always use.
            done.append(f"{change.__name__.strip('_')} not done: {error}"[:80])
    return "; ".join(done)


def _paths(file: Any, kind: type | None = None) -> list[str]:
    found: list[str] = []
    file.visititems(
        lambda name, item: (
            found.append(name) if kind is None or isinstance(item, kind) else None
        )
    )
    return found


def _some(file: Any, rng: random.Random, kind: type | None = None) -> str:
    found = _paths(file, kind)
    if not found:
        raise KeyError("nothing of that kind")
    return rng.choice(found)


def _attribute(file: Any, rng: random.Random) -> tuple[Any, str]:
    holders = [file, *(file[path] for path in _paths(file))]
    found = [(holder, name) for holder in holders for name in holder.attrs]
    if not found:
        raise KeyError("no attribute")
    return rng.choice(found)


# --- objects --------------------------------------------------------------------


def _delete(file: Any, rng: random.Random) -> str:
    path = _some(file, rng)
    del file[path]
    return path


def _move(file: Any, rng: random.Random) -> str:
    path = _some(file, rng)
    new = rng.choice(
        (f"{path}_", f"{path}/x", path.rpartition("/")[2], path.upper(), "layers/x")
    )
    file.move(path, new)
    return f"{path} to {new}"


def _swap(file: Any, rng: random.Random) -> str:
    one, other = _some(file, rng), _some(file, rng)
    if one.startswith(other) or other.startswith(one):
        return "nothing"
    file.move(one, "swapped")
    file.move(other, one)
    file.move("swapped", other)
    return f"{one} and {other}"


def _link(file: Any, rng: random.Random) -> str:
    path, other = _some(file, rng), _some(file, rng)
    kind = rng.choice(("soft", "external", "hard", "cycle", "parent", "dangling"))
    made: Any = {
        "soft": lambda: h5py.SoftLink(f"/{other}"),
        "external": lambda: h5py.ExternalLink(ELSEWHERE, "/"),
        "hard": lambda: file[other],
        "cycle": lambda: file["/"],
        "parent": lambda: file[path].parent,
        "dangling": lambda: h5py.SoftLink("/nowhere"),
    }[kind]()
    place = rng.choice((path, f"{path}x"))
    if place in file:
        del file[place]
    file[place] = made
    return f"{place}: {kind}"


def _kind(file: Any, rng: random.Random) -> str:
    """A group where an array was, an array or a type where a group was."""
    path = _some(file, rng)
    was_group = isinstance(file[path], h5py.Group)
    del file[path]
    if not was_group and rng.random() < 0.5:
        file.create_group(path)
    elif rng.random() < 0.3:
        file[path] = np.dtype("f4")
    else:
        file[path] = np.zeros(3, np.float32)
    return path


# --- arrays ---------------------------------------------------------------------


def _replace(
    file: Any, rng: random.Random, made: Callable[[Any], dict[str, Any]]
) -> str:
    path = _some(file, rng, h5py.Dataset)
    old = file[path][()]
    del file[path]
    file.create_dataset(path, **made(old))
    return path


def _reshape(file: Any, rng: random.Random) -> str:
    def made(old: Any) -> dict[str, Any]:
        old = np.asarray(old)
        return {
            "data": rng.choice(
                (
                    old.ravel(),
                    old.T,
                    old[None],
                    old.reshape(-1, 1),
                    old.reshape(*old.shape, 1),
                    old[:0],
                    old[1:] if old.ndim else old,
                    np.repeat(old[None], 2, 0),
                    np.float32(1),
                )
            )
        }

    return _replace(file, rng, made)


def _retype(file: Any, rng: random.Random) -> str:
    dtype: Any = rng.choice(
        (
            *("f2", "f4", ">f4", "f8", "i1", "u8", "bool", "c8", "S4", "V8"),
            *(h5py.string_dtype(), h5py.ref_dtype, h5py.vlen_dtype("f4")),
            *(np.dtype([("a", "f4")]), h5py.enum_dtype({"a": 1}), "longdouble"),
        )
    )

    def made(old: Any) -> dict[str, Any]:
        shape = np.shape(old)
        try:
            return {"data": np.asarray(old).astype(dtype)}
        except (TypeError, ValueError):
            return {"shape": shape, "dtype": dtype}

    return f"{_replace(file, rng, made)} as {dtype}"


def _declare(file: Any, rng: random.Random) -> str:
    """An array that declares what it does not hold, or holds it elsewhere."""
    options: Any = rng.choice(
        (
            {"shape": (2**20, 2**20)},
            {"shape": (2**62,), "chunks": (1,)},
            {"shape": (10, 10), "chunks": (2, 2)},
            {"shape": (10, 10), "chunks": (2, 2), "fillvalue": 7.0},
            {"shape": (2**40,), "chunks": (2**10,), "fillvalue": 7.0},
            {"shape": (0, 2**40)},
            {"shape": (4,), "external": [(ELSEWHERE, 0, 16)]},
            {"shape": (4,), "maxshape": (None,), "chunks": (2**20,)},
            {"shape": (2**26,), "chunks": (2**20,), "compression": "gzip"},
            {"data": h5py.Empty("f4")},
            {"shape": (1,) * 32},
        )
    )

    def made(_: Any) -> dict[str, Any]:
        return {"dtype": "f4", **options} if "shape" in options else options

    return f"{_replace(file, rng, made)} {options}"


def _store(file: Any, rng: random.Random) -> str:
    """The same numbers, stored otherwise."""
    options: dict[str, Any] = rng.choice(
        (
            {"compression": "gzip"},
            {"compression": "lzf", "shuffle": True},
            {"fletcher32": True, "chunks": True},
            {"scaleoffset": 2},
            {"chunks": True, "maxshape": None},
        )
    )

    def made(old: Any) -> dict[str, Any]:
        return {"data": old, **options}

    return f"{_replace(file, rng, made)} {options}"


def _numbers(file: Any, rng: random.Random) -> str:
    def made(old: Any) -> dict[str, Any]:
        array = np.array(old, ndmin=1)
        if array.dtype.kind == "f" and array.size:
            array.flat[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, 1e38))
        return {"data": array}

    return _replace(file, rng, made)


# --- attributes -----------------------------------------------------------------


def _drop_attribute(file: Any, rng: random.Random) -> str:
    holder, name = _attribute(file, rng)
    del holder.attrs[name]
    return f"{holder.name}@{name}"


def _set_attribute(file: Any, rng: random.Random) -> str:
    holder, name = _attribute(file, rng)
    value: Any = rng.choice(
        (
            *("", "x", b"\xff\xfe", "2.2.4", "3.0.0", "1.0.0", "theano", "9" * 30),
            *(0, 1.5, np.zeros(3), np.zeros((2, 2), "S3"), h5py.Empty("f4")),
            *(file.ref, np.array([], "S1"), np.array([b""]), ["a"] * 1000),
            *("x" * 60000, np.array([b"x" * 100] * 500), [b"a\x00b"]),
        )
    )
    holder.attrs[name] = value
    return f"{holder.name}@{name}"


def _names(file: Any, rng: random.Random) -> str:
    """A list of names in another order, or with other names in it."""
    holders = [file, *(file[path] for path in _paths(file, h5py.Group))]
    found = [
        (holder, name)
        for holder in holders
        for name in ("layer_names", "weight_names")
        if name in holder.attrs and len(holder.attrs[name])
    ]
    if not found:
        raise KeyError("no names")
    holder, name = rng.choice(found)
    names = list(holder.attrs[name])
    change = rng.randrange(5)
    if change == 0:
        rng.shuffle(names)
    elif change == 1:
        names.append(rng.choice(names))
    elif change == 2:
        del names[rng.randrange(len(names))]
    elif change == 3:
        names[rng.randrange(len(names))] = rng.choice(
            (b"/", b".", b"..", b"../x", b"/model_weights", b"a//b", b"\xff", b"")
        )
    else:
        names *= 2
    holder.attrs[name] = np.asarray(names, "S")
    return f"{holder.name}@{name} {change}"


def _many(file: Any, rng: random.Random) -> str:
    """A great many attributes or groups."""
    group = file[rng.choice(_paths(file, h5py.Group) or ["/"])]
    if rng.random() < 0.5:
        for at in range(300):
            group.attrs[f"many{at}"] = at
    else:
        for at in range(300):
            group.create_group(f"many{at}")
    return str(group.name)


_CHANGES: Final[tuple[Callable[[Any, random.Random], str], ...]] = (
    *(_delete, _move, _move, _swap, _link, _link, _kind, _reshape, _reshape),
    *(_retype, _declare, _store, _numbers, _drop_attribute, _set_attribute),
    *(_set_attribute, _names, _names, _many),
)
