"""Export a trained model as a SavedModel that takes raw text."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from textmill.artifact import Examples, Model, Saved, write_json
from textmill.components.cleaning import Cleaning, clean
from textmill.components.cleaning_graph import clean_graph
from textmill.models import text_classification
from textmill.models.task import Task
from textmill.models.tokenizer import read_tokenizer
from textmill.progress import advance
from textmill.quiet import import_tensorflow
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
    "I <b>loved</b> it &amp; more<br />than you&#39;d think",
    "<style>p {x: y}</style>Seen<!-- not seen --><script>if (a < b) c()</script> &amp;lt;p&amp;gt;",
    "a < b and c > d, I <3 it, AT&T; &unknown; &#x1F600; &#128; &#xD800; &Eacute;e\u0301",
]


def export(
    out: Saved,
    model: Model,
    examples: Examples | None = None,
    *,
    task: Task = text_classification,
) -> None:
    """Write `model` to `out` as a SavedModel, with a manifest that says what it should answer.

    The graph holds the cleaning that the training texts went through, tokenization, the network and
    softmax; the signatures are those of `textmill.serving.savedmodel.write`.
    `assets.extra/manifest.json` holds the task, the labels, the maximum length, how texts are
    cleaned, where it all came from, the operations and the size of the weights, and golden rows:
    raw texts with the scores that the Keras model gives them, cleaned as `ingest` cleans, tokenized
    by the `tokenizers` library and one at a time, so nothing of the graph is in them.

    Args:
        out: Where to write.
        model: What was trained.
        examples: Where golden rows come from: the shortest and the longest text of the test split,
            and some in between. Without them there are strange texts alone.
        task: What the model learned, as `train` was told.

    Raises:
        UserError: If the tokenizer can't be put into a graph exactly.
    """
    import_tensorflow()
    import keras

    # Keras counts up the names that it gives to layers, and they end up in the graph: one model
    # must give the same bytes whatever this process did before.
    keras.utils.clear_session()
    about = model.task()
    labels, max_length = about["labels"], about["max_length"]
    tokenizer = WordPiece(model.tokenizer_file, max_length)
    network = task.load(model.path)
    rules = Cleaning(**about["cleaning"])
    savedmodel.write(
        out.path,
        clean=lambda texts: clean_graph(texts, rules),
        logits=lambda token_ids, mask: task.logits(network, token_ids, mask),
        variables=[variable.value for variable in network.weights],
        tokenizer=tokenizer,
        labels=labels,
    )
    manifest = {
        "format": FORMAT,
        "task": about["task"],
        "labels": labels,
        "max_length": max_length,
        "cleaning": about["cleaning"],
        "made_from": {"model": model.digest} | ({"examples": examples.digest} if examples else {}),
        "versions": {name: version(name) for name in ("textmill", "keras", "tensorflow")},
        **savedmodel.describe(out.path),
        "golden": _golden(task, network, model, _texts(examples), rules),
    }
    write_json(out.path / "assets.extra" / "manifest.json", manifest)


def _texts(examples: Examples | None) -> list[str]:
    """Returns texts of all lengths from the test split, then strange ones."""
    texts = []
    if examples:
        column = examples.schema()["text"]
        texts = examples.table("test", [column])[column].to_pylist()
    texts.sort(key=lambda text: (len(text), text))
    last = len(texts) - 1
    # Whole numbers only: the same places whatever the machine.
    places = sorted({last * i // (ROWS - 1) for i in range(ROWS)}) if texts else []
    too_long = " ".join(texts[-8:] + ["a film of many words"] * 200)
    return [texts[i] for i in places] + STRANGE + [too_long[:5000]]


def _golden(
    task: Task, network: Any, model: Model, texts: list[str], rules: Cleaning
) -> list[dict[str, Any]]:
    """Returns the texts with the scores of the Keras model."""
    import numpy as np
    import pyarrow as pa

    tokenizer = read_tokenizer(model.tokenizer_file)
    tokenizer.enable_truncation(model.task()["max_length"])
    rows = []
    cleaned = clean(pa.array(texts, pa.string()), rules).to_pylist()
    for done, (text, seen) in enumerate(zip(texts, cleaned, strict=True)):
        advance(done, len(texts), "golden rows")
        ids = np.array([tokenizer.encode(seen).ids], np.int32)
        logits = np.asarray(task.logits(network, ids, np.ones_like(ids)), np.float64)
        powers = np.exp(logits[0] - logits[0].max())
        scores = (powers / powers.sum()).astype(np.float32)
        rows.append({"text": text, "scores": [float(score) for score in scores]})
    return rows
