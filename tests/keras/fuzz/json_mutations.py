"""Configurations changed at random, by what they are made of: keys, layers, calls."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["mutated", "mutated_text"]

#: Stands in a tree for what `json.dumps` would never write.
_RAW: Final = "\x01RAW:"
_RAW_TEXTS: Final = ("1e400", "-1e400", "NaN", "-Infinity", "1" * 4000, "9" * 5000)
_HOSTILE_NAMES: Final = (
    "",
    " ",
    ".",
    "..",
    "/",
    "a/b",
    "/etc/passwd",
    "__class__",
    "__init__",
    "__lambda__",
    "__tuple__",
    "__numpy__",
    "__keras_tensor__",
    "_CONSTANT_VALUE",
    "os",
    "builtins",
    "eval",
    "x" * 5000,
    "x" * 10**6,
    "\ud800",
    "a\x00b",
    "\u202e",
    "{0.__class__}",
    "%s%n",
    "http://localhost:9/x",
)
_NUMBERS: Final = (
    *(0, 1, -1, 2, 3, 5, 7, 16, 127, 255, 2**16, 2**20, 2**31 - 1, 2**31, 2**32),
    *(2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, -(10**30)),
    *(0.0, -0.0, 0.5, 1.0, 1.5, -1.5, 1e-300, 1e-7, 1e38, 1e39, 1e308, -1e308, 5e-324),
)
#: A place in a tree: the list or dictionary, and the index or key in it.
_Place = tuple[Any, Any]


def mutated(root: Any, rng: random.Random, others: list[Any]) -> tuple[Any, str]:
    """A changed copy, and what was done to it.

    Args:
        root: Plain data.
        rng: Decides.
        others: Other configurations, to take parts from.
    """
    box = [json.loads(json.dumps(root))]
    done: list[str] = []
    for _ in range(_few(rng)):
        change = rng.choice(_CHANGES)
        done.append(f"{change.__name__.strip('_')} {change(box, rng, others)}")
    return box[0], "; ".join(done)


def mutated_text(root: Any, rng: random.Random, others: list[Any]) -> tuple[str, str]:
    """`mutated`, as a text, which may be no JSON any more."""
    data, done = mutated(root, rng, others)
    text = json.dumps(data, ensure_ascii=rng.random() < 0.9)
    for raw in _RAW_TEXTS:
        text = text.replace(json.dumps(_RAW + raw), raw)
    if rng.random() < 0.05:
        return json.dumps(text), f"{done}; JSON in JSON"
    if rng.random() < 0.05:
        at = rng.randrange(max(len(text), 1))
        text = rng.choice((text[:at], text[:at] + text[at + 1 :], text + text[at:]))
        done += f"; text cut at {at}"
    elif rng.random() < 0.05 and '"name":' in text:
        text = text.replace('"name":', '"name": "twice", "name":', 1)
        done += "; a key twice"
    return text, done


def _few(rng: random.Random) -> int:
    """Mostly one change; at times several."""
    count = 1
    while count < 8 and rng.random() < 0.3:
        count += 1
    return count


# --- places ---------------------------------------------------------------------


def _places(value: Any) -> Iterator[_Place]:
    stack = [value]
    while stack:
        holder = stack.pop()
        keys: Any = holder if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], (dict, list)):
                stack.append(holder[key])


def _some(
    box: list[Any], rng: random.Random, wanted: Callable[[_Place], bool] | None = None
) -> _Place:
    """A place; the whole tree where there is none of that kind."""
    found = [place for place in _places(box) if wanted is None or wanted(place)]
    return rng.choice(found) if found else (box, 0)


def _called(place: _Place, box: list[Any]) -> str:
    """The way to a place, for a reader."""
    stack: list[tuple[Any, str]] = [(box, "")]
    while stack:
        holder, path = stack.pop()
        if holder is place[0]:
            return f"{path}/{place[1]}"[-120:]
        keys: Any = holder if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            if isinstance(holder[key], (dict, list)):
                stack.append((holder[key], f"{path}/{str(key)[:40]}"))
    return f"?/{place[1]}"[:60]


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and "class_name" in value


def _is_reference(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= 3
        and isinstance(value[0], str)
        and all(type(item) is int for item in value[1:3])
    )


# --- changes --------------------------------------------------------------------


def _drop(box: list[Any], rng: random.Random, _: Any) -> str:
    holder, key = place = _some(box, rng)
    if holder is not box:
        del holder[key]
    return _called(place, box)


def _double(box: list[Any], rng: random.Random, _: Any) -> str:
    place = _some(box, rng, lambda p: isinstance(p[0], list) and p[0] is not box)
    holder, key = place
    count = rng.choice((1, 1, 2, 50)) if holder is not box else 0
    holder[key:key] = [json.loads(json.dumps(holder[key])) for _ in range(count)]
    return f"{_called(place, box)} × {count}"


def _swap(box: list[Any], rng: random.Random, _: Any) -> str:
    place = _some(box, rng, lambda p: isinstance(p[0], list) and len(p[0]) > 1)
    holder, key = place
    other = rng.randrange(len(holder))
    holder[key], holder[other] = holder[other], holder[key]
    return f"{_called(place, box)} {other}"


def _reverse(box: list[Any], rng: random.Random, _: Any) -> str:
    holder, key = place = _some(box, rng, lambda p: isinstance(p[0][p[1]], list))
    if holder is not box:
        holder[key].reverse()
    return _called(place, box)


def _rename(box: list[Any], rng: random.Random, _: Any) -> str:
    place = _some(box, rng, lambda p: isinstance(p[0], dict))
    holder, key = place
    if holder is box:
        return "nothing"
    keys = [k for h, k in _places(box) if isinstance(h, dict)]
    new = rng.choice((rng.choice(keys), rng.choice(_HOSTILE_NAMES), f"{key}_"))
    items = [(new if k == key else k, v) for k, v in holder.items()]
    holder.clear()
    holder.update(items)
    return f"{_called(place, box)} to {new[:20]!r}"


def _extreme(box: list[Any], rng: random.Random, _: Any) -> str:
    def is_number(place: _Place) -> bool:
        return isinstance(place[0][place[1]], (int, float))

    holder, key = place = _some(box, rng, is_number)
    holder[key] = rng.choice(_NUMBERS)
    if rng.random() < 0.1:
        holder[key] = _RAW + rng.choice(_RAW_TEXTS)
    return f"{_called(place, box)} to {str(holder[key])[:24]}"


def _retype(box: list[Any], rng: random.Random, _: Any) -> str:
    holder, key = place = _some(box, rng)
    old = holder[key]
    holder[key] = rng.choice(
        (
            None,
            True,
            False,
            [],
            {},
            "",
            [old],
            {"class_name": old, "config": {}},
            {"class_name": "__tuple__", "items": [old]},
            {"name": old},
            str(old)[:100],
            rng.choice(_NUMBERS),
            rng.choice(_HOSTILE_NAMES),
            list(old) if isinstance(old, (dict, str)) and len(old) < 100 else [old] * 3,
        )
    )
    return f"{_called(place, box)} to {str(holder[key])[:24]!r}"


def _text(box: list[Any], rng: random.Random, _: Any) -> str:
    place = _some(box, rng, lambda p: isinstance(p[0][p[1]], str))
    holder, key = place
    texts = [h[k] for h, k in _places(box) if isinstance(h[k], str)]
    holder[key] = rng.choice((rng.choice(texts or [""]), rng.choice(_HOSTILE_NAMES)))
    return f"{_called(place, box)} to {holder[key][:24]!r}"


def _graft(box: list[Any], rng: random.Random, others: list[Any]) -> str:
    """A part of this configuration or another in the place of one of this."""
    holder, key = place = _some(box, rng)
    source = [rng.choice(others)] if others and rng.random() < 0.5 else box
    where, what = _some(source, rng)
    holder[key] = json.loads(json.dumps(where[what]))
    return f"{_called(place, box)} from {str(what)[:40]}"


def _graft_value(box: list[Any], rng: random.Random, others: list[Any]) -> str:
    """A value from elsewhere that stands there under the same key."""
    holder, key = place = _some(box, rng, lambda p: isinstance(p[0], dict))
    sources = [*rng.sample(others, min(len(others), 5)), box]
    found = [h[k] for s in sources for h, k in _places(s) if k == key and h is not box]
    if found and holder is not box:
        holder[key] = json.loads(json.dumps(rng.choice(found)))
    return _called(place, box)


def _new_key(box: list[Any], rng: random.Random, others: list[Any]) -> str:
    """A key that another layer has, or a hostile one, where it does not belong."""
    holder, key = place = _some(box, rng, lambda p: isinstance(p[0][p[1]], dict))
    if holder is box and not isinstance(box[0], dict):
        return "nothing"
    keys = [
        (k, h[k])
        for source in (rng.choice(others) if others else box, box)
        for h, k in _places(source)
        if isinstance(h, dict)
    ]
    new, value = rng.choice(
        (
            rng.choice(keys or [("name", "x")]),
            (rng.choice(_HOSTILE_NAMES), rng.choice(_NUMBERS)),
            ("safe_mode", False),
            ("module", "os"),
            ("registered_name", "system"),
            ("vocabulary", "/etc/passwd"),
            ("weights", [[1.0]]),
            ("shared_object_id", rng.randrange(5)),
        )
    )
    holder[key][new] = json.loads(json.dumps(value))
    return f"{new[:20]!r} in {_called(place, box)}"


def _rewire(box: list[Any], rng: random.Random, _: Any) -> str:
    holder, key = place = _some(box, rng, lambda p: _is_reference(p[0][p[1]]))
    reference = holder[key]
    if not _is_reference(reference):
        return "nothing"
    names = [h[k] for h, k in _places(box) if k == "name" and isinstance(h[k], str)]
    at = rng.randrange(3)
    numbers = (0, 1, -1, 2, reference[at], 10**9)
    reference[at] = rng.choice(names or [""]) if at == 0 else rng.choice(numbers)
    return f"{_called(place, box)}[{at}] to {str(reference[at])[:24]!r}"


def _class(box: list[Any], rng: random.Random, others: list[Any]) -> str:
    holder, key = place = _some(box, rng, lambda p: p[1] == "class_name")
    if holder is box:
        return "nothing"
    sources = [*rng.sample(others, min(len(others), 5)), box]
    names = [h[k] for source in sources for h, k in _places(source) if k == key]
    holder[key] = rng.choice((*names, "Lambda", "os.system", "__lambda__"))
    return f"{_called(place, box)} to {str(holder[key])[:24]!r}"


def _wrap(box: list[Any], rng: random.Random, _: Any) -> str:
    """A layer in a wrapper or in models, perhaps many of them."""
    holder, key = place = _some(box, rng, lambda p: _is_entry(p[0][p[1]]))
    if not _is_entry(holder[key]):
        return "nothing"
    kind = rng.choice(("TimeDistributed", "Bidirectional", "Sequential"))
    depth = rng.choice((1, 1, 2, 10, 100))
    for level in range(depth):
        inner = holder[key]
        config = {"layers": [inner]} if kind == "Sequential" else {"layer": inner}
        outer = {"class_name": kind, "config": {**config, "name": f"wrap{level}"}}
        kept = {k: inner[k] for k in ("inbound_nodes", "name") if k in inner}
        holder[key] = {**outer, **kept}
    return f"{_called(place, box)} in {kind} × {depth}"


def _nest(box: list[Any], rng: random.Random, _: Any) -> str:
    holder, key = place = _some(box, rng)
    depth = rng.choice((5, 70, 3000))
    holder[key] = _RAW + "[" * depth + "]" * depth if depth > 900 else holder[key]
    for _ in range(depth if depth <= 900 else 0):
        holder[key] = [holder[key]]
    return f"{_called(place, box)} × {depth}"


_CHANGES: Final[tuple[Callable[[list[Any], random.Random, list[Any]], str], ...]] = (
    *(_drop, _double, _swap, _reverse, _rename, _extreme, _extreme, _retype, _retype),
    *(_text, _graft, _graft_value, _graft_value, _new_key, _rewire, _rewire, _class),
    *(_wrap, _nest),
)
