"""The command `textmill`; a command imports what it needs when it runs, so `--help` is quick."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from textmill.errors import UserError

app = typer.Typer(
    name="textmill",
    help="Raw text in, a model that TensorFlow Serving loads out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

WIDEST = 1 << 16  # characters of a line that goes to a file or a pipe

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to run.")]
ModelDir = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL_DIR", help="A SavedModel, or a folder of versions: then its newest."
    ),
]


@app.command()
def run(
    config: ConfigFile,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one value of the config."),
    ] = None,
    force: Annotated[
        list[str] | None,
        typer.Option("--force", metavar="STEP", help="Run this step although nothing changed."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which steps would run, and why; run nothing.")
    ] = False,
) -> None:
    """Take raw text to a pushed model; steps that nothing changed for come from the cache."""
    from textmill.pipelines.local import read_job

    began = time.monotonic()
    job = read_job(config, settings or ())
    planned = job.plan(force=force or ()) if force or dry_run else []
    _check_steps(force or (), [step.step for step in planned])
    if dry_run:
        for step in planned:
            state = "hit " if step.hit else "miss"
            print(f"{state}  {step.step:<9} {'; '.join(step.reasons)}".rstrip())
        return
    from rich.console import Console

    from textmill.artifact import Pushed
    from textmill.display import duration, listener_for

    made = job.run(force=force or (), listener=listener_for(Console()))
    done = "pushed" if isinstance(made, Pushed) else "saved"
    where = getattr(made, "model_path", made.path)
    print(f"{done} {where} in {duration(time.monotonic() - began)}")


@app.command()
def predict(
    model: ModelDir,
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="A file with a text a line (and a tab before a pair); - is standard input.",
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option("--pair", metavar="TEXT", help="The second text of each, in their order."),
    ] = None,
    wishes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=NUMBER",
            help="How a model that writes decodes: temperature, top_k, top_p, repetition_penalty, "
            "min_new_tokens, max_new_tokens, seed.",
        ),
    ] = None,
) -> None:
    """Print one JSON line a text: text and what the model says of it, or writes behind it."""
    if bool(texts) == (file is not None):
        raise UserError(
            "predict: nothing to predict" if not texts else "predict: two sources of texts",
            expected="texts as arguments, or --file",
            received="both" if texts else "neither",
            fix='textmill predict MODEL_DIR "a text", or --file texts.txt instead of the text',
        )
    from textmill.lines import lines_of

    # What the shell hands over need not be UTF-8.
    given, others = (
        [os.fsencode(text).decode("utf-8", "replace") for text in some or ()]
        for some in (texts, pairs)
    )
    lines = lines_of(file) if file is not None else iter(given)
    if _writes(model):
        if others:
            raise UserError(
                "predict: --pair is for a model that compares two texts",
                expected="prompts alone, for this model writes",
                received="--pair",
                fix="leave --pair out",
            )
        from textmill.serving.text_predictor import TextPredictor

        for row in TextPredictor(model, _numbers(wishes or []))(lines):
            print(json.dumps(row, ensure_ascii=False), flush=True)
        return
    if wishes:
        raise UserError(
            "predict: --set is for a model that writes",
            expected="texts alone, for this model answers labels, numbers or spans",
            received=f"--set {wishes[0]}",
            fix="leave --set out",
        )
    from textmill.serving.predictor import Predictor

    predictor = Predictor(model)
    rows = _rows(lines, iter(others) if file is None else None, pair=predictor.pair)
    for row in predictor(rows):
        print(json.dumps(row, ensure_ascii=False))


@app.command()
def check(
    model: ModelDir,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="X.Y",
            help="The release of TensorFlow Serving that it is for; default: any since 2.12.",
        ),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(
            "--python",
            metavar="PATH",
            help="A Python with another TensorFlow, in which the model must load too.",
        ),
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option("--latency", help="What 19 of 20 single texts must keep, 50ms for example."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help="The most beside TensorFlow's own, 500MB for example."),
    ] = None,
) -> None:
    """Prove that TensorFlow Serving can load a SavedModel; exit with 1 if it can't."""
    from textmill.serving.budget import Budget, bytes_of, milliseconds
    from textmill.serving.contract import check_contract

    if latency is not None:
        milliseconds(latency)
    if memory is not None:
        bytes_of(memory)
    budget = Budget(latency=latency, memory=memory)
    found = check_contract(model, server=server, python=python, budget=budget)
    if as_json:
        import dataclasses

        rows = [dataclasses.asdict(row) for row in found.rows]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_rows([(row.rule, row.status, row.found, row.fix) for row in found.rows])
        _print_measured(found.measured)
    raise typer.Exit(int(not found.holds))


