"""What the documents show is run."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from textmill.config import build
from textmill.pipelines.local import read_job
from textmill.pipelines.seq2seq import Config as Seq2SeqConfig
from textmill.pipelines.text_classification import Config
from textmill.pipelines.text_generation import Config as GenerationConfig

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PIPELINES = {"text_generation": GenerationConfig, "seq2seq": Seq2SeqConfig}
TASKS = sorted((ROOT / "docs/tasks").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_the_page_runs(page: Path) -> None:
    document = Sybil([PythonCodeBlockParser()]).parse(page)
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    assert len(examples) == page.read_text("utf-8").count("```python\n")


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "README.zh-CN.md"])
def test_config_on_the_page_is_one(page: Path) -> None:
    (toml,) = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.S)
    config = build(Config, tomllib.loads(toml), name=page.name)
    assert config.pipeline == "text_classification"


@pytest.mark.parametrize("page", TASKS, ids=lambda page: page.name)
def test_pages_of_tasks_show_a_config_and_real_requests(page: Path) -> None:
    text = page.read_text("utf-8")
    toml, *parts = re.findall(r"```toml\n(.*?)```", text, re.S)
    config = tomllib.loads(toml)
    kind: type[Config | GenerationConfig | Seq2SeqConfig] = Config
    kind = PIPELINES.get(config["pipeline"], kind)
    push = build(kind, config, name=page.name).push
    assert push is not None
    assert push.to
    for part in parts:  # sections in place of the first config's
        build(kind, config | tomllib.loads(part), name=page.name)
    for example in re.findall(r"`(examples/.*?)`", text):
        assert (ROOT / example).is_file()
    for answers in re.findall(r"```json\n(.*?)```", text, re.S):
        assert [json.loads(line) for line in answers.splitlines()]
    for request in re.findall(r"curl -d '(.*?)' ", text):
        assert json.loads(request).keys() <= {"instances", "examples"}


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.toml")), ids=lambda f: f.name)
def test_examples_are_configs(file: Path) -> None:
    assert read_job(file).config.workspace.startswith("runs/")


def test_both_readmes_have_the_same_headings_and_commands() -> None:
    def skeleton(page: Path) -> tuple[int, list[str]]:
        text = page.read_text("utf-8")
        blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
        return len(re.findall(r"^## ", text, re.M)), blocks

    assert skeleton(ROOT / "README.md") == skeleton(ROOT / "README.zh-CN.md")


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        (page.name, link)
        for page in [*PAGES, ROOT / "README.zh-CN.md"]
        for link in re.findall(r"\]\(([^):#]+)\)", page.read_text("utf-8"))
        if not (page.parent / link).exists()
    ]
    assert not broken
