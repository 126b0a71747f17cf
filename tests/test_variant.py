"""Names of variants, and what is exported of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from textmill.artifact import Model, Saved
from textmill.components.adopt import adopt
from textmill.components.candidates import read_candidates
from textmill.components.export import export
from textmill.components.variant import variant
from textmill.models.preset import Preset
from tiny_examples import empty


def test_one_that_can_be_is_what_export_writes(theirs: Path, tmp_path: Path) -> None:
    model = Model(tmp_path / "model", "d" * 64)
    adopt(model, checkpoint=Preset(str(theirs / "text-one")))
    one, other = (empty(Saved, tmp_path / name) for name in ("one", "other"))
    variant(one, model, precision="bfloat16")
    export(other, model, precision="bfloat16")
    assert one.manifest() == other.manifest()
    assert one.manifest()["precision"] == "bfloat16"
    assert not one.refusal()


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["bfloat16", " bfloat16 ", "bfloat16"], ["bfloat16"]),
        (["bfloat16+distilled", "distilled+bfloat16"], ["distilled+bfloat16"]),
        (["bfloat16+pruned_vocabulary+distilled"], ["distilled+pruned_vocabulary+bfloat16"]),
        (["float32", "float32+distilled", "distilled"], ["distilled"]),
        (["int8+pruned_vocabulary"], ["pruned_vocabulary+int8"]),
        ([], []),
    ],
)
def test_equal_candidates_are_one(names: list[str], wanted: list[str]) -> None:
    assert [each.name for each in read_candidates(names)] == ["float32", *wanted]
