"""Distillation: from a trained model, and texts without labels, to a smaller one."""

from __future__ import annotations

import csv
import json
import random
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from killing import ends_with_the_same_bits, steps
from test_cli import CONFIG, textmill
from test_tasks import long, many, number, pairs, spans
from textmill.artifact import Evaluation, Examples, Model, Tokens, read_json, write_json
from textmill.components.distill import distill
from textmill.components.evaluate import evaluate
from textmill.components.ingest import UNTOUCHED, ingest
from textmill.components.sample import sample
from textmill.components.sources.by_name import open_source
from textmill.components.tokenize import tokenize
from textmill.components.tokenize_unlabelled import tokenize_unlabelled
from textmill.components.train import train
from textmill.config import build
from textmill.errors import UserError
from textmill.models import (
    multi_label_classification,
    soft_labels,
    text_classification,
    text_regression,
    token_classification,
)
from textmill.models.batches import padded
from textmill.models.distillation import Lesson
from textmill.models.distilled_learner import DistilledLearner
from textmill.models.preset import Preset
from textmill.models.rows import read_rows
from textmill.models.scoring import score
from textmill.models.settings import Settings
from textmill.models.step import Step
from textmill.models.task import logits_of
from textmill.pipelines.text_classification import Config
from textmill.testing import check_component, tiny_reviews
from tiny_examples import SCRATCH, empty, trained

HOW = {"epochs": 2, "batch_size": 16, "learning_rate": 2e-3, "precision": "float32"}
TASKS: dict[str, tuple[ModuleType, Callable[..., dict[str, Any]], dict[str, Any]]] = {
    "many": (multi_label_classification, many, {"max_length": 32}),
    "pairs": (text_classification, pairs, {"max_length": 32}),
    "number": (text_regression, number, {"max_length": 32}),
    "spans": (token_classification, spans, {"max_length": 32}),
    "long": (text_classification, long, {"max_length": 24, "overlap": 6, "windows": 4}),
    "long spans": (token_classification, spans, {"max_length": 12, "overlap": 4, "windows": 8}),
}


