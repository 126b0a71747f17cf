"""The signature `tokens`: rows of token ids in, what `serving_default` says of their texts out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exported import asked, exported
from textmill.artifact import read_json
from textmill.serving.contract import check_contract
from tiny_models import load_tokenizer

CASES = [("one", False), ("number", True), ("many", False), ("tags", False)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0] + " pairs" * case[1])
def served(
    request: pytest.FixtureRequest, theirs: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, bool, Path]:
    head, pair = request.param
    folder = tmp_path_factory.mktemp("served")
    return head, pair, exported(theirs / f"text-{head}", folder, pair=pair)


def ids_of(folder: Path, texts: list[str], pairs: list[str] | None) -> tuple[Any, Any]:
    """Returns token ids by the `tokenizers` library, padded behind, and their mask."""
    tokenizer = load_tokenizer(folder.parent / "model" / "textmill" / "tokenizer.json", 64)
    given = texts if pairs is None else list(zip(texts, pairs, strict=True))
    rows = [encoding.ids for encoding in tokenizer.encode_batch(given)]
    longest = max(map(len, rows)) + 2  # a client may pad to whatever length it likes
    mask = (np.arange(longest) < np.array([[len(row)] for row in rows])).astype(np.int32)
    ids = np.full(mask.shape, 7, np.int32)  # with whatever it likes
    ids[mask > 0] = np.concatenate(rows)
    return ids, mask


def test_ids_get_the_answers_of_their_texts(served: tuple[str, bool, Path], theirs: Path) -> None:
    head, pair, folder = served
    texts = read_json(theirs / f"text-{head}" / "answers.json")["texts"]
    others = texts[::-1] if pair else None
    ids, mask = ids_of(folder, texts, others)
    found = asked(folder, "tokens", token_ids=ids, padding_mask=mask)
    given = {"text": np.array([t.encode() for t in texts], object)}
    if others:
        given["text_pair"] = np.array([t.encode() for t in others], object)
    wanted = asked(folder, "serving_default", **given)
    if head != "tags":
        assert found.keys() == wanted.keys()
        for name in found:
            if name == "label":
                assert (found[name] == wanted[name]).all()
            else:
                np.testing.assert_allclose(found[name], wanted[name], atol=1e-5)
        return
    tags = ["O", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    assert found["scores"].shape == (*mask.shape, len(tags))
    assert (found["scores"][mask == 0] == 0).all()
    assert set(found["label"][mask == 0]) == {b""}
    np.testing.assert_allclose(found["scores"][mask > 0].sum(1), 1, atol=1e-5)
    assert [tags[i].encode() for i in found["scores"][mask > 0].argmax(1)] == list(
        found["label"][mask > 0]
    )
    np.testing.assert_array_equal(found["score"], found["scores"].max(-1))
    # As many spans begin with "B-" as texts have, counting first pieces of words alone is not
    # asked here: every named span's tag is among those of its text's tokens.
    for row, labels in enumerate(wanted["label"]):
        there = {tag[2:] for tag in found["label"][row] if tag}
        assert {name for name in labels if name} <= there


def test_a_row_without_tokens_spoils_no_other(served: tuple[str, bool, Path], theirs: Path) -> None:
    head, pair, folder = served
    texts = read_json(theirs / f"text-{head}" / "answers.json")["texts"][:4]
    ids, mask = ids_of(folder, texts, texts if pair else None)
    whole = asked(folder, "tokens", token_ids=ids, padding_mask=mask)
    name = next(n for n in ("scores", "value") if n in whole)
    more = asked(
        folder,
        "tokens",
        token_ids=np.concatenate([0 * ids[:1], ids]),
        padding_mask=np.concatenate([0 * mask[:1], mask]),
    )
    np.testing.assert_allclose(more[name][1:], whole[name], atol=1e-6)
    nothing = np.zeros((0, 0), np.int32)
    none = asked(folder, "tokens", token_ids=nothing, padding_mask=nothing)
    assert len(none[name]) == 0


def test_it_is_a_signature_of_the_contract(theirs: Path, tmp_path: Path) -> None:
    folder = exported(theirs / "text-number", tmp_path, pair=True)
    rows = {row.rule: row for row in check_contract(folder).rows}
    assert rows["signature tokens"].status == rows["raw text"].status == "passed"
    assert rows["signature tokens"].found.startswith("token_ids, padding_mask -> ")
