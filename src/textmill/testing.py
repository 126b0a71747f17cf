"""For tests, ours and those of people who extend Textmill: checks and tiny data."""

from __future__ import annotations

import ast
import csv
import inspect
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from textmill.artifact import Artifact, content, digest_files
from textmill.fingerprint import recipe_of
from textmill.models.task import Task
from textmill.run import Run, output_type

A = TypeVar("A", bound=Artifact)
P = ParamSpec("P")

# What makes a cached run slow if a component's module imports it before the component is called.
HEAVY = {"daft", "keras", "keras_hub", "sklearn", "tensorflow", "torch", "transformers"}


def check_component(
    component: Callable[Concatenate[A, P], None], *args: P.args, **kwargs: P.kwargs
) -> A:
    """Runs a component twice in workspaces of its own and says all that is wrong with it.

    Args:
        component: The function.
        args: The artifacts to call it with.
        kwargs: Its parameters.

    Returns:
        The artifact that it wrote, in a temporary folder.

    Raises:
        AssertionError: One line for each thing that is wrong.

    Example:
        >>> def shout(out: Artifact, *, word: str) -> None:
        ...     '''Writes a word in capitals.'''
        ...     _ = (out.path / "word").write_text(word.upper())
        >>> made = check_component(shout, word="hello")
        >>> (made.path / "word").read_text()
        'HELLO'
    """
    problems = list(_form_problems(component))
    given = {arg.path: digest_files(content(arg.path)) for arg in args if isinstance(arg, Artifact)}
    recipe = recipe_of(component, *args, **kwargs)
    if recipe != recipe_of(component, *args, **kwargs):
        problems.append("its parameters are described differently each time: use plain values")

    folder = Path(tempfile.mkdtemp(prefix="textmill-check-"))
    made, again = (Run(folder / name)(component, *args, **kwargs) for name in ("once", "again"))
    if not content(made.path):
        problems.append("it wrote nothing into out.path")
    if made.digest != again.digest:
        before, after = content(made.path), content(again.path)
        differ = sorted(
            name
            for name in before.keys() | after.keys()
            if name not in before
            or name not in after
            or before[name].read_bytes() != after[name].read_bytes()
        )
        problems.append(
            f"two runs wrote different {', '.join(differ)}: leave out times, paths and chance, "
            "or every step after it reruns for nothing"
        )
    for path, digest in given.items():
        if digest_files(content(path)) != digest:
            problems.append(f"it changed its input {path}: write to out.path only")
    if problems:
        raise AssertionError("\n".join(f"{component.__qualname__}: {p}" for p in problems))
    return made


def _form_problems(component: Callable[..., None]) -> list[str]:
    """Returns what is wrong with a component before it is called."""
    output_type(component)  # raises TypeError with a message of its own
    problems = []
    if not inspect.getdoc(component):
        problems.append("it has no docstring: say what it writes to out")
    for parameter in list(inspect.signature(component).parameters.values())[1:]:
        if parameter.annotation is inspect.Parameter.empty:
            problems.append(f"parameter {parameter.name} has no type")
        if parameter.default is not parameter.empty and parameter.kind != parameter.KEYWORD_ONLY:
            problems.append(f"parameter {parameter.name} has a default: put it after a *")
    file = inspect.getsourcefile(component)
    if file is not None and file.endswith(".py") and Path(file).is_file():
        for node in ast.parse(Path(file).read_bytes()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            problems += [
                f"its module imports {name} at the top, which every cached run pays for: "
                "import it inside the function"
                for name in HEAVY.intersection(n.partition(".")[0] for n in names)
            ]
    return problems


def check_task(task: Task) -> None:
    """Trains a task on tiny data and says all that is wrong with it.

    Args:
        task: A module or an object with the functions of `textmill.models.task.Task`, for rows
            of one text and one label.

    Raises:
        AssertionError: One line for each thing that is wrong.

    Example:
        >>> from textmill.models import text_classification
        >>> check_task(text_classification)
    """
    import numpy as np

    from textmill.components.evaluate import evaluate
    from textmill.components.ingest import ingest
    from textmill.components.sources.by_name import open_source
    from textmill.components.tokenize import tokenize
    from textmill.components.train import train
    from textmill.models.preset import Scratch
    from textmill.models.settings import Settings
    from textmill.models.task import logits_of

    folder = Path(tempfile.mkdtemp(prefix="textmill-check-"))
    run, preset = Run(folder), Scratch("tiny", 300)
    examples = run(ingest, open_source(str(tiny_reviews(folder))))
    tokens = run(tokenize, examples, preset=preset, max_length=24)
    settings = Settings(epochs=3, learning_rate=1e-3)
    trained = run(train, tokens, preset=preset, task=task, settings=settings)
    problems = []
    with (trained.path / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    if not losses[-1] < losses[0]:
        problems.append(f"its loss does not fall in training: {losses}")

    model = task.load(trained.path)
    short, long = (np.array(ids, np.int32) for ids in ([[2, 9, 3]], [[2, 9, 3, 0, 0]]))
    alone = np.asarray(logits_of(model, short, short > 0))
    padded = np.asarray(logits_of(model, long, long > 0))
    if not np.allclose(alone, padded, atol=1e-5):
        problems.append("padding changes its logits: does it use padding_mask?")
    scores = task.decode(padded, trained.task())
    if len(scores) != 1 or not np.isfinite(scores).all():
        problems.append(f"decode gives no finite scores for each row: {scores}")
    if "accuracy" not in run(evaluate, trained, tokens, examples, task=task).metrics():
        problems.append("its predictions can't be scored")
    if problems:
        raise AssertionError("\n".join(f"{task.NAME}: {problem}" for problem in problems))


def tiny_reviews(folder: Path, rows: int = 240, *, seed: int = 0) -> Path:
    """Writes a CSV of made-up reviews with the columns text and label; returns its path.

    Half are "pos", half "neg", told apart by one adjective, so that a small model learns them in
    seconds.

    Example:
        >>> file = tiny_reviews(Path(tempfile.mkdtemp()), rows=4)
        >>> file.read_text().splitlines()[0]
        'text,label'
    """
    chance = random.Random(seed)
    words = {
        "pos": ["wonderful", "charming", "moving", "brilliant", "funny", "warm"],
        "neg": ["dreadful", "tedious", "clumsy", "hollow", "dull", "cold"],
    }
    things = ["plot", "cast", "music", "ending", "script", "camera work", "dialogue", "pace"]
    openings = ["I found the", "Everyone said that the", "For once the", "Once more the", "The"]
    endings = ["from start to end", "and I would say so again", "to my surprise", "as always"]
    file = folder / "reviews.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["text", "label"])
        for row in range(rows):
            label = ("pos", "neg")[row % 2]
            opening, thing, ending = map(chance.choice, (openings, things, endings))
            word = chance.choice(words[label])
            table.writerow([f"{opening} {thing} of film {row} was {word} {ending}.", label])
    return file
