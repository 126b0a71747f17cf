"""Variants of a trained model: what each is, how good it is, and which one is chosen."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exported import asked
from textmill.artifact import REFUSED as REFUSED_FILE
from textmill.artifact import Evaluation, Measured, Saved, read_json, write_json
from textmill.components.candidates import REFUSED, WHOLE, read_candidate
from textmill.components.choice import BATCH, SHOWN, choose_among, table
from textmill.components.choose import choose
from textmill.components.evaluate import evaluate
from textmill.components.export import export
from textmill.components.measure import measure
from textmill.components.served import served
from textmill.encoder_weights import Dense, EncoderWeights
from textmill.errors import UserError
from textmill.frame import Frame
from textmill.models import (
    multi_label_classification,
    text_classification,
    text_regression,
    token_classification,
)
from textmill.models.answered import predictions_of
from textmill.models.metrics import own_figures
from textmill.models.rows import Rows
from textmill.models.serving_weights import serving_weights
from textmill.models.task import Predictions, logits_of
from textmill.models.tokenizer import read_tokenizer
from textmill.models.vocabulary import stand_ins
from textmill.serving import timing
from textmill.serving.contract import check_contract
from textmill.serving.encoder import Encoder
from textmill.serving.precision import PRECISIONS
from textmill.serving.timing import Broken, Side
from tiny_examples import empty, trained


@cache
def exported(folder: Path, name: str) -> Saved:
    """Returns a candidate of the trained model."""
    examples, tokens, model = trained()
    candidate = read_candidate(name)
    saved = empty(Saved, folder / name)
    seen = tokens if candidate.pruned else None
    export(saved, model, examples, precision=candidate.precision, seen=seen)
    return saved


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("candidates")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bfloat61", "did you mean bfloat16"),
        ("pruned_vocabulary+bfloat", "did you mean bfloat16"),
        ("bfloat16+int8_weights", "says twice"),
        ("int8+bfloat16", "says twice"),
        ("distilled+distilled", "says twice"),
        ("", "take one of these"),
    ],
)
def test_an_unknown_candidate_is_told_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UserError) as told:
        read_candidate(name)
    assert message in str(told.value)


def test_int8_is_refused_and_says_why() -> None:
    assert read_candidate("pruned_vocabulary+int8").refused == REFUSED["int8"]
    assert not read_candidate("pruned_vocabulary+int8_weights").refused


def test_texts_of_seen_tokens_have_equal_scores_and_others_those_with_unk(folder: Path) -> None:
    examples, _, model = trained()
    whole, pruned = (exported(folder, name).path for name in (WHOLE, "pruned_vocabulary"))
    texts = examples.table("test", ["review"])["review"].to_pylist()
    tokenizer = read_tokenizer(model.tokenizer_file)
    learned = examples.table("train", ["review"])["review"].to_pylist()
    seen = {i for encoding in tokenizer.encode_batch(learned) for i in encoding.ids}
    known = [text for text in texts if seen >= {*tokenizer.encode(text).ids}]
    assert len(known) > 20
    scores = [asked(each, "serving_default", text=known)["scores"] for each in (whole, pruned)]
    np.testing.assert_allclose(*scores, atol=1e-6)

    strange = "the jazz of kyiv was a quick film"
    ids = np.array([tokenizer.encode(strange).ids], np.int32)
    unknown = tokenizer.token_to_id("[UNK]")
    read = np.where(np.isin(ids, [*seen]), ids, unknown)
    assert (read != ids).any()
    network = text_classification.load(model.path)
    wanted = text_classification.decode(np.asarray(logits_of(network, read, read >= 0)), {})
    found = asked(pruned, "serving_default", text=[strange])["scores"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    # Clients of `tokens` go on sending the ids of the whole vocabulary.
    found = asked(pruned, "tokens", token_ids=ids, padding_mask=np.ones_like(ids))["scores"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)

    manifest = exported(folder, "pruned_vocabulary").manifest()
    assert manifest["unseen_tokens"] == tokenizer.get_vocab_size() - len(
        seen | {*range(5)}  # the special ones
    )
    for row in manifest["golden"]:
        assert row["unseen"] == sum(i not in seen | {*range(5)} for i in row["token_ids"])
    assert any(row["unseen"] for row in manifest["golden"])


@pytest.mark.parametrize("name", ["pruned_vocabulary", "pruned_vocabulary+bfloat16"])
@pytest.mark.usefixtures("here")
def test_a_pruned_vocabulary_is_smaller_and_keeps_the_contract(name: str, folder: Path) -> None:
    saved, whole = exported(folder, name), exported(folder, WHOLE)
    proof = check_contract(saved.path)
    assert proof.holds, [row for row in proof.rows if row.status == "failed"]
    sizes = [each.manifest()["parameters"]["bytes"] for each in (saved, whole)]
    dropped = saved.manifest()["unseen_tokens"]
    vocabulary = len(read_tokenizer(trained()[2].tokenizer_file).get_vocab())
    width = 32  # the least that an embedding has
    assert sizes[0] < sizes[1] + 4 * vocabulary - 4 * dropped * width
    if "bfloat16" in name:
        assert sizes[0] < 0.5 * sizes[1]


def test_a_vocabulary_without_an_unknown_token_is_not_pruned() -> None:
    none = np.zeros(0, np.int64)
    rows = Rows(np.zeros(0, np.int32), np.zeros(1, np.int64), none, none)
    with pytest.raises(UserError, match="can't be pruned"):
        stand_ins(rows, 9, Frame((0,), (2, 2), (2,), None, unknown=0), Path("tokenizer.json"))


def dequantized(value: Any, axis: int) -> Any:
    parts = np.split(value, range(64, value.shape[axis], 64), axis)
    steps = [np.abs(part).max(axis, keepdims=True) / 127 for part in parts]
    found = [np.round(part / step) * step for part, step in zip(parts, steps, strict=True)]
    return np.concatenate(found, axis).astype(np.float32)


def test_int8_weights_compute_what_dequantized_ones_do() -> None:
    _, _, model = trained()
    network = text_classification.load(model.path)
    weights = serving_weights(network, pair=False)
    assert weights is not None

    def change(part: Any) -> Any:
        if isinstance(part, Dense):
            return Dense(dequantized(part.kernel, 0), part.bias)
        if isinstance(part, tuple):
            made = [change(each) for each in part]
            return type(part)(*made) if hasattr(part, "_fields") else tuple(made)
        return part

    plain: EncoderWeights = change(weights)
    plain = plain._replace(
        tokens=dequantized(weights.tokens, 1), positions=dequantized(weights.positions, 1)
    )
    ids = np.random.default_rng(0).integers(5, 200, (6, 20)).astype(np.int32)
    given = tf.constant(ids), tf.ones(ids.shape, tf.bool), tf.zeros_like(ids)
    found = Encoder(weights, PRECISIONS["int8_weights"])(*given).numpy()
    np.testing.assert_allclose(found, Encoder(plain)(*given), atol=2e-5)
    assert np.abs(found - Encoder(weights)(*given)).max() > 1e-3


def test_candidates_are_measured_beside_each_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "TURN", 1.0)
    examples, tokens, model = trained()
    broken = Saved(tmp_path / "broken")
    shutil.copytree(exported(folder, "pruned_vocabulary+bfloat16").path, broken.path)
    (broken.path / "variables" / "variables.index").unlink()
    none = empty(Saved, tmp_path / "none")
    write_json(none.path / REFUSED_FILE, {"why": "of another kind"})
    names = (WHOLE, "pruned_vocabulary+bfloat16")
    candidates = {name: exported(folder, name) for name in names}
    candidates |= {"broken": broken, "none": none}
    measured = empty(Measured, tmp_path / "measured")
    given = {"rounds": 3, "refused": {"int8": "no"}, "metrics": (sure,)}
    measure(measured, candidates, tokens, examples, **given)
    found = measured.read()
    whole, small = (found["candidates"][name] for name in names)
    evaluation = empty(Evaluation, tmp_path / "evaluation")
    evaluate(evaluation, model, tokens, examples, metrics=(sure,))
    wanted = evaluation.metrics()
    assert found["figure"] == "accuracy"
    assert found["rows"] == wanted["rows"] == 80
    assert whole["figures"].keys() == wanted.keys()
    assert whole["figures"]["accuracy"] == wanted["accuracy"]
    assert whole["figures"]["sure"] == pytest.approx(wanted["sure"], abs=1e-5)
    assert whole["figures"]["loss"] == pytest.approx(wanted["loss"], abs=1e-5)
    assert (whole["changed"], whole["better"], whole["worse"]) == (0, 0, 0)
    assert small["changed"] >= abs(small["better"] - small["worse"])
    assert small["bytes"] < whole["bytes"]
    assert whole["apart"] < 1e-5 < small["apart"]
    assert "variables" in found["candidates"]["broken"]["failed"]
    assert found["candidates"]["none"] == {"skipped": "of another kind"}
    assert found["candidates"]["int8"] == {"skipped": "no"}
    for row in (whole, small):
        assert row["memory_bytes"] is None or row["memory_bytes"] > 1e6
        assert {len(rounds) for rounds in row["rounds"].values()} == {3}
        for times in row["latency_ms"].values():
            assert 0 < times["p50"] <= times["p95"]

    saved = empty(Saved, tmp_path / "chosen")
    choose(saved, measured, candidates, max_loss=1.0)
    decided = read_json(saved.path / "logs" / "optimize.json")
    name = decided["chosen"]
    assert saved.manifest() == candidates[name].manifest() | {"variant": name}
    graphs = [each.path / "saved_model.pb" for each in (saved, candidates[name])]
    assert graphs[0].read_bytes() == graphs[1].read_bytes()
    assert "failed" in decided["verdicts"]["broken"]
    assert decided["verdicts"]["none"] == "skipped: of another kind"
    for kind in ("md", "html"):
        assert "chosen: " in (saved.path / "logs" / f"optimize.{kind}").read_text()
    figures = empty(Evaluation, tmp_path / "served")
    served(figures, measured, saved)
    assert figures.metrics() == found["candidates"][name]["figures"]


def sure(labels: Any, predicted: Any, scores: Any) -> float:
    """A figure of one's own."""
    assert labels.shape == predicted.shape
    return float(scores.max(axis=1).mean())


