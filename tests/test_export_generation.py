"""A model that writes, exported: what it answers is what Keras says, and `check` would see else."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exported import asked
from test_cli import textmill
from test_text_generation import SCRATCH, examples, trained  # noqa: F401 - a fixture
from textmill.artifact import Examples, Model, Saved, Tokens
from textmill.components.adopt_generation import adopt_generation
from textmill.components.cleaning import UNTOUCHED
from textmill.components.export_generation import export_generation
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.components.sources.conversations import Conversations
from textmill.components.tokenize_generation import tokenize_generation
from textmill.errors import UserError
from textmill.models import causal_lm
from textmill.models.preset import Preset
from textmill.models.tokenizer import read_tokenizer
from textmill.serving.contract import check_contract
from textmill.serving.defaults import Defaults
from textmill.serving.precision import Name
from textmill.serving.text_rules import _alone
from tiny_examples import empty
from tiny_models import edit_manifest

EQUAL, ALONE = "equal to the trained model", "independent of the batch"
HOW = Defaults(max_new_tokens=10)


@pytest.fixture(scope="module")
def model(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Model:  # noqa: F811
    folder = tmp_path_factory.mktemp("writer")
    tokens = empty(Tokens, folder / "tokens")
    tokenize_generation(tokens, examples, preset=SCRATCH, max_length=64)
    return trained(tokens, folder / "model", epochs=4)


@pytest.fixture(scope="module")
def good(model: Model, examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    out = Saved(tmp_path_factory.mktemp("saved") / "models" / "1")
    export_generation(out, model, examples, defaults=HOW)
    return out.path


@pytest.fixture
def saved(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "models" / "1")


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "assets.extra" / "manifest.json").read_text())
    return found


def failed(folder: Path) -> dict[str, str]:
    rows = check_contract(folder).rows
    assert {"signature generate", "signature score"} <= {row.rule for row in rows}
    return {row.rule: row.found for row in rows if row.status == "failed"}


def test_a_good_model_passes_every_rule(good: Path) -> None:
    proof = check_contract(good)
    status = {row.rule: row.status for row in proof.rows}
    skipped = [rule for rule, each in status.items() if each == "skipped"]
    assert skipped == ["loads elsewhere", "latency", "memory"]  # not asked for
    assert proof.holds
    assert proof.measured["latency_ms"]["p50"] > 0


def test_golden_answers_are_those_of_kerashub(good: Path, model: Model) -> None:
    """Its own loop, with its caches and its sampler, writes the same."""
    tokenizer, about = read_tokenizer(model.tokenizer_file), model.task()
    network = causal_lm.load(model.path)
    network.compile(sampler="greedy", jit_compile=False)
    rows = [row for row in manifest(good)["golden"] if row["max_new_tokens"]]
    rows = [row for row in rows if len(row["prompt"]) < 8][:6]
    assert len({row["answer"] for row in rows}) > 1
    for row in rows:
        ids = [*about["framing"]["before"], *tokenizer.encode(row["prompt"]).ids]
        # Of 0, which ends a text, KerasHub would think that all rows have ended.
        whole = np.ones((1, len(ids) + row["max_new_tokens"]), np.int32)
        whole[0, : len(ids)] = ids
        given = {"token_ids": whole, "padding_mask": (np.arange(whole.shape[1]) < len(ids))[None]}
        made = network.generate(given, stop_token_ids=about["stop"])["token_ids"][0]
        after = [int(i) for i in made[len(ids) :]]
        end = next((n for n, i in enumerate(after) if i in about["stop"]), len(after))
        assert tokenizer.decode(after[:end]) == row["answer"]


def test_golden_rows_hold_strange_and_long_prompts(good: Path) -> None:
    rows = manifest(good)["golden"]
    assert max(len(row["prompt"]) for row in rows) > 5 * manifest(good)["longest"] / 2
    assert "" in [row["prompt"] for row in rows]
    assert sum(row["max_new_tokens"] > 3 for row in rows) > len(rows) / 2


@pytest.mark.parametrize(
    "other", [{"answer": "else"}, {"log_probability": -1e3}, {"log_probability": math.nan}]
)
def test_another_answer_is_seen(other: dict[str, Any], saved: Path) -> None:
    golden = manifest(saved)["golden"]
    edit_manifest(saved, golden=[*golden[:3], golden[3] | other, *golden[4:]])
    assert list(failed(saved)) == [EQUAL]


def test_a_model_without_golden_rows_is_asked_all_the_same(saved: Path) -> None:
    edit_manifest(saved, golden=[])
    status = {row.rule: row.status for row in check_contract(saved).rows}
    rules = (EQUAL, ALONE, "an answer for each")
    assert [status[rule] for rule in rules] == ["skipped", "passed", "passed"]


def test_a_text_that_depends_on_the_batch_is_seen(good: Path) -> None:
    """No graph of ours does: so the rule is asked by itself."""
    said = [{"text": ["a", "b"]}, {"text": ["a"]}, {"text": ["c"]}]
    row = _alone(said)
    assert (row.status, row.found) == ("failed", "'c' alone, and 'b' in a batch")
    assert _alone([*said[:2], {"text": ["b"]}]).status == "passed"


def test_conversations(tmp_path: Path) -> None:
    """A prompt is what a user says first; a whole conversation may have more turns."""
    rows = [f"What is {i} and {j}?\tIt is {i + j}." for i in range(12) for j in range(12)]
    (tmp_path / "sums.tsv").write_text("\n".join(["prompt\tresponse", *rows]))
    source = Conversations(open_source(str(tmp_path / "sums.tsv")), "", "prompt", "response")
    sums, ids = Examples(tmp_path / "examples"), empty(Tokens, tmp_path / "tokens")
    ingest(sums, source, label=None, cleaning=UNTOUCHED)
    tokenize_generation(ids, sums, preset=SCRATCH, max_length=80, conversations=True)
    out = Saved(tmp_path / "saved")
    export_generation(out, trained(ids, tmp_path / "model"), sums, defaults=HOW)
    assert failed(out.path) == {}
    about = manifest(out.path)
    assert about["more_signatures"] == ["conversation"]
    assert "{% for message in messages %}" in about["chat_template"]
    row = next(row for row in about["golden"] if row["prompt"].startswith("What is"))
    assert row["conversation"] == f"User:\n{row['prompt']}\nAssistant:\n"
    wishes = {name: [value] for name, value in HOW.wishes().items()}
    longer = f"User:\nWhat is 1 and 2?\nAssistant:\nIt is 3.<|endoftext|>\n{row['conversation']}"
    found = asked(out.path, "conversation", conversation=[longer.encode()], **wishes)
    plain = asked(out.path, "serving_default", prompt=[row["prompt"].encode()])
    assert found["tokens_generated"] > 0
    assert plain["text"].tolist() != [b""]
    edit_manifest(
        out.path, golden=[{**each, "conversation": "User:\n"} for each in about["golden"]]
    )
    assert failed(out.path)[EQUAL].startswith("conversation: ")


def test_equal_models_give_equal_bytes(
    good: Path,
    model: Model,
    examples: Examples,  # noqa: F811
    tmp_path: Path,
) -> None:
    again = Saved(tmp_path / "again")
    export_generation(again, model, examples, defaults=HOW)
    for file in sorted(f for f in good.rglob("*") if f.is_file()):
        assert (again.path / file.relative_to(good)).read_bytes() == file.read_bytes(), file


@pytest.mark.parametrize("precision", ["bfloat16", "int8_weights"])
def test_fewer_bits_pass_too(precision: Name, model: Model, tmp_path: Path) -> None:
    out = Saved(tmp_path / "saved")
    export_generation(out, model, precision=precision, defaults=HOW)
    assert failed(out.path) == {}
    assert (
        manifest(out.path)["parameters"]["bytes"]
        < 0.6 * 4 * manifest(out.path)["parameters"]["count"]
    )


def test_stop_strings_and_defaults(good: Path, model: Model, tmp_path: Path) -> None:
    (plain,) = asked(good, "serving_default", prompt=[b"the"])["text"]
    word = plain.decode().split()[1]
    out = Saved(tmp_path / "saved")
    export_generation(out, model, defaults=HOW, stop=(word,))
    (cut,) = asked(out.path, "serving_default", prompt=[b"the"])["text"]
    assert cut.decode() == plain.decode().partition(word)[0]
    assert failed(out.path) == {}
    with pytest.raises(UserError, match="temperature = -1"):
        export_generation(Saved(tmp_path / "other"), model, defaults=HOW._replace(temperature=-1))


def test_a_checkpoint_is_exported_as_it_is(
    good: Path,
    model: Model,
    tmp_path: Path,
) -> None:
    """By its own folder, and with fewer tokens if that is wished for."""
    adopted = Model(tmp_path / "adopted", "d" * 64)
    adopt_generation(adopted, checkpoint=Preset(str(model.path)), max_length=16)
    assert adopted.task()["longest"] == 16
    out = Saved(tmp_path / "saved")
    export_generation(out, adopted, defaults=HOW._replace(max_new_tokens=5))
    assert failed(out.path) == {}
    prompts = [b"the", b""]
    numbers = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0}
    numbers |= {"min_new_tokens": 0, "max_new_tokens": 5, "seed": 0}
    wishes = {name: [value] * 2 for name, value in numbers.items()}
    ours, theirs = (
        asked(each, "generate", prompt=prompts, **wishes)["text"].tolist()
        for each in (good, out.path)
    )
    assert ours == theirs
    with pytest.raises(UserError, match="--max-length 1000000"):
        adopt_generation(adopted, checkpoint=Preset(str(model.path)), max_length=1000000)


def test_predictions_in_the_shell(good: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_bytes(b"the\n\n\xff broken\n")
    said = textmill("predict", str(good), "--file", "prompts.txt", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert [row["prompt"] for row in rows] == ["the", "", "\ufffd broken"]
    (text,) = asked(good, "serving_default", prompt=[b"the"])["text"]
    assert rows[0]["text"] == text.decode()
    assert all(0 < row["tokens_generated"] <= 10 for row in rows)
    once, again = (
        textmill(
            "predict", str(good), "the", *sets("temperature=1.5", f"seed={seed}"), cwd=tmp_path
        )
        for seed in (3, 4)
    )
    assert once.returncode == 0, once.stderr
    assert once.stdout != again.stdout


def sets(*wishes: str) -> list[str]:
    return [word for wish in wishes for word in ("--set", wish)]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("max_new_tokens=0", "max_new_tokens = 0 can't be"),
        ("max_new_tokens=99999", "expected: 1 to"),
        ("max_new_tokens=1.5", "a whole number"),
        ("temperature=hot", "--set temperature=hot can't be read"),
        ("temprature=1", "did you mean temperature?"),
        ("top_p=0", "top_p = 0.0 can't be"),
    ],
)
def test_impossible_wishes(wish: str, message: str, good: Path, tmp_path: Path) -> None:
    said = textmill("predict", str(good), "the", "--set", wish, cwd=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert message in said.stderr
    assert "Traceback" not in said.stderr
