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
        pairs: Whether two texts stand in it; some templates put them as no such frame can.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    separator: int | None
    unknown: int = 0
    pairs: bool = True

    def room(self, max_length: int, *, pair: bool = False) -> int:
        """Returns how many tokens are left for texts.

        Raises:
            UserError: Fewer than one a text; or there is no room for a second text.

        Example:
            >>> Frame((2,), (3,), (3,), 3).room(8), Frame((2,), (3,), (3,), 3).room(8, pair=True)
            (6, 5)
        """
        if pair and not self.pairs:
            raise UserError(
                "the tokenizer's template for two texts can't be served",
                expected="that for one text, with a second one behind, of segment 1 or 0",
                received="another one, or none",
                fix="name one column as data.text, leave out --pair, or mend the post_processor"
                " of tokenizer.json",
            )
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
    # A word that is unknown would begin the second text.
    told = found.separator is None or found.separator != unknown
    return found._replace(unknown=unknown, pairs=found.pairs and told)


NOTHING = Frame((), (), (), None, pairs=False)  # stands around texts


def _frame(spec: Any) -> Frame | None:
    if spec is None or spec["type"] == "ByteLevel":
        return NOTHING
    if spec["type"] == "Sequence":
        found = [_frame(part) for part in spec["processors"]]
        around = [each for each in found if each != NOTHING]
        return around[0] if len(around) == 1 else None if around else NOTHING
    if spec["type"] in ("BertProcessing", "RobertaProcessing"):
        first, last = (spec["cls"][1],), (spec["sep"][1],)
        if spec["type"] == "RobertaProcessing":
            return Frame(first, last * 2, last, None)
        return Frame(first, last, last, last[0])
    return _of_template(spec) if spec["type"] == "TemplateProcessing" else None


def _of_template(spec: Any) -> Frame | None:
    single, kinds = _parts(spec, "single")
    if [part for part in single if isinstance(part, str)] != ["A"] or any(kinds):
        return None
    text = single.index("A")
    before, after = _ids(single[:text]), _ids(single[text + 1 :])
    alone = Frame(before, after, after, None, pairs=False)
    pair, kinds = _parts(spec, "pair")
    if [part for part in pair if isinstance(part, str)] != ["A", "B"]:
        return alone
    first, second = pair.index("A"), pair.index("B")
    if (_ids(pair[:first]), _ids(pair[second + 1 :])) != (before, after):
        return alone
    between = _ids(pair[first + 1 : second])
    for separator in (None, *between[-1:]):
        behind = [separator in pair[:place] for place in range(len(pair))]
        if kinds == [int(each) for each in behind]:
            return Frame(before, between, after, separator)
    return alone


def _parts(spec: Any, name: str) -> tuple[list[int | str], list[int]]:
    """Returns the ids and the texts, "A" and "B", of a template, and the segment of each."""
    found: list[tuple[int | str, int]] = []
    for part in spec[name]:
        ((kind, each),) = part.items()
        of_token = spec["special_tokens"].get(each["id"], {})
        ids = [each["id"]] if kind == "Sequence" else of_token["ids"]
        found += [(i, each["type_id"]) for i in ids]
    return [part for part, _ in found], [kind for _, kind in found]


def _ids(parts: list[int | str]) -> tuple[int, ...]:
    return tuple(part for part in parts if isinstance(part, int))
