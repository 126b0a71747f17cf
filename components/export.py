"""Export a trained model as a SavedModel that takes raw text."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from textmill.artifact import Examples, Model, Saved, write_json
from textmill.models import text_classification
from textmill.progress import advance
from textmill.serving import savedmodel
from textmill.serving.wordpiece import WordPiece

FORMAT = 1
ROWS = 24  # test rows among the golden ones
STRANGE = [
    "",
    " \t\n ",
    "naïve café, Ångström, I\u0307stanbul",
    "e\u0301 a\u0325\u0301 \u0915\u094d\u0937 \u1100\u1161\u11a8",
    "这部电影很好看。東京 서울 ภาพยนตร์",
    "👍🏽 👨‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️",
    "فيلم رائع \u202bעברית\u202c",
    "[CLS] [SEP] [MASK] ##ing\u0000\ufffd\u200b",
    "x" * 300,
]


def export(out: Saved, model: Model, examples: Examples) -> None:
    """Write `model` to `out` as a SavedModel, with a manifest that says what it should answer.

    The graph holds tokenization, the network and softmax; the signatures are those of
    `textmill.serving.savedmodel.write`. `assets.extra/manifest.json` holds the task, the labels,
    the maximum length, how the texts were cleaned, where it all came from, the operations and the
    size of the weights, and golden rows: texts with the scores that the Keras model gives them,
    tokenized by the `tokenizers` library and one at a time, so nothing of the graph is in them.

    Args:
        out: Where to write.
        model: What was trained.
        examples: Where the golden rows come from: the shortest and the longest text of the test
            split, and some in between.

    Raises:
        UserError: If the tokenizer can't be put into a graph exactly.
    """
    task = model.task()
    labels, max_length = task["labels"], task["max_length"]
    tokenizer = WordPiece(model.tokenizer_file, max_length)
    network = text_classification.load(model.path)
    savedmodel.write(
        out.path,
        logits=lambda token_ids, mask: text_classification.logits(network, token_ids, mask),
        variables=[variable.value for variable in network.weights],
        tokenizer=tokenizer,
        labels=labels,
    )
    schema = examples.schema()
    manifest = {
        "format": FORMAT,
        "task": task["task"],
        "labels": labels,
        "max_length": max_length,
        "cleaning": schema["cleaning"],
        "made_from": {"model": model.digest, "examples": examples.digest},
        "versions": {name: version(name) for name in ("textmill", "keras", "tensorflow")},
        **savedmodel.describe(out.path),
        "golden": _golden(network, model, _texts(examples, schema["text"]), max_length),
    }
    write_json(out.path / "assets.extra" / "manifest.json", manifest)


def _texts(examples: Examples, column: str) -> list[str]:
    """Returns texts of all lengths from the test split, then strange ones."""
    texts = examples.table("test", [column])[column].to_pylist()
    texts.sort(key=lambda text: (len(text), text))
    last = len(texts) - 1
    # Whole numbers only: the same places whatever the machine.
    places = sorted({last * i // (ROWS - 1) for i in range(ROWS)}) if texts else []
    too_long = " ".join(texts[-8:] + ["a film of many words"] * 200)
    return [texts[i] for i in places] + STRANGE + [too_long[:5000]]


def _golden(network: Any, model: Model, texts: list[str], max_length: int) -> list[dict[str, Any]]:
    """Returns the texts with the scores of the Keras model."""
    import numpy as np
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model.tokenizer_file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    tokenizer.encode_special_tokens = True
    rows = []
    for done, text in enumerate(texts):
        advance(done, len(texts), "golden rows")
        ids = np.array([tokenizer.encode(text).ids], np.int32)
        logits = np.asarray(text_classification.logits(network, ids, np.ones_like(ids)), np.float64)
        powers = np.exp(logits[0] - logits[0].max())
        scores = (powers / powers.sum()).astype(np.float32)
        rows.append({"text": text, "scores": [float(score) for score in scores]})
    return rows
