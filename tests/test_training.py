from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from killing import kill, steps
from textmill.artifact import Tokens
from textmill.components.tokenize import tokenize
from textmill.errors import UserError
from textmill.models import text_classification as task
from textmill.models import training
from textmill.models.settings import Settings
from textmill.models.training import Learned, Training
from tiny_examples import SCRATCH, empty, review_examples


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder = tmp_path_factory.mktemp("tokens")
    made = empty(Tokens, folder / "tokens")
    tokenize(made, review_examples(folder / "made", rows=120), preset=SCRATCH, max_length=32)
    return made


def learn(tokens: Tokens, folder: Path, *, task: Any = task, **settings: Any) -> Learned:
    # "auto" would take bfloat16 on a machine that is quicker with it, and round.
    known = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": "float32"}
    given = Settings(**{**known, **settings})
    return Training(
        tokens, preset=SCRATCH, task=task, dropout=0.0, settings=given, folder=folder
    ).run()


def losses(learned: Learned) -> list[float]:
    return [row[name] for row in learned.history for name in ("loss", "val_loss")]


def test_a_batch_in_pieces_moves_the_weights_as_a_whole_one(tokens: Tokens, tmp_path: Path) -> None:
    whole = learn(tokens, tmp_path / "whole", clip_norm=0.5)
    pieces = learn(tokens, tmp_path / "pieces", clip_norm=0.5, accumulate=3)
    np.testing.assert_allclose(losses(whole), losses(pieces), atol=1e-5)
    assert pieces.facts["steps"] == whole.facts["steps"] == 18
    assert pieces.facts["accumulate"] == 3


@pytest.mark.parametrize(("name", "best"), [("error_rate", 2), ("fluency", 3)])
def test_the_best_epoch_is_what_the_first_figure_says(
    name: str, best: int, tokens: Tokens, tmp_path: Path
) -> None:
    """Less of what is an error by its name, and more of what has a name that does not tell."""
    values = iter([0.3, 0.1, 0.4])

    def metrics(labels: Any, logits: Any, names: list[str]) -> dict[str, float]:
        return {name: next(values), "loss": 1.0}

    known = {key: value for key, value in vars(task).items() if not key.startswith("_")}
    own = SimpleNamespace(**known | {"metrics": metrics})
    assert learn(tokens, tmp_path / "own", task=own, epochs=3).facts["best_epoch"] == best


def test_clipping_changes_the_way(tokens: Tokens, tmp_path: Path) -> None:
    """Adam divides by the gradient's size, so that a clip shows only if it acts unevenly."""
    free, clipped = (learn(tokens, tmp_path / str(clip), clip_norm=clip) for clip in (None, 0.01))
    assert losses(free) != losses(clipped)


def test_mixed_precision_learns_the_same_and_gives_a_float32_model(
    tokens: Tokens, tmp_path: Path
) -> None:
    exact = learn(tokens, tmp_path / "exact")
    mixed = learn(tokens, tmp_path / "mixed", precision="mixed_bfloat16")
    np.testing.assert_allclose(losses(exact), losses(mixed), atol=5e-3)
    assert losses(exact) != losses(mixed)
    assert mixed.facts["precision"] == "mixed_bfloat16"
    assert mixed.model.dtype_policy.name == mixed.model.backbone.dtype_policy.name == "float32"


