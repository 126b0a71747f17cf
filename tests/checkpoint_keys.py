"""Changes each key of a config once, on small models of random weights, and asks transformers.

It runs as a program of its own, for torch need not share a process with TensorFlow.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from huggingface_models import MORE, SIZE, logits, shaken
from textmill.models.checkpoint_config import Keys

# Not changed: what a model's class or a folder's name says, and not a number; and what transformers
# has no model of this kind for.
UNCHANGED = {
    "_name_or_path": "no number",
    "architectures": "no number",
    "model_type": "no number",
    "transformers_version": "no number",
    "add_cross_attention": "asks for is_decoder too",
    "attention_head_size": "its layers do not fit each other",
    "output_attentions": "asks for an attention that is computed otherwise",
    "per_layer_config": "not of encoders",
    "pooler_hidden_size": "its layers do not fit each other",
    "quantization_config": "asks for other weights",
}
# Of keys where any other number would not do, or where the value is none.
VALUES: dict[str, list[Any]] = {
    "activation": ["relu", "gelu_new", "gelu_python", "silu"],
    "conv_act": ["gelu"],
    "conv_groups": [2],
    "conv_kernel_size": [3],
    "dim": [24],
    "dtype": ["float16", "bfloat16"],
    "embedding_size": [12],
    "hidden_act": ["relu", "gelu_new", "gelu_fast", "gelu_python", "silu", "quick_gelu", "tanh"],
    "hidden_dim": [40],
    "hidden_size": [24],
    "id2label": [{str(i): f"label {i}" for i in range(5)}],
    "label2id": [{"a": 0, "b": 1, "c": 2}],
    "layer_norm_eps": [1e-2],
    "max_relative_positions": [7, 30],
    "inner_group_num": [2],
    "n_heads": [4],
    "n_layers": [1, 4],
    "norm_rel_ebd": ["none"],
    "num_attention_heads": [4],
    "num_hidden_groups": [2, 5],
    "num_hidden_layers": [1, 4],
    "pooler_hidden_act": ["tanh", "gelu_new", "gelu_python"],
    "pos_att_type": [["c2p"], ["c2p", "p2c"], "c2p|p2c"],
    "position_buckets": [-1, 16],
    "position_embedding_type": ["absolute"],
    "problem_type": ["multi_label_classification"],
    "share_att_key": [False],
    "summary_activation": ["tanh"],
    "summary_type": ["mean"],
    "type_vocab_size": [1, 3],
}


def known(keys: Keys) -> set[str]:
    """Returns all keys that have a place in a table."""
    whole = keys.whole()
    return {*whole.read, *whole.allowed}.union(*whole.without_effect.values())


def asked(kind: str) -> set[str]:
    """Returns the keys that the modelling code of transformers asks a config for."""
    folder = kind.replace("-", "_")
    root = importlib.util.find_spec("transformers")
    assert root is not None
    assert root.origin is not None
    code = Path(root.origin).parent / "models" / folder / f"modeling_{folder}.py"
    return set(_read(ast.parse(code.read_text("utf-8"))))


def _read(code: ast.AST) -> Iterator[str]:
    for node in ast.walk(code):
        if isinstance(node, ast.Attribute) and _is_config(node.value):
            yield node.attr
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "getattr"
            and _is_config(node.args[0])
        ):
            yield ast.literal_eval(node.args[1])


def _is_config(node: ast.AST) -> bool:
    return getattr(node, "id", getattr(node, "attr", None)) == "config"


def row(kind: str, keys: Keys) -> str:
    """Returns what the documentation says of a kind, as a row of its table."""
    some = [
        f"`{key}` ({', '.join('absent' if v is None else _shown(v) for v in values)})"
        for key, values in sorted(keys.allowed.items())
    ]
    without = [f"{why}: {_listed(names)}" for why, names in sorted(keys.without_effect.items())]
    return f"| {kind} | {_listed(keys.read)} | {', '.join(some)} | {'; '.join(without)} |"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _shown(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def changes(kind: str, known: dict[str, Any], extra: set[str]) -> Iterator[tuple[str, Any]]:
    """Yields keys with another value than a small model of a kind has.

    Args:
        kind: Of an encoder.
        known: The keys of its config class, with the values that they have unset.
        extra: Keys that the class does not know, and modelling code reads.
    """
    base = {**known, **small(kind)}
    for key in sorted({*known, *extra} - {*UNCHANGED}):
        usual = base.get(key)
        for value in VALUES[key] if key in VALUES else [_other(usual)]:
            if value != usual:
                yield key, value


def small(kind: str) -> dict[str, Any]:
    """Returns the sizes of a small model, by the names that its config class has."""
    return {**SIZE, **MORE.get(kind, {})}


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return value + 0.25
    return 1 if value is None else value + 4


def make(folder: Path, known: dict[str, list[tuple[str, Any]]]) -> None:
    """Writes a model for each change of each kind, as `folder/kind/number`.

    Each has `change.json`, a key and its value; and `logits.npy`.
    """
    (folder / "changes.json").write_text(json.dumps(known))
    command = [sys.executable, __file__, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def _make(folder: Path) -> None:
    for kind, every in json.loads((folder / "changes.json").read_text()).items():
        for number, (key, value) in enumerate(every):
            path = folder / kind / str(number)
            path.mkdir(parents=True)
            (path / "change.json").write_text(json.dumps([key, value]))
            model = shaken(kind, "one", {**small(kind), key: value})
            model.save_pretrained(path)
            np.save(path / "logits.npy", logits(model.float(), kind))


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