class Taught:
    """Rows with and without labels, and a teacher of them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.task, draw, how = TASKS[name]
        chance, kind = random.Random(0), self.task.LABELS
        made = [draw(chance, i) for i in range(200)]
        cleaning = {"cleaning": UNTOUCHED} if kind == "spans" else {}
        pair = "other" if name == "pairs" else None
        self.examples, self.unlabelled = Examples(folder / "a"), Examples(folder / "b")
        for out, rows, label in (
            (self.examples, made[:120], "label"),
            (self.unlabelled, made, None),
        ):
            file = folder / "rows.jsonl"
            file.write_text("\n".join(map(json.dumps, rows)))
            ingest(out, open_source(str(file)), pair=pair, label=label, labels=kind, **cleaning)
        self.tokens, self.more = (empty(Tokens, folder / name) for name in "cd")
        tokenize(self.tokens, self.examples, preset=SCRATCH, **how)
        tokenize_unlabelled(self.more, self.unlabelled, self.examples, self.tokens)
        self.teacher = empty(Model, folder / "e")
        settings = Settings(**{**HOW, "epochs": 4})
        train(self.teacher, self.tokens, preset=SCRATCH, task=self.task, settings=settings)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Taught]:
    made: dict[str, Taught] = {}

    def get(name: str) -> Taught:
        if name not in made:
            made[name] = Taught(tmp_path_factory.mktemp("taught"), name)
        return made[name]

    return get


def history(model: Model) -> list[dict[str, float]]:
    with (model.path / "history.csv").open(encoding="utf-8") as file:
        return [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]


def learner(given: Taught, folder: Path, unlabelled: Tokens | None) -> DistilledLearner:
    return DistilledLearner(
        given.tokens,
        Preset(str(given.teacher.path)),
        given.task,
        0.0,
        Settings(**HOW),
        lesson=Lesson(1),
        unlabelled=unlabelled,
        folder=folder,
    )


@pytest.mark.parametrize(
    "name",
    [n if n == "spans" else pytest.param(n, marks=pytest.mark.slow) for n in TASKS],
)
def test_rows_carry_what_the_keras_model_says(
    name: str, taught: Callable[[str], Taught], tmp_path: Path
) -> None:
    """Batches against the teacher as Keras loads it, one row at a time and without padding."""
    given = taught(name)
    teacher, parts = given.task.load(given.teacher.path), learner(given, tmp_path, given.more)
    first, second = (read_rows(each, "train") for each in (given.tokens, given.more))
    assert len(second) >= 50
    assert len(parts.rows) == len(first) + len(second)
    step = parts.build("float32", False)
    mean, deviation = parts.scale
    if name == "number":
        assert mean > 50
    batches = parts.batches(0)
    seen = []
    data = parts.data(step, 0, batches, {"accumulate": 2, "xla": True})
    for batch in batches:
        for piece in np.array_split(batch, 2):
            inputs, what, _ = next(data)
            assert what.known.numpy().tolist() == [float(row < len(first)) for row in piece]
            seen += piece.tolist()
            for place, row in enumerate(piece):
                if row % 4:
                    continue
                of, at = (first, row) if row < len(first) else (second, row - len(first))
                alone = padded(of, np.array([at]), list(teacher.input))
                length = int(of.lengths[at])
                ids = inputs["token_ids"][place].numpy()
                np.testing.assert_array_equal(ids[:length], alone["token_ids"][0])
                assert not ids[length:].any()
                wanted = logits_of(
                    teacher, alone["token_ids"], alone["padding_mask"], alone.get("segment_ids")
                ).numpy()[0]
                found = what.said[place].numpy() * deviation + mean
                if given.task.LABELS == "spans":
                    assert not what.said[place, length:].numpy().any()
                    begins = of.labels[of.starts[at] : of.starts[at + 1]] > 0
                    assert begins.any()
                    np.testing.assert_array_equal(what.labels[place].numpy()[:length] > 0, begins)
                    found = found[:length]
                np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert sorted(seen) == list(range(len(parts.rows)))
    assert next(data, None) is None


@pytest.mark.parametrize(
    "name", [n if n == "many" else pytest.param(n, marks=pytest.mark.slow) for n in TASKS]
)
def test_every_task_is_distilled(
    name: str, taught: Callable[[str], Taught], tmp_path: Path
) -> None:
    given, out, evaluation = (
        taught(name),
        empty(Model, tmp_path / "m"),
        empty(Evaluation, tmp_path / "e"),
    )
    how = Settings(**HOW, lora_rank=2 if name == "pairs" else None, clip_norm=1.0)
    distill(
        out,
        given.tokens,
        given.teacher,
        unlabelled=given.more,
        lesson=Lesson(1),
        task=given.task,
        settings=how,
    )
    rows = history(out)
    assert rows[1]["loss"] < rows[0]["loss"]
    assert ("agreement" in rows[0]) == (name != "number")
    about = read_json(out.path / "textmill" / "distillation.json")
    assert (about["layers"], about["teacher_layers"], about["teacher"]) == (1, 2, "")
    assert out.task().keys() == given.teacher.task().keys()
    student = given.task.load(out.path)
    assert len(student.backbone.transformer_layers) == 1
    evaluate(evaluation, out, given.tokens, given.examples, task=given.task)
    if name == "number":  # in the unit of the data
        said = evaluation.metrics()
        assert said["mae"] < 1.5 * said["baseline_mae"]
        assert said["baseline_mae"] > 10


def test_a_student_begins_where_its_teacher_is_in_its_unit(
    taught: Callable[[str], Taught], tmp_path: Path
) -> None:
    """One of as many layers would give the teacher's numbers, standardized."""
    from textmill.models import student

    given = taught("number")
    parts = learner(given, tmp_path, None)
    teacher = given.task.load(given.teacher.path)
    inputs = padded(parts.rows, np.arange(6), list(teacher.input))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(student, "check_layers", lambda *_: None)
        object.__setattr__(parts.lesson, "layers", 2)
        found = parts.plain()(inputs).numpy()
    mean, deviation = parts.scale
    np.testing.assert_allclose(found * deviation + mean, teacher(inputs).numpy(), rtol=1e-5)


