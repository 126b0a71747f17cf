"""Rules of the serving contract for what is inside the graph."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textmill.serving.rows import Row, judge
from textmill.serving.savedmodel import nodes
from textmill.serving.servers import minimum, needs, releases

FOREIGN = re.compile(r"Xla|.*PyFunc")
COMPILED = "_XlaMustCompile"
READERS = re.compile(r"ReadFile|InitializeTableFromTextFile|.*Dataset|LoadAndRemapMatrix")
PATH = re.compile(rb"(file:/|[a-z0-9]+:/)?/[^\s*?|\\()\[\]]+")


def portable(meta: Any) -> Row:
    """Judges whether the graph needs Python or XLA, which a server does not have."""
    graph = meta.graph_def
    compiled = {
        COMPILED
        for attributes in (
            *(node.attr for node in nodes(graph)),
            *(function.attr for function in graph.library.function),
        )
        if COMPILED in attributes and attributes[COMPILED].b
    }
    foreign = {node.op for node in nodes(graph) if FOREIGN.match(node.op)} | compiled
    return judge(
        "no Python or XLA",
        ", ".join(sorted(foreign)),
        "no operation calls Python or asks for XLA",
        "write tf.numpy_function and tf.py_function in TensorFlow, export with "
        "jit_compile = False, and update slices by tf.where or tf.tensor_scatter_nd_update",
    )


def operations(meta: Any, server: str | None = None) -> Row:
    """Judges whether a server has every operation of the graph.

    Args:
        meta: The meta graph.
        server: A release, as `read_release` returns it; None: every one that is known.
    """
    asked = [server] if server else releases()
    needed = needs(meta.graph_def)
    lacking = [n for n in needed if not set(asked) <= set(n.releases)]
    from_on = minimum(needed)
    fix = "write it in core TensorFlow operations, and take newer attributes out of saved_model.pb"
    if from_on:
        fix += f"; or name a server that has it: --server {from_on}"
    wanted = f"TensorFlow Serving {server or f'{asked[0]} and later'}"
    return judge(
        "server operations",
        ", ".join(f"{n.name} ({_since(n.releases)})" for n in lacking),
        f"{wanted} has all {len(needed)} operations",
        fix,
    )


def _since(known: tuple[str, ...]) -> str:
    if not known:
        return "in no server"
    last = f" to {known[-1]}" if known[-1] != releases()[-1] else ""
    return f"from {known[0]}{last}"


def devices(meta: Any) -> Row:
    """Judges whether the graph runs on whatever device the server has."""
    # What saves and restores variables is always placed on the processor.
    where = Counter(
        node.device
        for node in nodes(meta.graph_def)
        if node.device and "CPU" not in node.device.upper()
    )
    return judge(
        "no fixed device",
        ", ".join(f"{count} operations on {device}" for device, count in sorted(where.items())),
        "no operation asks for an accelerator",
        "export outside tf.device, or with clear_devices",
    )


def complete(folder: Path, meta: Any) -> Row:
    """Judges whether the model needs files that lie elsewhere."""
    missing = [
        f"assets/{asset.filename} is missing"
        for asset in meta.asset_file_def
        if not (folder / "assets" / asset.filename).is_file()
    ]
    given = {asset.tensor_info.name.partition(":")[0] for asset in meta.asset_file_def}
    outside = {path for name, path in _paths(meta.graph_def) if name not in given}
    return judge(
        "complete by itself",
        "; ".join([*missing, *(f"the graph reads {path}" for path in sorted(outside))]),
        "it needs no file outside its folder",
        "track the file as an asset: tf.saved_model.Asset, or a table that is an attribute",
    )


def _paths(graph: Any) -> Iterator[tuple[str, str]]:
    """Yields constants that name a file by its full path: the node, and the path."""
    for part in (graph.node, *(function.node_def for function in graph.library.function)):
        read = {
            name.lstrip("^").partition(":")[0]
            for node in part
            if READERS.match(node.op)
            for name in node.input
        }
        for node in part:
            values = node.attr["value"].tensor.string_val if node.op == "Const" else ()
            for value in values:
                if PATH.fullmatch(value):
                    path = value.decode(errors="replace")
                    if node.name in read or Path(path).is_file():
                        yield node.name, path