@app.command()
def export(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A Hugging Face classifier or causal language model, a GGUF file, or a model that "
            "a run trained.",
        ),
    ],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Where the numbered version goes.")
    ],
    max_length: Annotated[
        int | None,
        typer.Option("--max-length", help="Tokens a text at most; default: what CHECKPOINT says."),
    ] = None,
    to_huggingface: Annotated[
        bool,
        typer.Option("--huggingface", help="Write a Hugging Face folder instead."),
    ] = False,
    pair: Annotated[
        bool, typer.Option("--pair", help="CHECKPOINT was trained on two texts a row.")
    ] = False,
    precision: Annotated[
        str,
        typer.Option("--precision", help="float32, bfloat16, bfloat16_weights or int8_weights."),
    ] = "float32",
) -> None:
    """Turn a trained checkpoint into a checked SavedModel that takes raw text; train nothing."""
    from rich.console import Console

    from textmill.display import listener_for
    from textmill.pipelines.checkpoint import export_checkpoint, export_huggingface
    from textmill.serving.precision import precision_named

    if to_huggingface:
        export_huggingface(checkpoint, out_dir, max_length=max_length)
        print(f"wrote {out_dir}")
        return
    made = export_checkpoint(
        checkpoint,
        out_dir,
        max_length=max_length,
        pair=pair,
        precision=precision_named(precision),
        listener=listener_for(Console()),
    )
    print(f"exported {made}")


@app.command()
def deploy(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL_DIR", help="The folder that a push wrote: its versions."),
    ],
    target: Annotated[str, typer.Option("--target", help="docker, compose, kubernetes or kserve.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the files go; default: print them.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="The model's name in requests; default: the folder's."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="LABEL=VERSION", help="A name for a version, stable=2."),
    ] = None,
    load: Annotated[
        str | None,
        typer.Option(
            "--versions",
            help="What to load: latest, all, specific (what has a label), or numbers, 2,3.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URI",
            help="Where a cluster reads it from: pvc://CLAIM/PATH, gs://, s3://, oci://IMAGE.",
        ),
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="Serve on a GPU.")] = False,
    cpus: Annotated[
        int | None,
        typer.Option("--cpus", help="Cores for the server; default: all, in a cluster 2."),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option("--server-version", metavar="X.Y.Z", help="Of TensorFlow Serving."),
    ] = None,
) -> None:
    """Write all that it takes to run TensorFlow Serving on a pushed model."""
    from textmill.serving.deploy import deploy_files, next_step, write_files
    from textmill.serving.deployment import SERVER, plan_deployment

    deployment = plan_deployment(
        model,
        target=target,
        name=name,
        load=load,
        labels=labels or (),
        server=server or SERVER,
        gpu=gpu,
        cpus=cpus,
        storage=storage,
    )
    if out is None:
        files = deploy_files(deployment)
        for file, content in files.items():
            # A comment in each of these languages, so one file alone can go through a pipe.
            print(f"# ==> {file}\n{content}" if len(files) > 1 else content, end="")
        return
    written = write_files(deployment, out)
    for file, changed in written.items():
        print(f"{'wrote' if changed else 'kept '} {out / file}")
    print("next:", next_step(deployment, out))