def test_texts_without_labels_get_the_ids_of_those_with(taught: Callable[[str], Taught]) -> None:
    """And what is among the labelled ones, whatever its split, is left out."""
    for name in ("spans", "many"):
        given = taught(name)
        texts = {
            s: given.examples.table(s)["text"].to_pylist() for s in ("train", "validation", "test")
        }
        known = {text for each in texts.values() for text in each}
        assert min(map(len, texts.values())) > 3
        every = [
            text
            for split in ("train", "validation", "test")
            for text in given.unlabelled.table(split)["text"].to_pylist()
        ]
        new = [text for text in every if text not in known]
        assert 50 < len(new) == len(every) - len(known)
        rows = read_rows(given.more, "train")
        assert len(rows) == len(new)
        info = given.more.info()
        assert (info["labels"], info["rows"]) == (
            [],
            {"train": len(new), "validation": 0, "test": 0},
        )
        from textmill.models.tokenizer import read_tokenizer

        tokenizer = read_tokenizer(given.tokens.tokenizer_file)
        for row in (0, 7, len(new) - 1):
            ids = rows.token_ids[rows.starts[row] : rows.starts[row + 1]].tolist()
            wanted = tokenizer.encode(new[row], add_special_tokens=False).ids
            assert ids[1 : len(wanted) + 1] == wanted[:30]


def opinions(folder: Path, rows: int = 1000) -> Examples:
    """Writes texts of five words, of which most are good or bad; there are thirty-two."""
    chance, out = random.Random(0), Examples(folder / "opinions")
    words = {side: [side + a + b for a in "bcdf" for b in "aeio"] for side in "gp"}
    lines = []
    for _ in range(rows):
        sides = [chance.choice("gp") for _ in range(5)]
        text = " ".join(chance.choice(words[side]) for side in sides)
        label = "good" if sides.count("g") > 2 else "poor"
        lines.append(json.dumps({"text": text, "label": label}))
    (folder / "rows.jsonl").write_text("\n".join(lines))
    ingest(out, open_source(str(folder / "rows.jsonl")))
    return out


def test_with_few_labels_a_teacher_teaches_more_than_they(tmp_path: Path) -> None:
    """Eight rows hold few of the words; the teacher has seen them all."""
    from scipy.special import softmax

    examples, tokens, few, some, more, hidden, teacher = (
        opinions(tmp_path),
        *(empty(kind, tmp_path / str(i)) for i, kind in enumerate((Tokens, Examples, Tokens))),
        *(empty(kind, tmp_path / str(i)) for i, kind in enumerate((Tokens, Examples, Model), 3)),
    )
    tokenize(tokens, examples, preset=SCRATCH, max_length=24)
    how = Settings(**{**HOW, "epochs": 8, "deterministic": True})
    train(teacher, tokens, preset=SCRATCH, dropout=0.0, settings=how)
    sample(few, examples, rows=8)
    alike(some, few, tokens)
    without_labels(hidden, examples)
    tokenize_unlabelled(more, hidden, few, some)
    counts = [each.info()["rows"]["train"] for each in (tokens, some, more)]
    assert counts[1:] == [8, counts[0] - 8]
    unseen = read_rows(tokens, "test")

    def said(model: Model) -> Any:
        return softmax(score(text_classification.load(model.path), unseen)[1], -1)

    wanted = said(teacher)
    assert wanted.std() > 0.2

    def apart(unlabelled: Tokens | None, lesson: Lesson, epochs: int) -> tuple[float, float]:
        """Returns how far scores are from the teacher's, and how often the label is its."""
        out, settings = empty(Model, tmp_path / f"of-{epochs}"), replace(how, epochs=epochs)
        distill(
            out, some, teacher, unlabelled=unlabelled, lesson=lesson, dropout=0.0, settings=settings
        )
        found = said(out)
        agreed = float((found.argmax(1) == wanted.argmax(1)).mean())
        return float(np.abs(found - wanted).mean()), agreed

    alone = apart(None, Lesson(1, label_share=1.0), 30)
    taught = apart(more, Lesson(1), 6)
    assert taught[0] < 0.9 * alone[0]
    assert taught[1] > alone[1] + 0.1


