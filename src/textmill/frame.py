"""What stands around a text before a model reads it: a tokenizer's template of special tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from textmill.errors import UserError


class Frame(NamedTuple):
    """The special tokens around a text, or around two.

    Attributes:
        before: Ids in front of a text: [CLS].
        between: Ids between two texts: [SEP], or </s></s>.
        after: Ids behind: [SEP].
        separator: The id behind which all tokens belong to the second text and have segment 1;
            None where a model tells two texts apart by their places alone.
        unknown: The id of a word of which a tokenizer leaves nothing, where each word counts.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    separator: int | None
    unknown: int = 0

    def room(self, max_length: int, *, pair: bool = False) -> int:
        """Returns how many tokens are left for texts.

        Raises:
            UserError: Fewer than one a text.

        Example:
            >>> Frame((2,), (3,), (3,), 3).room(8), Frame((2,), (3,), (3,), 3).room(8, pair=True)
            (6, 5)
        """
        special = len(self.before) + len(self.after) + (len(self.between) if pair else 0)
        texts = 2 if pair else 1
        if max_length < special + texts:
            raise UserError(
                f"max_length = {max_length} leaves no room for text",
                expected=f"at least {special + texts}, {special} of them special tokens",
                received=str(max_length),
                fix="set model.max_length to the tokens that a text may have, 256 for example",
            )
        return max_length - special


def read_frame(tokenizer_file: Path) -> Frame:
    """Returns the frame that a `tokenizer.json` describes.

    Raises:
        UserError: Its post-processor does more than put special tokens around texts.

    Source: `post_processors` of https://huggingface.co/docs/tokenizers.
    """
    whole = json.loads(tokenizer_file.read_text("utf-8"))
    spec, model = whole["post_processor"], whole["model"]
    found = _frame(spec)
    if found is None:
        raise UserError(
            f"{tokenizer_file}: this post-processor is not one that puts tokens around a text",
            expected="a template such as [CLS] $A [SEP]",
            received=json.dumps(spec, ensure_ascii=False)[:200],
            fix="use the tokenizer of a BERT checkpoint, or train one with model.scratch",
        )
    unknown = model.get("unk_id")  # of Unigram; of the others it is a token
    if unknown is None:
        begin = found.before[0] if found.before else 0
        unknown = model["vocab"].get(model.get("unk_token"), begin)
    return found._replace(unknown=unknown)


def _frame(spec: Any) -> Frame | None:
    if spec is None or spec["type"] == "ByteLevel":
        return Frame((), (), (), None)
    if spec["type"] == "Sequence":
        found = [_frame(part) for part in spec["processors"]]
        around = [f for f in found if f is not None and f != Frame((), (), (), None)]
        return around[0] if len(around) == 1 and None not in found else None
    if spec["type"] in ("BertProcessing", "RobertaProcessing"):
        first, last = (spec["cls"][1],), (spec["sep"][1],)
        if spec["type"] == "RobertaProcessing":
            return Frame(first, last * 2, last, None)
        return Frame(first, last, last, last[0])
    if spec["type"] != "TemplateProcessing":
        return None
    single, pair = _parts(spec, "single"), _parts(spec, "pair")
    if len(single) != 2 or len(pair) != 3 or pair[0] != single[0]:
        return None if len(single) != 2 else Frame(single[0], single[1], single[1], None)
    second = next(p["Sequence"]["type_id"] for p in spec["pair"] if _is(p, "B"))
    separator = pair[1][-1] if second and pair[1] else None
    return Frame(pair[0], pair[1], pair[2], separator)


def _parts(spec: Any, name: str) -> list[tuple[int, ...]]:
    """Returns the ids before, between and behind the texts of a template."""
    found: list[tuple[int, ...]] = [()]
    for part in spec[name]:
        if "Sequence" in part:
            found.append(())
        else:
            ids = spec["special_tokens"][part["SpecialToken"]["id"]]["ids"]
            found[-1] = (*found[-1], *ids)
    return found


def _is(part: Any, text: str) -> bool:
    return bool("Sequence" in part and part["Sequence"]["id"] == text)
