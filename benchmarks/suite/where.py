"""Where a network's time goes; ``python -m benchmarks.suite.where NET [--batch N]``.

Every node of the optimized graph is jitted and timed alone, on the operands it has in
the network, and the times are added up by kind and shape. What a program gains by
fusing a node into its neighbour does not show, so the sum is more than the whole takes;
the whole is timed beside it, and ONNX Runtime's own profile where it is installed.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

import graphjit as gj
from benchmarks.suite import candidates, contest, peers
from benchmarks.suite.nets import Net, chosen
from benchmarks.suite.plan import Plan
from graphjit.ir import Graph, Node, Value
from graphjit.lower import lower_flat, run_nodes
from graphjit.stopwatch import interleaved

__all__ = ["Dissected", "Place", "by_onnxruntime", "dissected", "report"]


@dataclass(slots=True)
class Place:
    """All nodes of one kind, kernel and shapes: their time alone, in ms."""

    what: str
    program: Callable[..., Any]
    count: int = 0
    time_ms: float = 0.0
    flops: float = 0.0

    def __str__(self) -> str:
        rate = self.flops / self.time_ms / 1e6 if self.time_ms else 0.0
        return (
            f"{self.time_ms:8.3f} ms  {self.count:3} x {self.what:70} {rate:6.1f} GF/s"
        )


@dataclass
class Dissected:
    """A network taken apart at one batch size, ready to be timed.

    Attributes:
        name: Of the network and the batch size.
        whole: A call of the executable.
        parts: By what is alike, the nodes and a call of the first of them alone.
        peer: ms by op, as ONNX Runtime profiles itself; None without it.
    """

    name: str
    whole: Callable[[], Any]
    parts: dict[str, tuple[Place, Callable[[], Any]]]
    peer: Callable[[int], dict[str, float]] | None = None

    def timed(self, rounds: int) -> tuple[float, list[Place]]:
        """The whole's time in ms, and the places, the slowest first."""
        calls = {what: call for what, (_, call) in self.parts.items()}
        timings = interleaved({"": self.whole, **calls}, rounds=rounds, warmup=1)
        for what, (place, _) in self.parts.items():
            place.time_ms = timings[what].median_ms * place.count
        found = sorted((p for p, _ in self.parts.values()), key=lambda p: -p.time_ms)
        return timings[""].median_ms, found


def dissected(net: Net, plan: Plan, batch: int) -> Dissected:
    """Compile every node of the network by itself, on the operands it has there."""
    built = plan.built(net)
    model = candidates.loaded(built)
    exe = gj.jit(model)
    data = net.data(built.size, batch)
    x = jax.device_put(data)
    jax.block_until_ready(exe(x))
    parts = _parts(exe.graph, _weights(model, exe), x)
    made = Dissected(f"{net.name} b{batch}", lambda: exe(x), parts)
    if "onnxruntime" in plan.peers:
        path = peers.onnx_file(built, plan.folder)
        made.peer = lambda calls: by_onnxruntime(path, data, calls, plan.folder)
    return made


def _parts(
    graph: Graph, params: Sequence[Any], x: Any
) -> dict[str, tuple[Place, Callable[[], Any]]]:
    env: dict[Value, Any] = {
        p.value: a for p, a in zip(graph.params, params, strict=True)
    }
    env[graph.inputs[0].value] = x
    parts: dict[str, tuple[Place, Callable[[], Any]]] = {}
    for node in graph.nodes:
        operands = [None if v is None else env[v] for v in node.operands]
        what = _described(node, operands)
        program = parts[what][0].program if what in parts else jax.jit(_alone(node))
        results = program(*operands)
        for index, result in enumerate(results):
            env[Value(node.name, index)] = result
        if what not in parts:
            place = Place(what, program)
            parts[what] = place, lambda p=program, o=operands: p(*o)
        place = parts[what][0]
        place.count += 1
        place.flops += _flops(node, operands, results)
    return parts


def _weights(model: gj.Model, exe: gj.Executable) -> list[Any]:
    """The arrays of the main graph's params: the model's, or packed by the prologue."""
    arrays: dict[str, Any] = dict(model.arrays())
    given = [arrays[param.name] for param in exe.prologue.params]
    packed = lower_flat(exe.prologue)(given, ()).outputs
    for output, array in zip(exe.prologue.outputs, packed, strict=True):
        arrays[output.name] = array
    return [arrays[param.name] for param in exe.graph.params]