def alike(out: Tokens, examples: Examples, tokens: Tokens) -> None:
    """Writes token ids by the tokenizer of others."""
    from textmill.components import tokenize as module
    from textmill.models.tokenizer import read_tokenizer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "tokenizer_of", lambda *_: read_tokenizer(tokens.tokenizer_file))
        tokenize(out, examples, preset=SCRATCH, max_length=tokens.info()["max_length"])


def without_labels(out: Examples, examples: Examples) -> None:
    import pyarrow.parquet as pq

    (out.path / "train").mkdir()
    table = examples.table("train").select([examples.schema()["text"]])
    pq.write_table(table, out.path / "train" / "part-00000.parquet")
    schema = {**examples.schema(), "label": None, "rows": {"train": len(table)}}
    write_json(out.path / "schema.json", schema)


def test_a_student_that_was_stopped_ends_with_the_same_bits(
    taught: Callable[[str], Taught], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And asks its teacher only once."""
    given = taught("many")
    how = Settings(**{**HOW, "deterministic": True, "checkpoint_steps": 3})

    def student(name: str) -> Model:
        out = Model(tmp_path / name)
        out.path.mkdir(exist_ok=True)
        distill(
            out,
            given.tokens,
            given.teacher,
            unlabelled=given.more,
            lesson=Lesson(1),
            task=given.task,
            settings=how,
        )
        return out

    whole, real, done = student("whole"), Step.__call__, 0

    def stopping(self: Step, *arguments: Any, **named: Any) -> Any:
        nonlocal done
        done += 1
        if done == 14:
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", stopping)
        with pytest.raises(KeyboardInterrupt):
            student("stopped")
    assert {f.name for f in Model(tmp_path / "stopped").unfinished.glob("step-*")} == {"step-12"}
    monkeypatch.setattr(soft_labels, "write", None)  # what is there is not written again
    stopped = student("stopped")
    for name in ("model.weights.h5", "task.weights.h5", "task.json", "history.csv"):
        assert (whole.path / name).read_bytes() == (stopped.path / name).read_bytes()


@pytest.mark.slow
def test_killed_it_ends_with_the_same_bits(taught: Callable[[str], Taught], tmp_path: Path) -> None:
    given = taught("spans")
    tokens, teacher, more = (str(each.path) for each in (given.tokens, given.teacher, given.more))
    ends_with_the_same_bits(
        tmp_path,
        "distill",
        f"Tokens(Path({tokens!r})), Model(Path({teacher!r})), unlabelled=Tokens(Path({more!r})), "
        "lesson=Lesson(1), task=token_classification",
        kills=[lambda kept_in: any(kept_in.glob("teacher.logits.draft")), steps(2), steps(40)],
        files=("model.weights.h5", "task.weights.h5", "history.csv"),
        **{**HOW, "batch_size": 4},
    )


DEVICES = """
import json, sys
from pathlib import Path
from textmill.artifact import Model, Tokens
from textmill.quiet import import_tensorflow
import_tensorflow()
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from textmill.components.distill import distill
from textmill.components.train import train
from textmill.models import token_classification as task
from textmill.models.distillation import Lesson
from textmill.models.preset import Scratch
from textmill.models.settings import Settings
tokens, teacher, more, folder, settings = sys.argv[1:]
def out(name):
    made = Model(Path(folder) / name)
    made.path.mkdir()
    return made
def how(**more):
    return Settings(**json.loads(settings), **more)
tokens, two = Tokens(Path(tokens)), how(strategy="mirrored", accumulate=2)
train(out("teacher"), tokens, preset=Scratch("tiny", 400), task=task, settings=two)
for name, given in (("two", two), ("one", how(strategy="one")), ("xla", how(xla="on"))):
    distill(out(name), tokens, Model(Path(teacher)), unlabelled=Tokens(Path(more)),
            lesson=Lesson(1), task=task, dropout=0.0, settings=given)
"""


@pytest.mark.slow
def test_two_devices_and_xla_teach_what_one_device_does(
    taught: Callable[[str], Taught], tmp_path: Path
) -> None:
    """A teacher of other shapes was trained on both devices by the same process before."""
    given = taught("spans")
    places = (given.tokens.path, given.teacher.path, given.more.path, tmp_path)
    command = [sys.executable, "-c", DEVICES, *map(str, places), json.dumps(HOW)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    one, two, xla = (history(Model(tmp_path / name)) for name in ("one", "two", "xla"))
    for found in (two, xla):
        for a, b in zip(one, found, strict=True):
            assert a == pytest.approx(b, abs=2e-4)
    facts = read_json(tmp_path / "two" / "textmill" / "training.json")
    assert (facts["devices"], facts["accumulate"]) == (2, 2)


def test_as_a_component() -> None:
    _, tokens, teacher = trained()
    how = Settings(**{**HOW, "epochs": 1, "batch_size": 64})
    made = check_component(distill, tokens, teacher, lesson=Lesson(1), settings=how)
    assert set(history(made)[0]) > {"loss", "agreement", "val_accuracy", "val_loss"}


def test_what_does_not_fit_its_teacher(taught: Callable[[str], Taught], tmp_path: Path) -> None:
    given, (examples, tokens, teacher) = taught("spans"), trained()

    def refused(message: str, *artifacts: Any, layers: int = 1, **more: Any) -> None:
        with pytest.raises(UserError, match=message):
            distill(empty(Model, tmp_path / message[:9]), *artifacts, lesson=Lesson(layers), **more)

    refused(r"layers = 2 makes no smaller model", tokens, teacher, layers=2)
    refused("has not learned token_classification", tokens, teacher, task=token_classification)
    refused("has learned from rows of other kind", given.tokens, teacher)
    refused("rows without labels have another kind", tokens, teacher, unlabelled=given.more)
    renamed = empty(Tokens, tmp_path / "renamed")
    write_json(renamed.path / "tokens.json", tokens.info())
    renamed.tokenizer_file.write_text("{}")
    refused("ids are not the teacher's", renamed, teacher)

    with pytest.raises(UserError, match="no text without a label is left") as told:
        tokenize_unlabelled(empty(Tokens, tmp_path / "none"), examples, examples, tokens)
    assert "400 that all are" in told.value.received
    with pytest.raises(UserError, match="cleaned otherwise"):
        tokenize_unlabelled(empty(Tokens, tmp_path / "other"), given.examples, examples, tokens)
    write_json(tmp_path / "pairs" / "schema.json", {**examples.schema(), "pair": "mood"})
    with pytest.raises(UserError, match="of the kind of those with labels"):
        tokenize_unlabelled(
            empty(Tokens, tmp_path / "x"), Examples(tmp_path / "pairs"), examples, tokens
        )


def test_the_teachers_figures_stand_beside(tmp_path: Path) -> None:
    examples, tokens, model = trained()
    first, second = (empty(Evaluation, tmp_path / name) for name in "ab")
    evaluate(first, model, tokens, examples)
    evaluate(second, model, tokens, examples, teacher=first)
    ours, theirs = second.metrics(), first.metrics()
    assert ours["teacher"]["accuracy"] == theirs["accuracy"]
    assert "per_class" not in ours["teacher"]
    assert "teacher" not in theirs
    said = "Beside its teacher"
    pages = [(each.path / "report.html").read_text("utf-8") for each in (second, first)]
    assert [said in page for page in pages] == [True, False]
    shown = f"<td>{100 * theirs['accuracy']:.1f} %</td>"
    assert f"<tr><th>Accuracy</th>{shown}{shown}</tr>" in pages[0]


DISTILL = """
[train]
epochs = 3
learning_rate = 0.003
precision = "float32"
[distill]
layers = 1
unlabelled = "more.txt"
[distill.train]
epochs = 2
learning_rate = 0.002
precision = "float32"
[gate]
accuracy = ">= 0.8"
"teacher.accuracy" = ">= 0.8"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with labelled reviews, some without labels, and a config."""
    tiny_reviews(tmp_path, rows=300)
    (tmp_path / "other").mkdir()
    with tiny_reviews(tmp_path / "other", rows=200, seed=1).open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    (tmp_path / "more.txt").write_text("\n".join(texts))
    (tmp_path / "textmill.toml").write_text(CONFIG + DISTILL)
    return tmp_path


def test_what_is_wrong_is_told_before_the_training(project: Path) -> None:
    said = textmill("run", "textmill.toml", "--dry-run", cwd=project)
    assert said.returncode == 0, said.stderr
    steps = [line.split()[1] for line in said.stdout.splitlines()]
    assert steps == [
        "ingest", "validate", "tokenize", "ingest", "tokenize_unlabelled", "train", "evaluate",
        "distill", "evaluate", "export", "check", "push",
    ]  # fmt: skip
    assert "heavy: []" in said.stderr
    for setting, words in (
        ("distill.layers=2", "distill.layers = 2 makes no smaller model"),
        ("distill.layer=2", "did you mean layers?"),
        ("distill.train.epoch=2", "did you mean epochs?"),
        ("distill.temperature=0", "distill.temperature has a wrong value"),
        ("distill.temperature=inf", "expected: a finite number above 0"),
        ("distill.unlabelled=nowhere.csv", "nowhere.csv: no such file"),
        ('distill.text=["a", "b"]', "distill.text names 2 columns, and data.text 1"),
    ):
        said = textmill("run", "textmill.toml", "--dry-run", "--set", setting, cwd=project)
        assert (said.returncode, words in said.stderr) == (2, True), said.stderr


def test_the_page_shows_configs() -> None:
    page = Path(__file__).parents[1] / "docs" / "distillation.md"
    shown = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.S)
    values = tomllib.loads(CONFIG + "".join(shown))
    config = build(Config, values, name=page.name)
    assert config.distill is not None
    assert config.distill.lesson() == Lesson(3)
    assert config.distill.train is not None
    assert len(config.gate) == len(shown) == 2


@pytest.mark.slow
def test_a_run_serves_the_student(project: Path) -> None:
    said = textmill("run", "textmill.toml", "--set", "distill.text=body", cwd=project)
    assert said.returncode == 2
    assert "body" in said.stderr
    assert not (project / "runs" / "train").exists()
    said = textmill("run", "textmill.toml", cwd=project)
    assert said.returncode == 0, said.stdout + said.stderr
    manifest = read_json(project / "models" / "1" / "assets.extra" / "manifest.json")
    assert manifest["metrics"]["accuracy"] >= 0.8
    assert manifest["metrics"]["teacher"]["accuracy"] >= 0.8
    (student,) = (project / "runs" / "distill").glob("*/config.json")
    assert read_json(student)["config"]["num_layers"] == 1
    (blessing,) = (project / "runs" / "check").glob("*/blessing.json")
    assert {row["status"] for row in read_json(blessing)} <= {"passed", "skipped"}
    answer = json.loads(textmill("predict", "models", "a wonderful cast", cwd=project).stdout)
    assert answer["label"] in ("pos", "neg")
    lineage = textmill("lineage", "models/1", cwd=project).stdout
    for part in ("distill(", "train(", "more.txt", "reviews.csv"):
        assert part in lineage
    again = textmill("run", "textmill.toml", cwd=project)
    assert again.stdout.count(": cached in ") == 12, again.stdout