def test_one_that_dies_in_its_turn_is_a_row_and_no_end(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "TURN", 1.0)
    examples, tokens, _ = trained()
    candidates = {name: exported(folder, name) for name in (WHOLE, "bfloat16", "int8_weights")}
    ask, asked_of = Side.times, []

    def times(side: Side, rows: Any, calls: int) -> list[float]:
        if side.folder == candidates["bfloat16"].path:
            asked_of.append(side)
            if len(asked_of) == 20:
                side._process.kill()
        return ask(side, rows, calls)

    monkeypatch.setattr(Side, "times", times)
    measured = empty(Measured, tmp_path / "measured")
    measure(measured, candidates, tokens, examples, rounds=3)
    found = measured.read()
    assert found["candidates"]["bfloat16"] == {"failed": "the process ended with code -9"}
    assert "latency_ms" in found["candidates"]["int8_weights"]
    choice = choose_among(found, 1.0)
    assert choice.verdicts["bfloat16"] == "failed: the process ended with code -9"


def test_the_longest_answer_of_float32_says_how_long_others_may_take(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "TURN", 1.0)
    monkeypatch.setattr("textmill.components.measure.LEAST_PATIENCE", 0.0)
    monkeypatch.setattr("textmill.components.measure.PATIENCE", 1e-6)
    examples, tokens, _ = trained()
    candidates = {name: exported(folder, name) for name in (WHOLE, "bfloat16")}
    measured = empty(Measured, tmp_path / "measured")
    measure(measured, candidates, tokens, examples, rounds=3)
    assert "no answer in" in measured.read()["candidates"]["bfloat16"]["failed"]


