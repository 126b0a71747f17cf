"""Small tokenizers and SavedModels that the serving tests are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from textmill.artifact import read_json, write_json
from textmill.components.cleaning import Cleaning
from textmill.components.cleaning_graph import clean_graph
from textmill.frame import read_frame
from textmill.serving import savedmodel
from textmill.serving.framing import Framing
from textmill.serving.graph_tokenizer import graph_tokenizer
from textmill.serving.heads import Head, forms
from textmill.serving.warmup import write_warmup

CLEANING = Cleaning()
SCRIPTS = [
    "The quick brown fox doesn't jump over 13 lazy dogs; it sleeps!",
    "Le café était déjà fermé, hélas. Ça n'empêche pas l'œuvre d'être goûtée.",
    "Größe, Straße, Äpfel und Öl – „schön“ ist's.",
    "İstanbul'da ılık bir gün; ŞİMDİ GİDİYORUZ.",
    "ΟΔΥΣΣΕΥΣ: ἀνδρὸς πολυτρόπου, τὸν ἥρωα ΤΗΣ ΙΘΑΚΗΣ.",
    "Съешь ещё этих мягких французских булок, да выпей чаю. Йод.",
    "这部电影太好看了!我很喜欢,一共三小时。",
    "東京は日本の首都です。がぎぐげご、パピプペポ。",
    "한국어 영화는 정말 재미있었다.",
    "ภาพยนตร์เรื่องนี้ดีมาก น้ำใจ",
    "यह फ़िल्म बहुत अच्छी थी। क्षत्रिय",
    "هذا الفيلم رائعٌ جدًّا، أنصحكم به.",
    "הסרט הזה נֶהְדָּר, בֶּאֱמֶת.",
    "Tiếng Việt: phở bò, Đặng Thị Thu Hiền.",
    "👍🏽 👨‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ ☃ 🎬🎥",
    "e\u0301 a\u0325\u0301 \u1100\u1161\u11a8 ﬁn Ａｂｃ ½ ™ x²",
    "[CLS] [SEP] [MASK] [UNK] ##ing @user #tag http://a.b/c?d=e",
    "tab\tnew\nline\r\u00a0no-break\u2003em\u200bzero\u0000nul\ufffd\ufeff",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐐔𐐯𐑅𐐨𐑉𐐯𐐻 𠀀𠀁 \U000e0041 \U0010fffd \ue000",
    "\u302e\U0001d165\u1baa a\U0001e94a\U0001e944 \u08d4\u0941\u1b44 \U0001d15e\U0001d16d",
    "",
    "   ",
    "x" * 100 + " " + "x" * 101 + " " + "ab" * 60,
]


def tokenizer(
    file: Path,
    *,
    lowercase: bool = True,
    texts: Sequence[str] = SCRIPTS,
    vocabulary_size: int = 400,
    longest_word: int = 100,
    prefix: str = "##",
    **settings: Any,
) -> Tokenizer:
    """Trains a BERT tokenizer on `texts`, saves it to `file` and returns it as we use it."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=longest_word))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase, **settings)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=special,
        show_progress=False,
        continuing_subword_prefix=prefix,
    )
    made.train_from_iterator(texts, trainer)
    # Training sets a new model; its other settings are the old one's.
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    made.save(str(file))
    return load_tokenizer(file)


def load_tokenizer(file: Path, max_length: int | None = None) -> Tokenizer:
    """Reads a tokenizer the way that all of Textmill uses it."""
    made = Tokenizer.from_file(str(file))
    made.no_padding()
    made.no_truncation()
    if max_length is not None:
        made.enable_truncation(max_length)
    made.encode_special_tokens = True
    return made


def mean_of_embeddings(size: int, classes: int = 2) -> tuple[Callable[..., Any], list[Any]]:
    """Returns logits, a mean of embeddings and one matrix, and its variables."""
    random = np.random.default_rng(7)
    table = tf.Variable(random.normal(size=(size, 16)).astype(np.float32))
    matrix = tf.Variable(random.normal(size=(16, classes)).astype(np.float32))

    def logits(token_ids: tf.Tensor, mask: tf.Tensor, segments: Any = None) -> tf.Tensor:
        kept = tf.cast(mask, tf.float32)[..., None]
        mean = tf.reduce_sum(tf.gather(table, token_ids) * kept, 1) / tf.reduce_sum(kept, 1)
        return tf.matmul(mean, matrix)

    return logits, [table, matrix]


def saved_model(
    folder: Path,
    *,
    logits: Callable[..., Any] | None = None,
    variables: Sequence[Any] | None = None,
    max_length: int = 24,
    rules: Cleaning = CLEANING,
) -> Path:
    """Writes a model that keeps the contract, with a manifest, to `folder`."""
    file = folder.with_suffix(".tokenizer.json")
    made = load_tokenizer(file, max_length) if file.exists() else tokenizer(file)
    made.enable_truncation(max_length)
    graph = graph_tokenizer(file)
    ours, weights = mean_of_embeddings(graph.vocabulary_size)
    savedmodel.write(
        folder,
        clean=lambda texts: clean_graph(texts, rules),
        logits=logits or ours,
        variables=weights if variables is None else [*weights, *variables],
        tokenizer=graph,
        framing=Framing(read_frame(file), max_length),
        head=Head("one", ("neg", "pos")),
    )
    golden = []
    for text in SCRIPTS:
        ids = np.array([made.encode(text).ids], np.int32)
        scores = tf.nn.softmax(ours(ids, np.ones_like(ids))).numpy()[0]
        answer = [float(s) for s in scores]
        golden.append({"text": text, "token_ids": ids[0].tolist(), "answer": answer})
    described = savedmodel.describe(folder)
    requests = [
        {k: row[k] for k in ("text", "token_ids")} | {"padding_mask": [1] * len(row["token_ids"])}
        for row in golden
    ]
    write_warmup(folder, forms("one", more=described["more_signatures"]), requests)
    manifest = {"labels": ["neg", "pos"], **described, "golden": golden}
    write_json(folder / "assets.extra" / "manifest.json", manifest)
    return folder


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    """Changes the meta graph of a SavedModel in place."""
    saved = savedmodel.read(folder)
    change(saved.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())


def edit_manifest(folder: Path, **values: Any) -> None:
    """Changes entries of a manifest in place."""
    file = folder / "assets.extra" / "manifest.json"
    write_json(file, read_json(file) | values)
