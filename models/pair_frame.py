"""What stands around the source and the target of an encoder-decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from textmill.models.causal_tokenizer import END, id_of, load_causal_tokenizer
from textmill.models.generation_config import end_ids, generation_config
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
        stops: The tokens of which each ends what is written, `stop` among them.
        begin: The token that begins a text.
        end: The token that ends one.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    target: tuple[int, ...]
    stop: int
    stops: tuple[int, ...]
    begin: str
    end: str

    @staticmethod
    def new(tokenizer: Tokenizer) -> Ends:
        """Returns those of a new model: one token ends sources, and begins and ends targets."""
        end = id_of(tokenizer, END)
        return Ends((), (end,), (end,), end, (end,), END, END)

    def about(self) -> dict[str, Any]:
        """Returns what serving must know of them, for `generation.json`."""
        before, after = list(self.before), list(self.after)
        return {
            "framing": {"before": before, "before_text": "", "after_text": "", "after": after},
            "target_begin": list(self.target),
            "begin": self.begin,
            "end": self.end,
            "stop": list(self.stops),
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
        return tokenizer, Ends(*around, end, tuple(about["stop"]), ends.begin, ends.end)
    target = (decoder_start(preset, end), begin)
    stops = tuple(dict.fromkeys([end, *end_ids(preset)]))
    return tokenizer, Ends((begin,), (end,), target, end, stops, ends.begin, ends.end)


def decoder_start(preset: Preset, usual: int) -> int:
    """Returns the token that a decoder reads first.

    Args:
        preset: The encoder-decoder.
        usual: The token where no file says it.

    Source: `_prepare_special_tokens` of transformers 5.24: where there is none, the token that
    begins a text.
    """
    known = generation_config(preset)
    names = ("decoder_start_token_id", "bos_token_id")
    found = [known[name] for name in names if name in known]
    found += [first] if (first := preset.config().get(names[0])) is not None else []
    return int(found[0]) if found else usual