@app.command()
def lineage(
    path: Annotated[
        Path, typer.Argument(help="An artifact, a workspace, or a pushed model.", metavar="PATH")
    ],
    descendants: Annotated[
        bool, typer.Option("--descendants", help="What was made from it, instead of what made it.")
    ] = False,
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="URL", help="Lineage store, if not the default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tree as JSON.")] = False,
) -> None:
    """Print the tree of data, code and parameters behind an artifact."""
    from textmill.lineage import descendants_of, lineage_of, tree_of

    if descendants:
        for row in descendants_of(path, store):
            print(json.dumps(row) if as_json else f"{row['type']:<11} {row['uri']}")
        return
    record = lineage_of(path)
    if as_json:
        print(json.dumps(record, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    # Where no window sets a width, a path stays on one line.
    console = Console(width=None if sys.stdout.isatty() else WIDEST)
    console.print(tree_of(record), highlight=False)


@app.command()
def doctor() -> None:
    """Print versions and devices, what is missing, and the line that mends it."""
    from textmill.doctor import examine

    rows = examine()
    _print_rows([(row.name, row.status, row.found, row.fix) for row in rows])
    raise typer.Exit(int(any(row.status == "failed" for row in rows)))


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the config.")],
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="The data; default: the one data file in DIR."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Weights to start from; default: a new small model."),
    ] = None,
) -> None:
    """Look at a data file, guess its columns, and write a config that runs as it is."""
    from textmill.pipelines.starter import write_starter

    made = write_starter(folder, data, preset)
    print(f"wrote {made.file}\n{made.chosen}")
    if made.left_out:
        print(f"left out: {made.left_out}")
    if made.unread:
        print(made.unread)
    print(f"next: textmill run {shlex.quote(str(made.file))}")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; a user's mistake is one message on standard error."""
    try:
        app(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; finished steps are kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone, as `| head` does; keep Python from saying so at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _writes(model: Path) -> bool:
    """Says whether a model answers texts with texts."""
    from textmill.artifact import read_manifest
    from textmill.serving.contract import find_model
    from textmill.serving.signatures import WRITES

    return read_manifest(find_model(model)).get("kind") == WRITES


def _numbers(wishes: list[str]) -> dict[str, float]:
    """Returns what `--set` says, "temperature=0.7" for example."""
    found: dict[str, float] = {}
    for wish in wishes:
        name, _, number = wish.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if value != value or abs(value) == float("inf"):
            raise UserError(
                f"--set {wish} can't be read",
                expected="a name and a number, as in temperature=0.7",
                received=repr(wish),
                fix="write --set NAME=NUMBER",
            )
        found[name] = value
    return found


def _rows(
    texts: Iterator[str], others: Iterator[str] | None, *, pair: bool
) -> Iterator[dict[str, str]]:
    """Yields rows for a model that takes one text, or two: from `others`, or behind a tab."""
    for number, text in enumerate(texts, 1):
        if not pair:
            yield {"text": text}
            continue
        first, tab, second = text.partition("\t") if others is None else (text, "", None)
        other = second if tab else next(others, None) if others is not None else None
        if other is None:
            raise UserError(
                f"text {number} has no second one",
                expected="two texts, which this model compares",
                received=repr(text[:60]),
                fix='add --pair "…" for each text, or a tab and the second text to each line',
            )
        yield {"text": first, "text_pair": other}


def _check_steps(names: list[str] | tuple[str, ...], steps: list[str]) -> None:
    from textmill.errors import nearest, one_of

    for name in names:
        if name not in steps:
            close = nearest(name, steps)
            raise UserError(
                f"--force {name}: no such step",
                expected=one_of(steps),
                received=name,
                fix=f"did you mean --force {close}?" if close else "name a step of the pipeline",
            )


def _print_measured(measured: dict[str, Any]) -> None:
    """Says what a check measured, where a model ran."""
    if "latency_ms" in measured:
        times = measured["latency_ms"]
        line = f"here: loaded in {measured['load_seconds']:.2g} s, a text takes "
        line += f"{times['p50']:.3g} ms (95 %: {times['p95']:.3g} ms)"
        if "memory_bytes" in measured:
            line += f", {measured['memory_bytes'] / 1e6:.4g} MB beside TensorFlow's own"
        print(line)


def _print_rows(rows: list[tuple[str, str, str, str]]) -> None:
    """Prints name, status, finding, and under a failed row how to mend it."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    width = max(len(name) for name, *_ in rows)
    marks = {"passed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "dim")}
    for name, status, found, fix in rows:
        mark, style = marks[status]
        line = Text.assemble((mark, style), f" {name:<{width}}  ", (found, "dim"))
        console.print(line, soft_wrap=True)
        if fix and status != "passed":
            console.print(Text(f"  {'':<{width}}  fix: {fix}"), soft_wrap=True)


if __name__ == "__main__":
    main()