def test_metrics_that_do_not_fit_the_task_are_told() -> None:
    none = Predictions({}, {}, np.zeros(2))
    with pytest.raises(UserError, match="not for token_classification") as told:
        own_figures((sure,), "token_classification", np.zeros(2), none)
    assert told.value.received == "sure"


def test_a_model_that_does_not_load_says_why(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="SavedModel file does not exist"):
        Side(tmp_path)


def row(times: list[float], *, accuracy: float = 0.9, size: int = 100, **more: Any) -> Any:
    batches = {*SHOWN, BATCH}
    return {
        "bytes": size,
        "load_seconds": 1.0,
        "memory_bytes": None,
        "latency_ms": {batch: {"p50": times[0], "p95": times[0]} for batch in batches},
        "rounds": dict.fromkeys(batches, times),
        "figures": {"accuracy": accuracy},
        "changed": 3,
        "better": 1,
        "worse": 2,
        "apart": 0.001,
        "allowed": 0.03,
        **more,
    }


WHOLE_ROW = row([10.0, 10.1, 9.9, 10.0])


@pytest.mark.parametrize(
    ("others", "chosen", "verdict"),
    [
        ({"a": row([5.0] * 4)}, "a", "chosen: 2.00 times as fast as float32"),
        ({"a": row([5.0] * 4), "b": row([4.0] * 4)}, "b", "2.00 times as fast as float32"),
        ({"a": row([5.0] * 4), "b": row([4.9] * 4, changed=4)}, "a", "chosen: 2.00"),
        ({"a": row([5.0] * 4), "b": row([5.1] * 4, changed=2)}, "b", "but for the noise as fast"),
        ({"a": row([5.0] * 4), "b": row([5.1] * 4, size=25)}, "b", "but for the noise as fast"),
        ({"a": row([15.0] * 4, size=25)}, WHOLE, "smaller, but slower: 0.67 times"),
        ({"a": row([9.9] * 4, size=25)}, WHOLE, "smaller, but not faster beyond a noise of 2%"),
        ({"a": row([5.0, 13.0, 8.0, 9.0])}, WHOLE, "not faster beyond a noise of"),
        ({"a": row([5.0])}, WHOLE, "not faster beyond a noise of 100%"),
        ({"a": row([5.0] * 4, accuracy=0.89)}, WHOLE, "accuracy is 0.01 lower, and 0.005"),
        ({"a": row([5.0] * 4, accuracy=0.895)}, "a", "chosen: 2.00"),
        ({"a": row([5.0] * 4, accuracy=float("nan"))}, WHOLE, "accuracy is nan lower"),
        ({"a": row([5.0] * 4, apart=0.04)}, WHOLE, "golden rows differ by 0.04"),
        ({"a": {"skipped": "why"}}, WHOLE, "skipped: why"),
        ({"a": {"failed": "why"}}, WHOLE, "failed: why"),
    ],
)
def test_the_fastest_that_is_good_enough_is_chosen(
    others: dict[str, Any], chosen: str, verdict: str
) -> None:
    whole = WHOLE_ROW
    rounds = min(len(each.get("rounds", {}).get(BATCH, [0] * 4)) for each in others.values())
    if rounds == 1:
        whole = row([10.0])
    measured = {"figure": "accuracy", "rows": 200, "candidates": {WHOLE: whole, **others}}
    choice = choose_among(measured, 0.005)
    assert choice.chosen == chosen
    assert verdict in choice.verdicts["a"]
    assert choice.verdicts[chosen].startswith("chosen: ")
    shown = table(measured, choice)
    assert {len(each) for each in shown} == {len(shown[0])}
    assert [each[0] for each in shown[1:]] == [WHOLE, *others]


