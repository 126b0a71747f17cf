from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.artifact import SPLITS, Tokens, content, digest_files
from textmill.components import token_rows, token_shards
from textmill.components.records import records as serialized
from textmill.components.tokenize import tokenize
from textmill.errors import UserError
from textmill.models.preset import Preset
from textmill.models.tokenizer import read_tokenizer
from tiny_examples import SCRATCH, empty, make_examples, review_examples

ROWS = [("a warm film", "good"), ("a cold film " * 9, "bad"), ("", "good")]


def records(tokens: Tokens, split: str) -> list[tuple[list[int], int, int]]:
    import tensorflow as tf

    found = []
    for record in tf.data.TFRecordDataset(tokens.shards(split)):  # type: ignore[arg-type]
        feature = tf.train.Example.FromString(record.numpy()).features.feature
        values = [list(feature[n].int64_list.value) for n in ("token_ids", "label", "row")]
        found.append((values[0], values[1][0], values[2][0]))
    return found


def test_records_hold_what_the_tokenizer_makes_of_each_row(tmp_path: Path) -> None:
    examples = make_examples(tmp_path / "x", train=ROWS, test=ROWS[:1])
    tokens = empty(Tokens, tmp_path / "tokens")
    tokenize(tokens, examples, preset=SCRATCH, max_length=16)

    tokenizer, info = read_tokenizer(tokens.tokenizer_file), tokens.info()
    assert info["labels"] == ["bad", "good"]
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    for row, ((text, label), record) in enumerate(zip(ROWS, records(tokens, "train"), strict=True)):
        ids, found_label, found_row = record
        whole = tokenizer.encode(text).ids
        assert ids == (whole if len(whole) <= 16 else [*whole[:15], sep])
        assert ids[0] == cls
        assert ids[-1] == sep
        assert (info["labels"][found_label], found_row) == (label, row)
    assert records(tokens, "validation") == []
    assert len(records(tokens, "test")) == 1


def test_counts_add_up(tmp_path: Path) -> None:
    examples = make_examples(tmp_path / "x", train=ROWS, test=ROWS[:1])
    tokens = empty(Tokens, tmp_path / "tokens")
    tokenize(tokens, examples, preset=SCRATCH, max_length=16)
    info = tokens.info()
    assert info["rows"] == {"train": 3, "validation": 0, "test": 1}
    assert info["truncated"] == {"train": 1, "validation": 0, "test": 0}
    for split in SPLITS:
        lengths = [len(ids) for ids, _, _ in records(tokens, split)]
        assert info["tokens"][split] == sum(lengths)
        assert info["lengths"][split] == [lengths.count(n) for n in range(17)]


def test_long_splits_are_cut_into_shards_that_keep_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_shards, "ROWS_PER_SHARD", 7)
    rows = [(f"film {n}", "ab"[n % 2]) for n in range(15)]
    tokens = empty(Tokens, tmp_path / "tokens")
    tokenize(tokens, make_examples(tmp_path / "x", train=rows), preset=SCRATCH, max_length=16)
    assert len(tokens.shards("train")) == 3
    assert [row for _, _, row in records(tokens, "train")] == list(range(15))


def test_how_much_is_tokenized_at_a_time_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = review_examples(tmp_path / "x", rows=40)
    made = []
    for size in (1, 500, 4 << 20):
        monkeypatch.setattr(token_rows, "BYTES", size)
        made.append(empty(Tokens, tmp_path / str(size)))
        tokenize(made[-1], examples, preset=SCRATCH)
    assert len({digest_files(content(tokens.path)) for tokens in made}) == 1


@given(
    rows=st.lists(
        st.tuples(
            st.lists(st.integers(0, 2**63 - 1), max_size=200),
            st.lists(st.floats(width=32, allow_nan=False), max_size=3),
        ),
        max_size=5,
    )
)
def test_records_are_what_protobuf_writes(rows: list[tuple[list[int], list[float]]]) -> None:
    import tensorflow as tf

    expected = []
    for ids, numbers in rows:
        example = tf.train.Example()
        # Named, an empty list is there all the same.
        example.features.feature["token_ids"].int64_list.SetInParent()
        example.features.feature["token_ids"].int64_list.value.extend(ids)
        example.features.feature["label"].float_list.SetInParent()
        example.features.feature["label"].float_list.value.extend(numbers)
        expected.append(example.SerializeToString(deterministic=True))
    ids, numbers = ([value for row in rows for value in row[i]] for i in (0, 1))
    starts = [np.cumsum([0, *(len(row[i]) for row in rows)]) for i in (0, 1)]
    found = serialized(
        {
            "token_ids": (np.array(ids, np.int64), starts[0]),
            "label": (np.array(numbers, np.float32), starts[1]),
        }
    )
    assert list(found) == expected


def test_equal_examples_give_equal_bytes(tmp_path: Path) -> None:
    examples = review_examples(tmp_path / "x", rows=40)
    made = [empty(Tokens, tmp_path / name) for name in ("one", "two")]
    for tokens in made:
        tokenize(tokens, examples, preset=SCRATCH)
    assert len({digest_files(content(tokens.path)) for tokens in made}) == 1


def test_a_new_tokenizer_knows_the_training_split_only(tmp_path: Path) -> None:
    rows = [("zebra zebra zebra", "a")]
    examples = make_examples(tmp_path / "x", train=ROWS * 3, test=[(rows[0][0], "good")])
    tokens = empty(Tokens, tmp_path / "tokens")
    tokenize(tokens, examples, preset=SCRATCH)
    assert "##z" not in read_tokenizer(tokens.tokenizer_file).get_vocab()


def test_a_label_that_training_never_sees_is_an_error(tmp_path: Path) -> None:
    examples = make_examples(tmp_path / "x", train=ROWS, test=[("a film", "godo")])
    with pytest.raises(UserError, match=r"the test split has a label(.|\n)*'good'"):
        tokenize(empty(Tokens, tmp_path / "tokens"), examples, preset=SCRATCH)


def test_more_tokens_than_the_model_has_positions_for_is_an_error(tmp_path: Path) -> None:
    examples = make_examples(tmp_path / "x", train=ROWS)
    with pytest.raises(UserError, match=r"at most 512 tokens(.|\n)*model.max_length = 512"):
        tokenize(empty(Tokens, tmp_path / "tokens"), examples, preset=SCRATCH, max_length=513)


def test_a_tokenizer_that_is_larger_than_the_embedding_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 5}))
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfilm\n")
    examples = make_examples(tmp_path / "x", train=ROWS)
    with pytest.raises(UserError, match="the tokenizer is not this model's"):
        tokenize(empty(Tokens, tmp_path / "tokens"), examples, preset=Preset(str(tmp_path)))
