"""Predictions of a SavedModel in this process, for any number of texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from textmill.artifact import read_manifest
from textmill.errors import UserError
from textmill.quiet import import_tensorflow
from textmill.serving.answers import answer_rows
from textmill.serving.contract import find_model
from textmill.serving.graph_rules import signature
from textmill.serving.heads import PREDICT, Form, forms
from textmill.serving.savedmodel import PAIR, TEXT, read

BATCH = 32
WINDOW = 32 * BATCH  # rows held at once; batches of equal lengths are picked among them

Row = dict[str, str]  # text, and text_pair where a model takes two


class Predictor:
    """A model loaded from a SavedModel, ready to answer.

    Args:
        model_dir: A version's folder, or a base folder, which stands for its newest version.

    Attributes:
        pair: Whether it takes two texts.

    Raises:
        UserError: If there is no model, or it lacks a signature that the contract asks for.
    """

    def __init__(self, model_dir: Path) -> None:
        folder = find_model(model_dir)
        import_tensorflow()
        import tensorflow as tf

        manifest = read_manifest(folder)
        self._kind, self.pair = manifest.get("kind", "one"), manifest.get("pair", False)
        self._thresholds: list[float] | None = manifest.get("thresholds")
        # Classifiers are asked by the signature that names the classes.
        classifies = self._kind in ("one", "many")
        name = "classify" if classifies else "serving_default"
        form = forms(self._kind, pair=self.pair)[name]
        checked_signature(folder, name, form)
        self._model = tf.saved_model.load(str(folder))  # the signature lives as long as this does
        self._ask, self._form = self._model.signatures[name], form

    def __call__(self, texts: Iterable[str | Row]) -> Iterator[dict[str, Any]]:
        """Yields an answer for each text, in the order of the texts.

        It holds no more than a window of texts at a time, so `texts` may be endless.

        Args:
            texts: Texts, or rows with a `text` and a `text_pair` for a model that takes two.

        Yields:
            The row and, of a classifier, `label`, `score` and `scores` by label (with any number of
            labels, `label` is a list, and there is no `score`); `value`, a number; or `spans`, each
            with start and end in characters, text, label and score.
        """
        rows = ({TEXT: text} if isinstance(text, str) else text for text in texts)
        while window := list(islice(rows, WINDOW)):
            # Texts of about one length share a batch: rows are padded to the longest.
            order = sorted(range(len(window)), key=lambda i: len(window[i][TEXT]))
            found: dict[int, dict[str, Any]] = {}
            for first in range(0, len(order), BATCH):
                batch = order[first : first + BATCH]
                found |= dict(zip(batch, self._predict([window[i] for i in batch]), strict=True))
            yield from (found[i] for i in range(len(window)))

    def _predict(self, rows: list[Row]) -> Iterator[dict[str, Any]]:
        import tensorflow as tf

        if self._form.method == PREDICT:
            given = {name: [valid(row[name]) for row in rows] for name in self._form.inputs}
        else:
            given = {"inputs": [_example(row) for row in rows]}
        outputs = self._ask(**{name: tf.constant(values) for name, values in given.items()})
        said = {name: values.numpy() for name, values in outputs.items()}
        if self._kind in ("one", "many"):
            for row, scores, names in zip(rows, said["scores"], said["classes"], strict=True):
                yield row | self._classes([n.decode() for n in names], scores.tolist())
            return
        plain = {name: _plain(values.tolist()) for name, values in said.items()}
        for row, answer in zip(rows, answer_rows(self._kind, plain), strict=True):
            if self._kind == "number":
                yield row | {"value": answer}
            else:
                yield row | {"spans": [_span(row[TEXT], *span) for span in answer]}

    def _classes(self, names: list[str], scores: list[float]) -> dict[str, Any]:
        by_name = dict(zip(names, scores, strict=True))
        if self._thresholds is not None:
            pairs = zip(names, scores, self._thresholds, strict=True)
            return {"label": [n for n, score, least in pairs if score >= least], "scores": by_name}
        label = max(by_name, key=by_name.__getitem__)
        return {"label": label, "score": by_name[label], "scores": by_name}


def checked_signature(folder: Path, name: str, form: Form) -> None:
    """Refuses a model that does not have a signature.

    Args:
        folder: A SavedModel.
        name: The signature.
        form: What it should be.

    Raises:
        UserError: It is missing or another, or the model can't be read.
    """
    try:
        row = signature(read(folder).meta_graphs[0], name, form)
        broken = row.found if row.status == "failed" else ""
    except Exception as error:  # protobuf has no class of its own for a file that is none
        broken = f"saved_model.pb can't be read: {error}"
    if broken:
        raise UserError(
            f"{folder}: this model can't be asked",
            expected=f"a signature {name}, {', '.join(form.inputs)} -> {', '.join(form.outputs)}",
            received=broken,
            fix="see `textmill check` for all that this model lacks",
        )


def _span(text: str, start: int, end: int, label: str, score: float) -> dict[str, Any]:
    return {"start": start, "end": end, "text": text[start:end], "label": label, "score": score}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


def valid(text: str) -> bytes:
    """Returns a text in UTF-8, whatever it is."""
    # Half a surrogate pair, as a broken JSON escape makes it, has no UTF-8.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _example(row: Row) -> bytes:
    import tensorflow as tf

    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[valid(row[name])]))
        for name in (TEXT, PAIR)
        if name in row
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(example.SerializeToString())
