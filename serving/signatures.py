"""The signatures that a model has, as its manifest tells what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textmill.serving.generator import generator_forms
from textmill.serving.heads import Form, forms

WRITES = "text"  # the kind of a model that answers text with text


def signatures_of(manifest: Mapping[str, Any]) -> dict[str, Form]:
    """Returns the signatures that a model should have.

    Args:
        manifest: Of the model; {} for one of somebody else's, which is taken for a classifier.

    Example:
        >>> list(signatures_of({"kind": "number"}))
        ['serving_default', 'regress']
    """
    more = manifest.get("more_signatures", ())
    if manifest.get("kind") == WRITES:
        return generator_forms(more, asks=manifest["asks"])
    return forms(manifest.get("kind", "one"), pair=manifest.get("pair", False), more=more)
