"""What is done to logits whatever a request says: the tokens of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generating_models import PROCESSED
from textmill.components.processed import processed
from textmill.models.generation_config import decoding
from textmill.models.preset import Preset
from textmill.serving.decoder import Decoder
from textmill.serving.endings import Endings
from textmill.serving.processors import Processors
from writing import ROWS, decoder, written


@pytest.fixture(scope="module")
def gpt2(generating: Path) -> Decoder:
    return decoder(generating / "gpt2")


def said(folder: Path, how: dict[str, Any], ends: list[int]) -> tuple[dict[str, Any], Processors]:
    """Returns how a checkpoint with these keys decodes, as an export reads it."""
    config = {"model_type": "gpt2", "vocab_size": 120, "n_positions": 64}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({**how, "eos_token_id": ends}))
    found = decoding(Preset(str(folder)), longest=64)
    assert found.told == []
    assert found.stop == ends
    return found.defaults, Processors(**found.processors)


@pytest.mark.parametrize("way", PROCESSED)
def test_tokens_are_those_of_transformers(
    way: str, generating: Path, gpt2: Decoder, tmp_path: Path
) -> None:
    golden = json.loads((generating / "gpt2" / "generated.json").read_text())
    ends = golden["ends"]
    defaults, processors = said(tmp_path, PROCESSED[way], ends)
    found, count = written(gpt2, ROWS, Endings(tuple(ends)), processors=processors, **defaults)
    assert found == [[i for i in row if i not in ends] for row in golden[way]]
    assert count == list(map(len, golden[way]))
    plain = "beams" if "beams" in way else "greedy"
    assert golden[way] != golden[plain]


def test_golden_rows_take_the_same_tokens(gpt2: Decoder) -> None:
    """What is computed for them a text at a time forbids what the graph forbids."""
    done = Processors(
        no_repeat_ngram_size=2,
        min_length=12,
        forced_bos=[31],
        suppressed=[40, 41],
        suppressed_first=list(range(8, 70)),
        bad_words=[[71], [72, 73]],
        sequence_bias=[([90], 2.0), ([91, 92], -9.0)],
    )
    ends = Endings((7, 30))
    texts, _ = written(gpt2, ROWS, ends, processors=done)
    for row, new in zip(ROWS, texts, strict=True):
        for step, token in enumerate(new):
            likely = np.zeros(120)
            given = {"step": step, "endings": ends, "processors": done}
            found = processed(likely, [*row, *new[:step]], **given)  # type: ignore[arg-type]
            assert found[token] > -np.inf
            forced = len(row) == 1 and step == 0
            assert np.isneginf(found[7]) == (forced or len(row) + step < 12)
    assert texts[3][0] == 31
    assert len(set(zip(texts[0], texts[0][1:], strict=False))) == len(texts[0]) - 1
