"""Export a trained model as a SavedModel that takes raw text."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from textmill.artifact import Examples, Model, Saved, Tokens, write_json
from textmill.components.cleaning import Cleaning
from textmill.components.cleaning_graph import clean_graph
from textmill.components.golden import golden
from textmill.components.training_record import ABOUT
from textmill.errors import UserError
from textmill.frame import read_frame
from textmill.models import text_classification
from textmill.models.rows import read_rows
from textmill.models.serving_weights import serving_weights
from textmill.models.task import Task, logits_of
from textmill.models.tokenizer import read_tokenizer
from textmill.models.vocabulary import pruned, stand_ins, unread
from textmill.quiet import import_tensorflow
from textmill.serving import savedmodel
from textmill.serving.encoder import Encoder
from textmill.serving.explain import Explainer
from textmill.serving.framing import Framing
from textmill.serving.graph_tokenizer import graph_tokenizer
from textmill.serving.heads import Head, forms
from textmill.serving.precision import PRECISIONS, Name
from textmill.serving.savedmodel import PAIR, TEXT
from textmill.serving.servers import oldest_server
from textmill.serving.warmup import write_warmup

FORMAT = 1
ROWS = 24  # test rows among the golden ones
STRANGE = [
    "",
    " \t\n ",
    "naïve café, Ångström, I\u0307stanbul",
    "e\u0301 a\u0325\u0301 \u0915\u094d\u0937 \u1100\u1161\u11a8",
    "这部电影很好看。東京 서울 ภาพยนตร์",
    "👍🏽 👨‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️",
    "فيلم رائع \u202bעברית\u202c",
    "[CLS] [SEP] [MASK] ##ing\u0000\ufffd\u200b",
    "x" * 300,
    "I <b>loved</b> it &amp; more<br />than you&#39;d think",
    "<style>p {x: y}</style>Seen<!-- not seen --><script>if (a < b) c()</script> &amp;lt;p&amp;gt;",
    "a < b and c > d, I <3 it, AT&T; &unknown; &#x1F600; &#128; &#xD800; &Eacute;e\u0301",
]


def export(
    out: Saved,
    model: Model,
    examples: Examples | None = None,
    *,
    task: Task = text_classification,
    precision: Name = "float32",
    seen: Tokens | None = None,
) -> None:
    """Write `model` to `out` as a SavedModel, with a manifest that says what it should answer.

    The graph holds the cleaning that the training texts went through, tokenization, the network and
    what makes answers of its logits; the signatures are those of `textmill.serving.heads.forms`.
    An encoder of BERT's kind becomes a graph of ours, `textmill.serving.encoder`; of any other the
    graph is that of Keras.
    `assets.extra/manifest.json` holds the task, the labels, the maximum length, how texts are
    cleaned, where it all came from, the operations and the oldest server that has them, the size of
    the weights, and golden rows. Beside it are warmup requests, made of these rows.

    Args:
        out: Where to write.
        model: What was trained.
        examples: Where golden rows come from: the shortest and the longest text of the test split,
            and some in between. Without them there are strange texts alone.
        task: What the model learned, as `train` was told.
        precision: In what numbers weights are stored and multiplied; scores are float32 always.
        seen: What the model learned from: of tokens that its training rows never had, the
            embeddings are left out, and the unknown token is read in their place, by the golden
            rows too. None: all are served.

    Raises:
        UserError: If the tokenizer can't be put into a graph exactly, or has no unknown token where
            `seen` is given; or if the model is served by Keras's graph, which knows of neither
            `precision` nor `seen`.
    """
    import_tensorflow()
    import keras

    # Keras counts up the names that it gives to layers, and they end up in the graph: one model
    # must give the same bytes whatever this process did before.
    keras.utils.clear_session()
    about = model.task()
    network = task.load(model.path)
    rules = Cleaning(**about["cleaning"])
    frame = read_frame(model.tokenizer_file)
    weights = serving_weights(network, pair=about["pair"])
    if weights is None and (precision != "float32" or seen):
        what = f"in {precision}" if precision != "float32" else "with a part of its vocabulary"
        raise UserError(
            f"this model can't be served {what}",
            expected="an encoder such as BERT, DistilBERT, RoBERTa, ALBERT or ELECTRA",
            received=type(network.backbone).__name__,
            fix="export it in float32, with all of its vocabulary",
        )
    stands = None
    if weights and seen:
        rows, size = read_rows(seen, "train"), len(weights.tokens)
        stands = stand_ins(rows, size, frame, model.tokenizer_file)
        weights = pruned(weights, stands)
    encoder = Encoder(weights, PRECISIONS[precision]) if weights else None
    framing = Framing(frame, about["max_length"], about["overlap"], about["windows"])
    head = Head(
        about["kind"],
        tuple(about["labels"]),
        tuple(about.get("thresholds", ())),
        about["separator"],
    )
    explain = None
    if encoder and head.kind != "spans":
        explain = Explainer(encoder, head, framing, _tokens(model))
    savedmodel.write(
        out.path,
        clean=lambda texts: clean_graph(texts, rules),
        logits=encoder or (lambda *rows: logits_of(network, *rows)),
        variables=encoder.variables if encoder else [v.value for v in network.weights],
        tokenizer=graph_tokenizer(model.tokenizer_file),
        framing=framing,
        head=head,
        pair=about["pair"],
        explain=explain,
    )
    real, strange = _texts(examples, pair=about["pair"])
    texts = [*real, *strange]
    answered = golden(task, network, model, texts, rules, stands)
    described = savedmodel.describe(out.path)
    wanted = forms(about["kind"], pair=about["pair"], more=described["more_signatures"])
    write_warmup(out.path, wanted, [_request(row, pair=about["pair"]) for row in answered])
    manifest = {
        "format": FORMAT,
        "task": about["task"],
        **{key: about[key] for key in ABOUT},
        **({"thresholds": about["thresholds"]} if "thresholds" in about else {}),
        "made_from": {
            name: given.digest
            for name, given in {"model": model, "examples": examples, "seen": seen}.items()
            if given
        },
        "versions": {name: version(name) for name in ("textmill", "keras", "tensorflow")},
        **described,
        "precision": precision,
        "tolerance": PRECISIONS[precision].tolerance,
        **({"unseen_tokens": unread(stands)} if stands is not None else {}),
        "minimum_server": oldest_server(out.path),
        "server_flags": [],
        "real_rows": len(real),  # the first of the golden ones
        "golden": answered,
    }
    write_json(out.path / "assets.extra" / "manifest.json", manifest)


def _request(row: dict[str, Any], *, pair: bool) -> dict[str, Any]:
    """Returns a golden row as what a client sends: to `tokens`, ids without padding."""
    texts = {name: row[name] for name in ((TEXT, PAIR) if pair else (TEXT,))}
    return texts | {"token_ids": row["token_ids"], "padding_mask": [1] * len(row["token_ids"])}


def _tokens(model: Model) -> list[str]:
    """Returns the tokens in the order of their ids, "" for an id that no token has."""
    ids: dict[str, int] = read_tokenizer(model.tokenizer_file).get_vocab()
    found = [""] * (max(ids.values()) + 1)
    for token, i in ids.items():
        found[i] = token
    return found


def _texts(
    examples: Examples | None, *, pair: bool
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Returns texts of all lengths from the test split, and strange ones; each with its pair."""
    rows: list[dict[str, str]] = []
    if examples:
        table = examples.texts("test")
        table = table if pair else table.select(["text"])
        rows = table.rename_columns([TEXT, PAIR][: table.num_columns]).to_pylist()
    rows.sort(key=lambda row: (sum(map(len, row.values())), *row.values()))
    last = len(rows) - 1
    # Whole numbers only: the same places whatever the machine.
    places = sorted({last * i // (ROWS - 1) for i in range(ROWS)}) if rows else []
    longest = [row[TEXT] for row in rows[-8:]]
    strange = [*STRANGE, " ".join([*longest, *["a film of many words"] * 200])[:5000]]
    others = {PAIR: strange[1:] + strange[:1]} if pair else {}
    made = zip(strange, *others.values(), strict=True)
    return [rows[i] for i in places], [dict(zip((TEXT, *others), row, strict=True)) for row in made]
