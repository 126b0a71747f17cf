"""How a checkpoint decodes: what transformers' `generate` goes by, and what of it is served.

Source: https://huggingface.co/docs/transformers/main_classes/text_generation, as of 5.24.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from textmill.errors import UserError
from textmill.models.preset import Preset

FILE = "generation_config.json"
# Taken over, see `decoding`.
TAKEN = (
    *("bos_token_id", "eos_token_id", "decoder_start_token_id"),
    *("do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "max_new_tokens"),
    *("max_length", "min_new_tokens", "min_length", "num_beams", "length_penalty"),
    *("early_stopping", "renormalize_logits", "no_repeat_ngram_size", "forced_bos_token_id"),
    *("forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens", "bad_words_ids"),
    *("sequence_bias", "stop_strings"),
)
# Change no token: what is kept in memory, what comes back beside the text, who guesses ahead.
WITHOUT_EFFECT = (
    *("use_cache", "cache_implementation", "cache_config", "max_cache_len", "low_memory"),
    *("compile_config", "disable_compile", "continuous_batching_config", "prefill_chunk_size"),
    *("output_attentions", "output_hidden_states", "output_scores", "output_logits"),
    *("return_dict_in_generate", "pad_token_id", "remove_invalid_values", "is_assistant"),
    *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
    *("assistant_early_exit", "assistant_lookbehind", "target_lookbehind", "use_mtp"),
    *("prompt_lookup_num_tokens", "max_matching_ngram_size", "speculation_type"),
    *("_from_model_config", "transformers_version", "_commit_hash"),
)
# Left out, and said so: each with the values that have no effect.
LEFT_OUT: dict[str, tuple[Any, ...]] = {
    "max_time": (),
    "min_p": (),
    "top_h": (),
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "encoder_repetition_penalty": (1.0,),
    "encoder_no_repeat_ngram_size": (0,),
    "exponential_decay_length_penalty": (),
    "token_healing": (False,),
    "guidance_scale": (1.0,),
    "watermarking_config": (),
    "num_return_sequences": (1,),
    "penalty_alpha": (0.0,),
    "dola_layers": (),
    "diversity_penalty": (0.0,),
    "num_beam_groups": (1,),
    "constraints": (),
    "force_words_ids": (),
    "assistant_ensemble_weight": (),
}
# Heeded where a token is drawn alone.
DRAWING = ("min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")
# What is no wish at all.
USUAL = {"repetition_penalty": 1.0, "length_penalty": 1.0, "min_new_tokens": 0}
TOP_K = 50  # of transformers, where a file that has tokens drawn does not say it


class Decoding(NamedTuple):
    """How a checkpoint decodes.

    Attributes:
        start: The token that a prompt without any begins with, where a file says it.
        stop: The tokens of which each ends a text.
        forced: The token that a text of an encoder-decoder begins with, whatever the model says.
        defaults: Of `textmill.serving.defaults.Defaults`, what a file says.
        processors: Likewise of `textmill.serving.processors.Processors`.
        stop_strings: Strings that end a text.
        told: What is left out, a line each.
    """

    start: int | None
    stop: list[int]
    forced: int | None
    defaults: dict[str, Any]
    processors: dict[str, Any]
    stop_strings: list[str]
    told: list[str]


def generation_config(preset: Preset) -> dict[str, Any]:
    """Returns what transformers' `generate` goes by.

    That is `generation_config.json`, and nothing else where there is one; else the keys of it that
    `config.json` has, as older checkpoints do.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "config.json").write_text('{"model_type": "gpt2", "eos_token_id": 1}')
        >>> generation_config(Preset(str(folder)))
        {'eos_token_id': 1}
    """
    found = preset.read(FILE)
    if found is None:
        config = preset.config()
        found = {k: v for k, v in config.items() if k in TAKEN or k in LEFT_OUT}
        if config.get("force_bos_token_to_be_generated"):  # of BART, before transformers 4.10
            found.setdefault("forced_bos_token_id", config.get("bos_token_id"))
    return {key: value for key, value in found.items() if value is not None}


def end_ids(preset: Preset) -> list[int]:
    """Returns the tokens of which each ends a text, as a checkpoint's files say.

    Of a model of ours they are those that it ended its texts with.
    """
    ours = preset.read("textmill/task.json") if preset.local else None
    if ours is not None:
        return list(ours.get("stop", []))
    return _Reading(preset).ids("eos_token_id")


def decoding(preset: Preset, *, longest: int, begin: int | None = None) -> Decoding:
    """Returns how a checkpoint decodes.

    Args:
        preset: The checkpoint.
        longest: Tokens that the model, or its decoder, reads at a time.
        begin: Of an encoder-decoder, the tokens before the text that no file forces: 1. None: what
            is written stands behind a prompt.

    Raises:
        UserError: A value is none that its key can have.
    """
    read, pair = _Reading(preset), begin is not None
    forced = read.ids("forced_bos_token_id")
    before = begin or 0
    told = list(read.left_out(pair=pair))
    stop = read.ids("eos_token_id")
    if pair and set(forced) & set(stop):
        raise read.strange("forced_bos_token_id", "a token that ends no text", forced)
    defaults: dict[str, Any] = {}
    draws, beams = read.flag("do_sample"), read.whole("num_beams", 1)
    if beams > 1:
        defaults |= {"num_beams": beams, "length_penalty": read.number("length_penalty", 1.0)}
    if draws and beams == 1:
        defaults["temperature"] = read.number("temperature", 1.0)
        defaults["top_k"] = read.whole("top_k", TOP_K)
        defaults["top_p"] = min(read.number("top_p", 1.0), 1.0)
    defaults["repetition_penalty"] = read.number("repetition_penalty", 1.0)
    least, shortest = read.whole("min_new_tokens", 0), read.whole("min_length", 0)
    if pair:  # what stands before a text counts there
        least, shortest = least or max(shortest - before, 0), 0
    most = _most(read, before if pair else None)
    if most is not None:
        most = defaults["max_new_tokens"] = max(1, min(most, longest - max(before, 1)))
        if least > most:
            raise read.strange("min_new_tokens", f"{most} at most, as many as may come", least)
    defaults["min_new_tokens"] = min(least, longest - max(before, 1))
    processors = {
        "no_repeat_ngram_size": read.whole("no_repeat_ngram_size", 0),
        "min_length": 0 if least else shortest,
        "forced_bos": [] if pair else forced,
        "forced_eos": read.ids("forced_eos_token_id"),
        "suppressed": read.ids("suppress_tokens"),
        "suppressed_first": read.ids("begin_suppress_tokens"),
        "bad_words": read.lists("bad_words_ids"),
        "sequence_bias": read.biases("sequence_bias"),
    }
    if beams > 1:
        processors["early_stopping"] = read.early()
        processors["renormalize_logits"] = read.flag("renormalize_logits")
    return Decoding(
        next(iter(read.ids("bos_token_id")), None),
        stop,
        forced[0] if pair and forced else None,
        {key: value for key, value in defaults.items() if value != USUAL.get(key)},
        {key: value for key, value in processors.items() if value},
        read.strings("stop_strings"),
        told,
    )


def _most(read: _Reading, before: int | None) -> int | None:
    """Returns how many tokens come at most, where a file says it and no prompt is counted.

    Args:
        read: The file.
        before: Of an encoder-decoder, the tokens before its text.
    """
    if "max_new_tokens" in read.known:
        return read.whole("max_new_tokens", 1)
    if before is None or "max_length" not in read.known:
        return None
    return read.whole("max_length", 20) - before


class _Reading:
    """The values of a file, each of the type that its key has."""

    def __init__(self, preset: Preset) -> None:
        self._preset, self.known = preset, generation_config(preset)
        self._size = preset.vocabulary_size()

    def left_out(self, *, pair: bool) -> Iterator[str]:
        """Yields a line for each value that is not heeded though it has an effect."""
        draws, beams = self.flag("do_sample"), self.whole("num_beams", 1) > 1
        for key, value in self.known.items():
            lines = {
                "do_sample": (beams and draws, "with num_beams nothing is drawn"),
                "max_length": (
                    not pair and "max_new_tokens" not in self.known,
                    "it counts the prompt; max_new_tokens says how many tokens may come",
                ),
                "stop_strings": (True, "a text ends before such a string, and is without it"),
            }
            if key in lines:
                if lines[key][0]:
                    yield f"{self._where(key)} = {value!r}: {lines[key][1]}"
            elif key in LEFT_OUT:
                if value not in LEFT_OUT[key] and (draws or key not in DRAWING):
                    yield f"{self._where(key)} = {value!r} is left out: the graph does not do that"
            elif key not in TAKEN and key not in WITHOUT_EFFECT:
                yield f"{self._where(key)}: transformers knows no such key, and it has no effect"

    def flag(self, key: str) -> bool:
        """Returns a value that is true or false."""
        return bool(self._of(key, False, (bool,), "true or false"))

    def number(self, key: str, usual: float) -> float:
        """Returns a number."""
        return float(self._of(key, usual, (int, float), "a number"))

    def whole(self, key: str, usual: int) -> int:
        """Returns a whole number."""
        return int(self._of(key, usual, (int,), "a whole number"))

    def early(self) -> bool | str:
        """Returns when a beam search ends."""
        found = self.known.get("early_stopping", False)
        if found in (True, False, "never"):
            return found  # type: ignore[no-any-return]
        raise self.strange("early_stopping", 'true, false or "never"', found)

    def ids(self, key: str) -> list[int]:
        """Returns one token or several."""
        found = self.known.get(key, [])
        return self._ids(key, found if isinstance(found, list) else [found])

    def lists(self, key: str) -> list[list[int]]:
        """Returns lists of tokens."""
        found = self.known.get(key, [])
        if not isinstance(found, list) or not all(isinstance(e, list) and e for e in found):
            raise self.strange(key, "a list of lists of tokens", found)
        return [self._ids(key, each) for each in found]

    def biases(self, key: str) -> list[tuple[list[int], float]]:
        """Returns lists of tokens, a number with each."""
        found = self.known.get(key, [])
        pairs = isinstance(found, list) and all(
            isinstance(each, list) and len(each) == 2 and isinstance(each[0], list) and each[0]
            for each in found
        )
        if not pairs:
            raise self.strange(key, "a list of [[tokens], number]", found)
        return [(self._ids(key, ids), float(bias)) for ids, bias in found]

    def strings(self, key: str) -> list[str]:
        """Returns one string or several."""
        found = self.known.get(key, [])
        found = [found] if isinstance(found, str) else found
        if not isinstance(found, list) or not all(isinstance(e, str) and e for e in found):
            raise self.strange(key, "strings", found)
        return list(found)

    def strange(self, key: str, expected: str, received: object) -> UserError:
        """Returns the error for a value that its key can't have."""
        return UserError(
            f"{self._preset.name}: {self._where(key)} can't be",
            expected=expected,
            received=repr(received)[:80],
            fix=f"mend {key} there, or take the key out",
        )

    def _ids(self, key: str, found: list[Any]) -> list[int]:
        most = self._size or 1 << 31
        for each in found:
            if isinstance(each, bool) or not isinstance(each, int) or not 0 <= each < most:
                raise self.strange(key, f"tokens, 0 to {most - 1}", each)
        return list(dict.fromkeys(found))

    def _of(self, key: str, usual: Any, kinds: tuple[type, ...], expected: str) -> Any:
        found = self.known.get(key, usual)
        if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
            raise self.strange(key, expected, found)
        return found

    def _where(self, key: str) -> str:
        file = FILE if self._preset.file(FILE) is not None else "config.json"
        return f"{file}: {key}"