def test_of_an_error_less_is_better() -> None:
    """Where the first figure of a task of one's own is one."""
    rows = {
        WHOLE: row([10.0] * 4, figures={"mae": 0.5}),
        "near": row([5.0] * 4, figures={"mae": 0.3}),
        "far": row([4.0] * 4, figures={"mae": 0.7}),
    }
    choice = choose_among({"figure": "mae", "rows": 200, "candidates": rows}, 0.005)
    assert choice.chosen == "near"
    assert choice.verdicts["far"] == "mae is 0.2 higher, and 0.005 is allowed"


def test_answers_are_read_as_what_the_logits_said() -> None:
    random = np.random.default_rng(0)
    about = {"labels": ["a", "b", "c"], "separator": "|", "thresholds": [0.3, 0.5, 0.6]}
    texts = [f"text {i}" for i in range(40)]
    logits = random.normal(0, 3, (40, 3)).astype(np.float32)
    logits[0] = [200, -200, 0]  # scores of exactly 1 and 0
    cases: list[tuple[Any, str, Any]] = [
        (text_classification, "one", random.integers(0, 3, 40)),
        (multi_label_classification, "many", (random.random((40, 3)) > 0.5).astype(np.float32)),
        (text_regression, "number", random.normal(size=40).astype(np.float32)),
    ]
    for task, kind, labels in cases:
        given = logits[:, :1] if kind == "number" else logits
        answers = task.decode(given, about).tolist()
        wanted = task.predictions(labels, given, about, texts)
        found, figure = predictions_of(task, answers, labels, about | {"kind": kind}, texts)
        assert found.columns["predicted"] == wanted.columns["predicted"]
        assert found.figures[figure] == pytest.approx(wanted.figures[figure], abs=1e-6)


def test_answered_spans_are_read_as_tags() -> None:
    texts = ["Ada met Bob Smith in Paris.", "", "Nobody"]
    tags = ["O", "B-place", "I-place", "B-who", "I-who"]
    labels = [[(0, 3, "who"), (8, 17, "who"), (21, 26, "place")], [], []]
    about = {"kind": "spans", "labels": tags}
    answers = [[[0, 3, "who", 0.9], [8, 17, "who", 0.8], [21, 26, "who", 0.7]], [], []]
    found, figure = predictions_of(token_classification, answers, labels, about, texts)
    assert figure == "f1_micro"
    assert found.columns["predicted"][0] == '[[0, 3, "who"], [8, 17, "who"], [21, 26, "who"]]'
    assert found.figures["precision_micro"] == found.figures["recall_micro"] == 2 / 3
    assert "loss" not in found.figures
