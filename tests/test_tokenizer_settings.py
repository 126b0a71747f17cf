"""Each setting of a tokenizer changed once: ids are those of transformers' AutoTokenizer, or it is
refused; the table in docs/checkpoints.md says which.

Of the settings whose table has no cell for a kind, that kind's class knows nothing.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from textmill.errors import UserError
from textmill.frame import read_frame
from textmill.models.causal_tokenizer import load_causal_tokenizer
from textmill.models.preset import Preset
from textmill.models.tokenizer import load_tokenizer
from textmill.serving.graph_tokenizer import graph_tokenizer
from tiny_models import SCRIPTS, tokenizer
from tiny_tokenizers import LLAMA3, bpe, graph, library, unigram

DOCS = Path(__file__).parents[1] / "docs" / "checkpoints.md"
CONFIG, FILE = "tokenizer_config.json", "tokenizer.json"
QWEN2 = LLAMA3.replace("{1,3}", "")
CAUSAL = ("gpt2", "qwen2", "llama")
PIECES = ("albert", "xlm-roberta", "deberta-v2")
# Classes that transformers makes anew; and tokenizers that it takes as `tokenizer.json` has them.
NAMED = ("bert", "roberta", *PIECES, "gpt2", "qwen2")
AS_SAVED = ("WordPiece", "Unigram", "llama")
KINDS = (*NAMED, *AS_SAVED)
ENCODERS = ("bert", "roberta", *PIECES, "WordPiece", "Unigram")
BYTES = ("roberta", *CAUSAL)
CLASSES = {"bert": "BertTokenizer", "roberta": "RobertaTokenizer", "gpt2": "GPT2Tokenizer"}
CLASSES |= {"qwen2": "Qwen2Tokenizer"}
MODELS = {"WordPiece": "roberta", "Unigram": "xlm-roberta"}
# What an error calls a setting, where it is not by its own name.
NAMES = dict.fromkeys(("additional_special_tokens", "extra_special_tokens"), '"quick"')
NAMES |= {"added_tokens_decoder": '"quick"', "truncation: direction": "truncation_side"}
NAMES |= {"model: end_of_word_suffix, no merges": "end_of_word_suffix"}
NAMES |= {"split_by_punct": "Punctuation", "normalizer: none": "normalizer"}
NAMES |= {"normalizer: another": "NFKC", "pre_tokenizer: another": "Whitespace"}
NAMES |= {"pre_tokenizer: use_regex": "pre-tokenizer", "add_prefix_space": "pre-tokenizer"}
NAMES |= {"pre_tokenizer: add_prefix_space": "pre-tokenizer", "model: unk_token": "unknown token"}


def _texts() -> list[str]:
    """Returns 200 texts: of many scripts, and parts of them with awkward characters between."""
    rng, awkward = random.Random(1), " \t\n\r\x0b\x85\u00a0\u2028\u200b\u0301ÅßİΣﬁ½中가,.'#…"
    made = list(SCRIPTS)
    while len(made) < 200:
        parts = [rng.choice(SCRIPTS)[rng.randrange(20) :][: rng.randrange(25)] for _ in range(3)]
        made.append(rng.choice(awkward).join(part.replace("[", "") for part in parts))
    return [text for text in made if "[" not in text and "<" not in text]


TEXTS = _texts()


def _added(content: str, **more: Any) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"content": content, **flags, **more}


Change = Callable[[dict[str, Any]], None]


def _model(**values: Any) -> Change:
    return lambda spec: spec["model"].update(values)


def _part(name: str, **values: Any) -> Change:
    def change(spec: dict[str, Any]) -> None:
        part = spec[name]
        for inner in part.get("pretokenizers") or part.get("normalizers") or [part]:
            inner.update({k: v for k, v in values.items() if k in inner})

    return change


def _set(**values: Any) -> Change:
    return lambda spec: spec.update(values)


def _normal(**values: bool) -> Change:
    return _part("normalizer", **values)


def _split(**values: Any) -> Change:
    return _part("pre_tokenizer", **values)


def _insert(spec: dict[str, Any]) -> None:
    size = 1 + max(token["id"] for token in spec["added_tokens"])
    vocabulary = spec["model"]["vocab"]
    size = max(size, len(vocabulary))
    spec["added_tokens"].append({"id": size, **_added("quick")})


def _template(spec: dict[str, Any]) -> None:
    token = spec["added_tokens"][-1]
    parts = [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    second = {"Sequence": {"id": "B", "type_id": 0}}
    special = {"x": {"id": "x", "ids": [token["id"]], "tokens": [token["content"]]}}
    spec["post_processor"] = {"type": "TemplateProcessing", "single": parts}
    spec["post_processor"] |= {"pair": [*parts, second], "special_tokens": special}


# Of each row of the table: the file, the setting, its new value or what is changed, and the kinds.
_TRUNCATION = {"direction": "Right", "max_length": 4, "stride": 0, "strategy": "LongestFirst"}
_PADDING = {"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": None}
_PADDING |= {"pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>"}
_SUFFIX = _model(end_of_word_suffix="</w>", merges=[])
WORDS = ("bert", "WordPiece")
Row = tuple[str, str, Any, tuple[str, ...]]
ROWS: list[Row] = [
    (CONFIG, "do_lower_case", False, ("bert", "albert", "WordPiece")),
    (CONFIG, "do_lower_case (of a cased one)", True, ("bert", "deberta-v2")),
    (CONFIG, "strip_accents", False, ("bert", "WordPiece")),
    (CONFIG, "tokenize_chinese_chars", False, ("bert", "WordPiece")),
    (CONFIG, "do_basic_tokenize", False, ("bert",)),
    (CONFIG, "never_split", ["the"], ("bert",)),
    (CONFIG, "keep_accents", True, ("albert",)),
    (CONFIG, "remove_space", False, ("albert",)),
    (CONFIG, "split_by_punct", True, ("deberta-v2",)),
    (CONFIG, "sp_model_kwargs", {"nbest_size": 2}, PIECES),
    (CONFIG, "add_prefix_space", True, BYTES),
    (CONFIG, "add_prefix_space (taken away)", False, (*PIECES, "Unigram")),
    (CONFIG, "trim_offsets", False, ("roberta",)),
    (CONFIG, "errors", "strict", BYTES),
    (CONFIG, "legacy", False, ("llama",)),
    (CONFIG, "add_bos_token", True, KINDS),
    (CONFIG, "add_eos_token", True, KINDS),
    (CONFIG, "cls_token", None, ENCODERS),
    (CONFIG, "sep_token", None, ENCODERS),
    (CONFIG, "unk_token", None, KINDS),
    (CONFIG, "pad_token", None, KINDS),
    (CONFIG, "mask_token", None, ENCODERS),
    (CONFIG, "bos_token", None, KINDS),
    (CONFIG, "additional_special_tokens", ["quick"], KINDS),
    (CONFIG, "extra_special_tokens", ["quick"], KINDS),
    (CONFIG, "added_tokens_decoder", {"900": _added("quick")}, KINDS),
    (CONFIG, "split_special_tokens", True, KINDS),
    (CONFIG, "model_input_names", ["input_ids", "attention_mask"], KINDS),
    (CONFIG, "truncation_side", "left", KINDS),
    (CONFIG, "padding_side", "left", KINDS),
    (CONFIG, "model_max_length", 7, KINDS),
    (CONFIG, "clean_up_tokenization_spaces", True, KINDS),
    (CONFIG, "tokenizer_class", "PreTrainedTokenizerFast", NAMED),
    (CONFIG, "auto_map", {"AutoTokenizer": [None, "code.Mine"]}, KINDS),
    ("special_tokens_map.json", "cls_token", None, ENCODERS),
    ("special_tokens_map.json", "additional_special_tokens", ["quick"], KINDS),
    ("added_tokens.json", "a token", {"quick": 900}, KINDS),
    (FILE, "truncation", _set(truncation=_TRUNCATION), KINDS),
    (FILE, "truncation: direction", _set(truncation=_TRUNCATION | {"direction": "Left"}), KINDS),
    (FILE, "padding", _set(padding=_PADDING), KINDS),
    (FILE, "added_tokens", _insert, KINDS),
    (FILE, "post_processor", _template, KINDS),
    (FILE, "normalizer: none", _set(normalizer=None), KINDS),
    (FILE, "normalizer: another", _set(normalizer={"type": "NFKC"}), KINDS),
    (FILE, "normalizer: lowercase", _normal(lowercase=False), WORDS),
    (FILE, "normalizer: strip_accents", _normal(strip_accents=False), WORDS),
    (FILE, "normalizer: handle_chinese_chars", _normal(handle_chinese_chars=False), WORDS),
    (FILE, "normalizer: clean_text", _normal(clean_text=False), WORDS),
    (FILE, "pre_tokenizer: another", _set(pre_tokenizer={"type": "Whitespace"}), KINDS),
    (FILE, "pre_tokenizer: add_prefix_space", _split(add_prefix_space=True), BYTES),
    (FILE, "pre_tokenizer: use_regex", _split(use_regex=False), ("roberta", "gpt2")),
    (FILE, "pre_tokenizer: prepend_scheme", _split(prepend_scheme="never"), (*PIECES, "Unigram")),
    (FILE, "pre_tokenizer: split", _split(split=False), (*PIECES, "Unigram")),
    (FILE, "model: max_input_chars_per_word", _model(max_input_chars_per_word=4), WORDS),
    (FILE, "model: continuing_subword_prefix", _model(continuing_subword_prefix="@@"), WORDS),
    (FILE, "model: unk_token", _model(unk_token="the"), WORDS),
    (FILE, "model: unk_id", _model(unk_id=7), (*PIECES, "Unigram")),
    (FILE, "model: byte_fallback", _model(byte_fallback=True), (*BYTES, *PIECES, "Unigram")),
    (FILE, "model: dropout", _model(dropout=0.5), BYTES),
    (FILE, "model: ignore_merges", _model(ignore_merges=True), BYTES),
    (FILE, "model: end_of_word_suffix, no merges", _SUFFIX, BYTES),
    (FILE, "model: fuse_unk", _model(fuse_unk=True), BYTES),
]  # fmt: skip


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each kind, as transformers saves it."""
    folder = tmp_path_factory.mktemp("bases")
    for kind in KINDS:
        here = folder / kind
        if kind in ("bert", "WordPiece"):
            tokenizer(here / FILE)
        elif kind in BYTES:
            expression = {"llama": LLAMA3, "qwen2": QWEN2}.get(kind)
            bpe(here / FILE, expression=expression, composed=kind == "qwen2")
        else:
            unigram(here, MODELS.get(kind, kind))
        config = {
            "model_type": MODELS.get(kind, kind),
            "vocab_size": 1000,
            "max_position_embeddings": 64,
        }
        (here / "config.json").write_text(json.dumps(config))
        said = {"tokenizer_class": CLASSES.get(kind, "PreTrainedTokenizerFast")}
        if kind in BYTES:
            said |= {"eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
        if kind == "WordPiece":
            said |= {f"{role}_token": f"[{role.upper()}]" for role in ("cls", "sep", "pad", "unk")}
        if kind not in PIECES:
            (here / CONFIG).write_text(json.dumps(said))
    return folder


def changed(base: Path, folder: Path, kind: str, row: Row) -> Preset:
    """Writes a folder in which one setting is another."""
    file, setting, value, _ = row
    shutil.copytree(base / kind, folder)
    known = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
    if callable(value):
        value(known)
    elif file == "added_tokens.json":
        known = value
    else:
        name = setting.split(" ")[0]
        if value is None:
            tokens = json.loads((folder / FILE).read_text())["added_tokens"]
            value = next(t["content"] for t in tokens[1:] if t["content"] != known.get(name))
        known[name] = value
    (folder / file).write_text(json.dumps(known))
    return Preset(str(folder))


Ids = list[list[int]]


@cache
def by_transformers(folder: str, kind: str, apart: bool = False) -> tuple[Ids, Ids, Ids]:
    """Returns ids of texts, of pairs of texts, and segments of these."""
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if kind in CAUSAL:
        ids = made(TEXTS, add_special_tokens=False, split_special_tokens=apart)["input_ids"]
        return ids, [], []
    two = made(TEXTS, TEXTS[::-1])
    return made(TEXTS)["input_ids"], two["input_ids"], two.get("token_type_ids", [])


@cache
def by_graph(saved: str, folder: Path) -> Ids:
    """Returns ids of texts as they are served, special tokens left out."""
    file = folder / "served.json"
    file.write_text(saved)
    return graph(file)(TEXTS)


def by_textmill(preset: Preset, kind: str, folder: Path) -> tuple[Ids, Ids, Ids]:
    """Returns the same of ours; of pairs only where two texts can be served."""
    if kind in CAUSAL:
        made, _ = load_causal_tokenizer(preset)
    else:
        made = load_tokenizer(preset)
    file = folder / "ours.json"
    made.save(str(file))
    graph_tokenizer(file)
    texts = library(made, TEXTS)
    assert by_graph(core(made), folder) == texts
    if kind in CAUSAL:
        return texts, [], []
    frame = read_frame(file)
    before, between, after = map(list, (frame.before, frame.between, frame.after))
    one = [[*before, *text, *after] for text in texts]
    if not frame.pairs:
        return one, [], []
    pairs = zip(texts, texts[::-1], strict=True)
    two = [[*before, *a, *between, *b, *after] for a, b in pairs]
    segments = [[int(frame.separator in row[:i]) for i in range(len(row))] for row in two]
    return one, two, segments


def core(made: Tokenizer) -> str:
    """Returns what of a tokenizer parts a text, as JSON."""
    spec = json.loads(made.to_str())
    return json.dumps(spec | {"post_processor": None, "decoder": None, "added_tokens": []})


def refused(kind: str, setting: str, said: str) -> str:
    name = NAMES.get(setting, setting.split(": ")[-1].split(" ")[0])
    assert name.lower() in said.lower(), f"{kind}: {name}: {said}"
    return "refused"


def outcome(bases: Path, folder: Path, kind: str, row: Row) -> str:
    """Returns what becomes of a setting: ids that are transformers', or an error that names it."""
    preset = changed(bases, folder / kind, kind, row)
    try:
        ours = by_textmill(preset, kind, bases)
    except UserError as told:
        return refused(kind, row[1], str(told))
    theirs = by_transformers(preset.name, kind)
    if ours[0] != theirs[0] and kind in CAUSAL:  # what a user says never becomes a special token
        assert ours == by_transformers(preset.name, kind, apart=True), kind
        return "kept apart"
    assert ours[0] == theirs[0], kind
    if ours[1]:
        assert ours[1] == theirs[1], kind
        assert ours[2] == (theirs[2] or [[0] * len(pair) for pair in ours[1]]), kind
    return "no effect" if theirs == by_transformers(str(bases / kind), kind) else "heeded"


def cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip("|\n").split("|")]


def documented() -> dict[tuple[str, str], dict[str, str]]:
    """Returns what the table in the docs says, by file and setting."""
    lines = DOCS.read_text("utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("| in | setting |"))
    kinds = cells(lines[begin])[2:]
    found = {}
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        file, setting, *said = cells(line)
        found[file, setting] = {k: s for k, s in zip(kinds, said, strict=True) if s}
    return found


def test_the_table_has_every_setting() -> None:
    said = {key: set(kinds) for key, kinds in documented().items()}
    assert said == {(file, setting): set(kinds) for file, setting, _, kinds in ROWS}


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}: {row[1]}")
def test_a_setting_is_heeded_or_refused_as_the_table_says(
    bases: Path, tmp_path: Path, row: Row
) -> None:
    found = {kind: outcome(bases, tmp_path, kind, row) for kind in row[3]}
    assert found == documented()[row[:2]]