def _alone(node: Node) -> Callable[..., tuple[Any, ...]]:
    def run(*operands: Any) -> tuple[Any, ...]:
        env = {
            value: array
            for value, array in zip(node.operands, operands, strict=True)
            if value is not None
        }
        run_nodes([node], env, None)
        return tuple(env[Value(node.name, i)] for i in range(len(node.types)))

    return run


def _described(node: Node, operands: Sequence[Any]) -> str:
    """Kind, kernel, shapes and what else makes one node's work unlike another's."""
    shapes = " ".join(
        "x".join(map(str, a.shape)) for a in operands if a is not None and a.ndim > 1
    )
    settings = [
        f"{name}={getattr(node.op, name)}"
        for name in ("strides", "groups", "dilation")
        if hasattr(node.op, name) and not _usual(getattr(node.op, name))
    ]
    kernel = f"[{node.kernel}]" if node.kernel else ""
    stages = "".join(f"+{stage.kind}" for stage in node.epilogue)
    return " ".join((f"{node.op.kind}{kernel}{stages}", shapes, *settings))


def _usual(setting: Any) -> bool:
    return setting == 1 or (isinstance(setting, tuple) and set(setting) <= {1})


def _flops(node: Node, operands: Sequence[Any], results: Sequence[Any]) -> float:
    """Of products: twice the kernel's elements per place of the result (or operand)."""
    shapes = [a.shape for a in operands[1:2] if a is not None]
    if not shapes or len(shapes[0]) < 2:
        return 0.0
    if not ("conv" in node.op.kind or node.op.kind == "dense"):
        return 0.0
    at = operands[0] if "transpose" in node.op.kind else results[0]
    return 2.0 * float(np.prod(at.shape[:-1])) * float(np.prod(shapes[0]))


# --- the peer -----------------------------------------------------------------------


def by_onnxruntime(path: Path, x: Any, calls: int, folder: Path) -> dict[str, float]:
    """ms per call by kind of op, as ONNX Runtime's own profile has it."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.enable_profiling = True
    settings.profile_file_prefix = str(folder / "profile")
    session = ort.InferenceSession(
        str(path), settings, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    for _ in range(calls + 2):
        session.run(None, {name: x})
    written = Path(session.end_profiling())
    events = json.loads(written.read_text())
    written.unlink()
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            shapes = [
                "x".join(map(str, next(iter(shape.values()))))
                for shape in event["args"].get("input_type_shape", [])
            ]
            kind = event["args"]["op_name"]
            wide = [shape for shape in shapes if "x" in shape]
            times[" ".join((kind, *wide))].append(event["dur"] / 1e3)
    return {what: float(np.sum(values)) / (calls + 2) for what, values in times.items()}


# --- the command --------------------------------------------------------------------


def report(given: Dissected, rounds: int, most: int) -> str:
    """The tables, as text."""
    whole, table = given.timed(rounds)
    total = sum(place.time_ms for place in table)
    lines = [f"## {given.name}: whole {whole:.1f} ms, alone {total:.1f} ms", ""]
    lines += _kinds((place.what, place.time_ms) for place in table)
    lines += ["", *map(str, table[:most])]
    if given.peer is None:
        return "\n".join(lines)
    ops = sorted(given.peer(rounds).items(), key=lambda item: -item[1])
    lines += ["", f"ONNX Runtime: {sum(time_ms for _, time_ms in ops):.1f} ms", ""]
    lines += _kinds(ops)
    lines += ["", *(f"{time_ms:8.3f} ms  {what}" for what, time_ms in ops[:most])]
    return "\n".join(lines)


def _kinds(times: Iterable[tuple[str, float]]) -> list[str]:
    """Times added up by the first word, with their shares."""
    kinds: dict[str, float] = defaultdict(float)
    for what, time_ms in times:
        kinds[what.split()[0]] += time_ms
    total = sum(kinds.values())
    return [
        f"{time_ms:8.2f} ms {100 * time_ms / total:5.1f} %  {kind}"
        for kind, time_ms in sorted(kinds.items(), key=lambda item: -item[1])
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite.where")
    parser.add_argument("nets", nargs="+", metavar="NET")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--most", type=int, default=25, help="lines per table")
    given = parser.parse_args(arguments)
    plan = Plan((given.batch,), ("onnxruntime",), False, Path("build") / "suite")
    ready = [dissected(net, plan, given.batch) for net in chosen(given.nets)]
    with contest.hold():
        for one in ready:
            print(report(one, given.rounds, given.most), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
