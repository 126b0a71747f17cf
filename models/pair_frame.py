"""What stands around the source and the target of an encoder-decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from textmill.models.causal_tokenizer import END, id_of, load_causal_tokenizer
from textmill.models.preset import Preset

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Ends(NamedTuple):
    """Ids around both texts.

    Attributes:
        before: Before a source.
        after: Behind it.
        target: Before a target: what the decoder reads first; one at least.
        stop: Behind it.
        begin: The token that begins a text.
        end: The token that ends one.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    target: tuple[int, ...]
    stop: int
    begin: str
    end: str

    @staticmethod
    def new(tokenizer: Tokenizer) -> Ends:
        """Returns those of a new model: one token ends sources, and begins and ends targets."""
        end = id_of(tokenizer, END)
        return Ends((), (end,), (end,), end, END, END)

    def about(self) -> dict[str, Any]:
        """Returns what serving must know of them, for `generation.json`."""
        before, after = list(self.before), list(self.after)
        return {
            "framing": {"before": before, "before_text": "", "after_text": "", "after": after},
            "target_begin": list(self.target),
            "begin": self.begin,
            "end": self.end,
            "stop": [self.stop],
        }


def pair_ends(preset: Preset) -> tuple[Tokenizer, Ends]:
    """Returns the tokenizer of an encoder-decoder, and what stands around its texts.

    BART's sources are `<s> text </s>`; its decoder begins with `</s> <s>`, of which its config
    says the first.

    Raises:
        UserError: The preset has no tokenizer that can be served exactly as it is.

    Source: `BartForConditionalGeneration` and `BartTokenizer` of transformers.
    """
    tokenizer, ends = load_causal_tokenizer(preset)
    begin, end = ends.ids(tokenizer)
    about = preset.read("textmill/task.json") if preset.local else None
    if about and "target_begin" in about:
        framing = about["framing"]
        around = (tuple(framing["before"]), tuple(framing["after"]), tuple(about["target_begin"]))
        return tokenizer, Ends(*around, int(about["stop"][0]), ends.begin, ends.end)
    known = {**preset.config(), **(preset.read("generation_config.json") or {})}
    first = known.get("decoder_start_token_id")
    first = end if first is None else int(first)
    return tokenizer, Ends((begin,), (end,), (first, begin), end, ends.begin, ends.end)
