"""How a checkpoint decodes: which of its files says it, what is taken over, and what is told."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from textmill.errors import UserError
from textmill.models.generation_config import (
    LEFT_OUT,
    TAKEN,
    WITHOUT_EFFECT,
    Decoding,
    decoding,
    end_ids,
)
from textmill.models.pair_frame import decoder_start
from textmill.models.preset import Preset


def checkpoint(
    folder: Path, generation: dict[str, Any] | None, kind: str = "llama", **config: Any
) -> Preset:
    folder.mkdir(exist_ok=True)
    about = {"model_type": kind, "vocab_size": 100, "max_position_embeddings": 64, **config}
    (folder / "config.json").write_text(json.dumps(about))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return Preset(str(folder))


def read(folder: Path, generation: dict[str, Any] | None, **config: Any) -> Decoding:
    return decoding(checkpoint(folder, generation, **config), longest=64)


def test_every_key_of_transformers_is_taken_over_or_told(tmp_path: Path) -> None:
    """Its source is read, for importing it takes torch along."""
    (place,) = find_spec("transformers").submodule_search_locations  # type: ignore[union-attr]
    source = (Path(place) / "generation" / "configuration_utils.py").read_text()
    start = source.index("class GenerationConfig")
    body = source[start : source.index("def __hash__", start)]
    keys = set(re.findall(r'kwargs\.pop\("(\w+)"', body))
    assert len(keys) > 60
    assert keys == {*TAKEN, *WITHOUT_EFFECT, *LEFT_OUT}
    assert len(keys) == len(TAKEN) + len(WITHOUT_EFFECT) + len(LEFT_OUT)
    for key in LEFT_OUT:
        found = read(tmp_path, {"eos_token_id": 1, "do_sample": True, key: 0.123})
        assert [line for line in found.told if key in line and "left out" in line]
    for key in WITHOUT_EFFECT:
        assert read(tmp_path, {"eos_token_id": 1, key: 0.123}).told == []


def test_generation_config_wins(tmp_path: Path) -> None:
    """As with transformers 5.24 the keys of config.json count where the other file is missing."""
    both = read(tmp_path / "a", {"eos_token_id": [2, 3, 2]}, eos_token_id=4, repetition_penalty=1.5)
    assert (both.stop, both.defaults, both.start) == ([2, 3], {}, None)
    assert read(tmp_path / "b", {"bos_token_id": 1}, eos_token_id=4).stop == []
    old = read(tmp_path / "c", None, eos_token_id=[4, 5], repetition_penalty=1.5, bos_token_id=0)
    assert (old.stop, old.defaults, old.start) == ([4, 5], {"repetition_penalty": 1.5}, 0)
    assert end_ids(Preset(str(tmp_path / "c"))) == [4, 5]


def test_what_is_drawn(tmp_path: Path) -> None:
    warm = {"temperature": 0.6, "top_p": 0.9, "min_p": 0.1, "eos_token_id": 1}
    assert read(tmp_path, warm).defaults == {}  # without do_sample nothing is drawn
    assert read(tmp_path, warm).told == []
    drawn = read(tmp_path, {**warm, "do_sample": True})
    assert drawn.defaults == {"temperature": 0.6, "top_k": 50, "top_p": 0.9}
    assert [line.split(" = ")[0] for line in drawn.told] == ["generation_config.json: min_p"]
    cold = read(tmp_path, {"do_sample": True, "num_beams": 4, "length_penalty": 2.0})
    assert cold.defaults == {"num_beams": 4, "length_penalty": 2.0}
    assert "nothing is drawn" in cold.told[0]
    hot = read(tmp_path, {"do_sample": True, "top_k": 0})
    assert hot.defaults == {"temperature": 1.0, "top_k": 0, "top_p": 1.0}


def test_lengths(tmp_path: Path) -> None:
    """A decoder counts its prompt, an encoder-decoder the tokens before its text."""
    alone = read(tmp_path / "a", {"min_length": 9, "max_length": 40, "max_new_tokens": 500})
    assert alone.processors == {"min_length": 9}
    assert alone.defaults == {"max_new_tokens": 63}
    assert read(tmp_path / "a", {"min_length": 9, "min_new_tokens": 3}).processors == {}
    assert "counts the prompt" in read(tmp_path / "a", {"max_length": 40}).told[0]
    summaries = {"min_length": 9, "max_length": 40, "forced_bos_token_id": 0, "num_beams": 4}
    bart = checkpoint(tmp_path / "b", {**summaries, "forced_eos_token_id": 2}, kind="bart")
    found = decoding(bart, longest=64, begin=1)
    assert found.forced == 0
    assert found.processors == {"forced_eos": [2]}
    assert found.defaults == {"num_beams": 4, "min_new_tokens": 8, "max_new_tokens": 39}
    free = checkpoint(tmp_path / "c", {"min_new_tokens": 5, "max_new_tokens": 9}, kind="bart")
    found = decoding(free, longest=64, begin=1)
    assert (found.forced, found.defaults) == (None, {"min_new_tokens": 5, "max_new_tokens": 9})


def test_a_text_that_ends_before_it_begins(tmp_path: Path) -> None:
    """`generate()` writes no text at all then."""
    bart = checkpoint(tmp_path, {"forced_bos_token_id": 2, "eos_token_id": [1, 2]}, kind="bart")
    with pytest.raises(UserError, match="forced_bos_token_id can't be"):
        decoding(bart, longest=64, begin=1)


def test_where_a_decoder_starts(tmp_path: Path) -> None:
    old = checkpoint(tmp_path / "a", None, kind="bart", force_bos_token_to_be_generated=True,
                     bos_token_id=3)  # fmt: skip
    assert decoding(old, longest=64, begin=1).forced == 3
    assert decoder_start(old, 9) == 3
    named = checkpoint(tmp_path / "b", {"decoder_start_token_id": 2, "bos_token_id": 0})
    assert decoder_start(named, 9) == 2
    assert decoder_start(checkpoint(tmp_path / "c", {}), 9) == 9


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eos_token_id", 100),
        ("eos_token_id", ["</s>"]),
        ("suppress_tokens", [-1]),
        ("min_length", "8"),
        ("num_beams", 1.5),
        ("do_sample", "yes"),
        ("repetition_penalty", True),
        ("bad_words_ids", [3]),
        ("sequence_bias", {"3": 1.0}),
        ("early_stopping", "soon"),
        ("stop_strings", [3]),
    ],
)
def test_values_that_can_not_be(key: str, value: Any, tmp_path: Path) -> None:
    beams = {"num_beams": 2} if key == "early_stopping" else {}
    with pytest.raises(UserError, match=f"generation_config.json: {key} can't be"):
        read(tmp_path, {**beams, key: value})


def test_what_nobody_knows_is_told(tmp_path: Path) -> None:
    (line,) = read(tmp_path, {"chat_format": "chatml"}).told
    assert line.startswith("generation_config.json: chat_format")
    assert read(tmp_path, {"stop_strings": "end"}).stop_strings == ["end"]
