from __future__ import annotations

import html.parser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sk

from textmill.artifact import Evaluation, Examples, Model, Tokens, content, digest_files
from textmill.components.evaluate import evaluate
from textmill.components.tokenize import tokenize
from textmill.errors import UserError
from textmill.models import tokenizer as tokenizers
from tiny_examples import empty, make_examples, trained


def sureness(labels: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> float:
    assert labels.shape == predicted.shape == scores.shape[:1]
    return float(scores.max(axis=1).mean())


def normal(scores: list[list[float]]) -> np.ndarray:
    """float64 that sums to 1 as exactly as scikit-learn demands."""
    found = np.array(scores, np.float64)
    return found / found.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    examples, tokens, model = trained()
    made = empty(Evaluation, tmp_path_factory.mktemp("evaluation") / "made")
    evaluate(made, model, tokens, examples, metrics=(sureness,))
    return made


def test_figures_are_scikit_learns_of_the_written_predictions(evaluated: Evaluation) -> None:
    table = pq.read_table(evaluated.path / "predictions.parquet").to_pydict()
    found, truth, said = evaluated.metrics(), table["label"], table["predicted"]
    assert len(truth) == 80
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(truth, said))
    for average in ("macro", "weighted"):
        assert found[f"f1_{average}"] == pytest.approx(sk.f1_score(truth, said, average=average))
    assert (
        found["confusion_matrix"]
        == sk.confusion_matrix(truth, said, labels=["neg", "pos"]).tolist()
    )
    assert found["loss"] == pytest.approx(sk.log_loss(truth, normal(table["scores"])))
    assert found["sureness"] == pytest.approx(np.max(table["scores"], axis=1).mean())


def test_predictions_stand_beside_their_own_texts(evaluated: Evaluation) -> None:
    examples, _, _ = trained()
    table = pq.read_table(evaluated.path / "predictions.parquet")
    given = examples.table("test")
    assert table.column_names == ["row", "text", "label", "predicted", "scores"]
    assert table["row"].to_pylist() == list(range(len(given)))
    assert table["text"].to_pylist() == given["review"].to_pylist()
    assert table["label"].to_pylist() == given["mood"].to_pylist()
    best = np.argmax(table["scores"].to_pylist(), axis=1)
    assert table["predicted"].to_pylist() == [["neg", "pos"][i] for i in best]


def test_scores_are_those_of_a_keras_user(evaluated: Evaluation) -> None:
    """KerasHub's classifier on raw strings: the two paths share the weights and nothing else."""
    import keras_hub

    _, _, model = trained()
    table = pq.read_table(evaluated.path / "predictions.parquet").slice(0, 12).to_pydict()
    classifier = keras_hub.models.TextClassifier.from_preset(str(model.path))
    logits = classifier.predict(table["text"], verbose=0)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, table["scores"], atol=2e-5)


def test_equal_inputs_give_equal_bytes(evaluated: Evaluation, tmp_path: Path) -> None:
    examples, tokens, model = trained()
    again = empty(Evaluation, tmp_path / "again")
    evaluate(again, model, tokens, examples, metrics=(sureness,))
    assert digest_files(content(again.path)) == digest_files(content(evaluated.path))


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_report_stands_alone_and_shows_texts_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trained_tokens, model = trained()
    known = tokenizers.read_tokenizer(trained_tokens.tokenizer_file)
    monkeypatch.setattr("textmill.components.token_shards.train_tokenizer", lambda *_, **__: known)
    rows = [
        (f"<script>alert({n})</script> & so on", mood) for n in range(3) for mood in ("neg", "pos")
    ]
    examples: Examples = make_examples(tmp_path / "x", train=rows, test=rows)
    tokens, out = empty(Tokens, tmp_path / "tokens"), empty(Evaluation, tmp_path / "out")
    from tiny_examples import SCRATCH

    tokenize(tokens, examples, preset=SCRATCH, max_length=48)
    evaluate(out, Model(model.path), tokens, examples, metrics=(sureness,))

    report = (out.path / "report.html").read_text("utf-8")
    tags = Tags()
    tags.feed(report)
    assert "script" not in tags.tags
    assert tags.links == []
    assert tags.tags.count("svg") == 2
    assert "&lt;script&gt;alert(" in report
    assert "Sureness" in report
    assert f"{100 * out.metrics()['accuracy']:.1f} %" in report


def test_no_test_rows_is_an_error(tmp_path: Path) -> None:
    from tiny_examples import SCRATCH

    _, _, model = trained()
    examples = make_examples(tmp_path / "x", train=[("a film", "neg"), ("a film", "pos")])
    tokens = empty(Tokens, tmp_path / "tokens")
    tokenize(tokens, examples, preset=SCRATCH, max_length=48)
    with pytest.raises(UserError, match="the test split is empty"):
        evaluate(empty(Evaluation, tmp_path / "out"), model, tokens, examples)
