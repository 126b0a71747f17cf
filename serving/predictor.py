"""Predictions of a SavedModel in this process, for any number of texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypedDict

from textmill.errors import UserError
from textmill.quiet import import_tensorflow
from textmill.serving.contract import find_model
from textmill.serving.graph_rules import SIGNATURES, signature
from textmill.serving.savedmodel import FEATURE, read

BATCH = 32
WINDOW = 32 * BATCH  # texts held at once; batches of equal lengths are picked among them


class Prediction(TypedDict):
    """What a model says about a text."""

    text: str
    label: str  # the class with the largest score
    score: float  # its score
    scores: dict[str, float]  # class -> score, in the model's order


class Predictor:
    """A text classifier loaded from a SavedModel.

    Args:
        model_dir: A version's folder, or a base folder, which stands for its newest version.

    Raises:
        UserError: If there is no model, or it has no `classify` signature as the contract says.
    """

    def __init__(self, model_dir: Path) -> None:
        folder = find_model(model_dir)
        import_tensorflow()
        import tensorflow as tf

        try:
            row = signature(read(folder).meta_graphs[0], "classify")
            broken = row.found if row.status == "failed" else ""
        except Exception as error:  # protobuf has no class of its own for a file that is none
            broken = f"saved_model.pb can't be read: {error}"
        if broken:
            _, inputs, outputs = SIGNATURES["classify"]
            raise UserError(
                f"{folder}: this model can't be asked for classes",
                expected=f"a signature classify, {', '.join(inputs)} -> {', '.join(outputs)}",
                received=broken,
                fix="see `textmill check` for all that this model lacks",
            )
        self._model = tf.saved_model.load(str(folder))  # the signature lives as long as this does
        self._classify = self._model.signatures["classify"]

    def __call__(self, texts: Iterable[str]) -> Iterator[Prediction]:
        """Yields a prediction for each text, in the order of the texts.

        It holds no more than a window of texts at a time, so `texts` may be endless.
        """
        source = iter(texts)
        while window := list(islice(source, WINDOW)):
            # Texts of about one length share a batch: rows are padded to the longest.
            order = sorted(range(len(window)), key=lambda i: len(window[i]))
            found: dict[int, Prediction] = {}
            for first in range(0, len(order), BATCH):
                batch = order[first : first + BATCH]
                found |= dict(zip(batch, self._predict([window[i] for i in batch]), strict=True))
            yield from (found[i] for i in range(len(window)))

    def _predict(self, texts: list[str]) -> Iterator[Prediction]:
        import tensorflow as tf

        answer = self._classify(inputs=tf.constant([_example(text) for text in texts]))
        for text, row, names in zip(
            texts, answer["scores"].numpy(), answer["classes"].numpy(), strict=True
        ):
            scores = {name.decode(): float(score) for name, score in zip(names, row, strict=True)}
            label = max(scores, key=scores.__getitem__)
            yield {"text": text, "label": label, "score": scores[label], "scores": scores}


def _example(text: str) -> bytes:
    import tensorflow as tf

    # Half a surrogate pair, as a broken JSON escape makes it, has no UTF-8.
    value = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    example = tf.train.Example(features=tf.train.Features(feature={FEATURE: feature}))
    return bytes(example.SerializeToString())