def test_the_probe_is_left_out_where_results_must_not_hang_on_a_clock(
    tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textmill.models.devices.has_bfloat16", lambda: True)
    tried: list[list[str]] = []

    def quickest(candidates: dict[str, Any]) -> tuple[str, str]:
        tried.append(list(candidates))
        for step in candidates.values():
            step()
        return "mixed_bfloat16", "as a test wants"

    monkeypatch.setattr("textmill.models.devices.quickest", quickest)
    assert learn(tokens, tmp_path / "free", precision="auto").facts["precision"] == "mixed_bfloat16"
    assert tried == [["float32", "mixed_bfloat16"]]
    assert learn(tokens, tmp_path / "set", precision="float32").facts["precision"] == "float32"
    assert len(tried) == 1


class Exploding:
    """A task whose loss is NaN for the third row of a batch."""

    def __getattr__(self, name: str) -> Any:
        return getattr(task, name)

    def loss(self, labels: Any, logits: Any) -> Any:
        import tensorflow as tf

        found = task.loss(labels, logits)
        return tf.where(tf.range(tf.shape(found)[0]) == 2, np.nan, found)


def test_nan_stops_with_the_step_the_rate_and_the_row(tokens: Tokens, tmp_path: Path) -> None:
    from textmill.models.batches import shuffled
    from textmill.models.rows import read_rows

    rows = read_rows(tokens, "train")
    row = rows.places[shuffled(rows.lengths, 8, seed=0, epoch=0)[0][2]]
    with pytest.raises(UserError) as told:
        learn(tokens, tmp_path, task=Exploding(), warmup=0.0)
    assert "became nan in step 1" in told.value.what
    assert f"learning rate of 0.001, in rows {row} of the training split" in told.value.received


def test_an_infinite_rate_names_the_first_rows_only(tokens: Tokens, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="in step 2") as told:
        learn(tokens, tmp_path, learning_rate=1e38, warmup=0.0, batch_size=16)
    assert told.value.received.count(",") >= 7
    assert "and 8 more of the training split" in told.value.received


def test_out_of_memory_splits_the_batch_once(
    tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    from textmill.models.step import Step

    plain = learn(tokens, tmp_path / "plain")
    real, limit = Step.__call__, 1

    def greedy(self: Step, data: Any, rate: float, *, pieces: int = 1) -> Any:
        if pieces <= limit and self.optimizer.iterations > 3:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return real(self, data, rate, pieces=pieces)

    monkeypatch.setattr(Step, "__call__", greedy)
    split = learn(tokens, tmp_path / "split")
    np.testing.assert_allclose(losses(plain), losses(split), atol=1e-5)
    assert split.facts["accumulate"] == 2
    limit = 2
    with pytest.raises(UserError, match="nor half of one"):
        learn(tokens, tmp_path / "twice")


# oneDNN's products crash where memory ends; TensorFlow's own say so, as those of GPUs do.
BIG = """
import os, resource, sys
from pathlib import Path
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
import tensorflow as tf, keras, keras_hub, numpy as np
from textmill.models.optimizers import optimizer_of
from textmill.models.settings import Settings
from textmill.models.step import Step
dense = keras.Sequential([keras.Input((64,)), keras.layers.Dense(20000), keras.layers.Dense(2)])
from textmill.models.text_classification import loss, right
optimizer = optimizer_of(dense, Settings(weight_decay=0.0))
step = Step(dense, optimizer, loss, right, tf.distribute.get_strategy())
def data(rows):
    one = (np.ones((rows, 64), np.float32), np.zeros(rows, np.int32), np.ones(rows, np.float32))
    return iter(tf.data.Dataset.from_tensors(one))
step(data(1), 0.1)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), -1))
before = [v.numpy() for v in dense.variables]
try:
    step(data(100_000), 0.1)
except tf.errors.ResourceExhaustedError:
    print("exhausted", all((a == b.numpy()).all() for a, b in zip(before, dense.variables)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
def test_memory_that_really_runs_out_is_told_and_moves_no_weight() -> None:
    said = subprocess.run([sys.executable, "-c", BIG], capture_output=True, text=True, check=False)
    assert said.stdout.split() == ["exhausted", "True"], said.stderr[-2000:]


def test_a_budget_ends_the_training_with_a_rate_of_zero(
    tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()  # a clock that goes on by as much at each look
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(looks) / 100))
    learned = learn(tokens, tmp_path, epochs=10_000, budget="8s")
    assert learned.history[-1]["learning_rate"] == pytest.approx(0, abs=2e-5)
    assert learned.facts["epochs"] == len(learned.history) < 10_000


def test_a_first_step_that_traces_does_not_end_a_budget(
    tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 rows are scored in the end: at the speed of the first step there were no time for them."""
    from textmill.models.step import Step

    now, real = 0.0, Step.__call__

    def monotonic() -> float:
        nonlocal now
        now += 0.001
        return now

    def slow_at_first(self: Step, *given: Any, **named: Any) -> Any:
        nonlocal now
        now += 10 if now < 10 else 0
        return real(self, *given, **named)

    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(Step, "__call__", slow_at_first)
    learned = learn(tokens, tmp_path, budget="21s", precision="float32")
    assert learned.facts["steps"] == 18


def test_it_logs_for_tensorboard(tokens: Tokens, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    learned = learn(tokens, tmp_path)
    found = EventAccumulator(str(tmp_path / "logs")).Reload()
    tags = found.Tags()["tensors"]
    assert {"step/loss", "step/learning_rate", "step/rows_per_second", "epoch/val_loss"} <= set(
        tags
    )
    assert [event.step for event in found.Tensors("epoch/loss")] == [9, 18]
    import tensorflow as tf

    written = [tf.make_ndarray(e.tensor_proto).item() for e in found.Tensors("epoch/val_loss")]
    assert written == pytest.approx([row["val_loss"] for row in learned.history], rel=1e-5)


SCRIPT = """
import json, os, sys
from pathlib import Path
from textmill.artifact import Tokens
from textmill.quiet import import_tensorflow
import_tensorflow()
import tensorflow as tf
tokens, folder, settings, devices = sys.argv[1:]
if int(devices) > 1:
    cpu = tf.config.list_physical_devices("CPU")[0]
    each = [tf.config.LogicalDeviceConfiguration()] * int(devices)
    tf.config.set_logical_device_configuration(cpu, each)
from textmill.models import text_classification
from textmill.models.preset import Scratch
from textmill.models.settings import Settings
from textmill.models.training import Training
from textmill.progress import listening
class Heard:
    def advanced(self, step, done, total, note): print("at", done, note, flush=True)
    def warned(self, step, text): print("warned", text, flush=True)
with listening(Heard(), "train"):
    training = Training(
        Tokens(Path(tokens)), preset=Scratch("tiny", 400), task=text_classification,
        dropout=0.1 if devices == "1" else 0.0, settings=Settings(**json.loads(settings)),
        folder=Path(folder),
    )
    learned = training.run()
import hashlib
digest = hashlib.sha256(b"".join(w.tobytes() for w in learned.model.get_weights())).hexdigest()
print(json.dumps({"history": learned.history, "facts": learned.facts, "weights": digest}))
"""


def command(tokens: Tokens, folder: Path, devices: int, **settings: Any) -> list[str]:
    known = {"batch_size": 8, "learning_rate": 1e-3, "precision": "float32"}
    given = json.dumps({**known, **settings})
    return [sys.executable, "-c", SCRIPT, str(tokens.path), str(folder), given, str(devices)]


def run(arguments: Sequence[str]) -> dict[str, Any]:
    said = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-3000:]
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return {"said": said.stdout, **found}


@pytest.mark.slow
def test_two_devices_learn_what_one_does(tokens: Tokens, tmp_path: Path) -> None:
    def learned(name: str, **settings: Any) -> dict[str, Any]:
        return run(command(tokens, tmp_path / name, 2, epochs=2, clip_norm=0.3, **settings))

    one = learned("one", strategy="one")
    two = learned("two", strategy="mirrored")
    pieces = learned("pieces", strategy="mirrored", accumulate=2)
    assert [found["facts"]["devices"] for found in (one, two, pieces)] == [1, 2, 2]
    for found in (two, pieces):
        for a, b in zip(one["history"], found["history"], strict=True):
            assert a == pytest.approx(b, abs=2e-5)


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(
    tokens: Tokens, tmp_path: Path
) -> None:
    how = {"epochs": 4, "deterministic": True, "checkpoint_steps": 2}
    whole = run(command(tokens, tmp_path / "whole", 1, **how))
    arguments = command(tokens, tmp_path / "killed", 1, **how)
    for kept in (3, 13):  # in the first epoch, and in the second
        kill(arguments, tmp_path / "killed", steps(kept), stderr=subprocess.DEVNULL)
    again = run(arguments)
    assert "warned going on in epoch" in again["said"]
    assert again["history"] == whole["history"]
    assert again["weights"] == whole["weights"]


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(
    tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    plain = learn(tokens, tmp_path / "plain")
    monkeypatch.setattr("textmill.models.training.save", full)
    assert losses(learn(tokens, tmp_path / "full")) == losses(plain)


def test_packed_by_tokens_every_row_is_still_learned_from(tokens: Tokens, tmp_path: Path) -> None:
    from textmill.models.batches import shuffled
    from textmill.models.rows import read_rows

    lengths = read_rows(tokens, "train").lengths
    batches = shuffled(lengths, 8, seed=0, epoch=0, tokens_per_batch=120)
    learned = learn(tokens, tmp_path, epochs=1, tokens_per_batch=120)
    assert learned.facts["steps"] == len(batches)
    assert all(lengths[b].max() * len(b) <= 120 for b in batches)
