"""What a model is trained with, as one value of which a search changes parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Interval
from pydantic.dataclasses import dataclass

from textmill.artifact import Parameters
from textmill.config import STRICT
from textmill.models.preset import Preset, Scratch
from textmill.models.settings import Settings

MODEL = ("preset", "scratch", "vocabulary_size", "max_length", "dropout")
TRAIN = tuple(field.name for field in dataclasses.fields(Settings))


@dataclass(frozen=True, config=STRICT)
class Point:
    """All values of `[model]` and `[train]`.

    Attributes:
        preset: Where the first weights come from.
        max_length: Tokens a row at most.
        dropout: Share of activations to drop.
        settings: How it is trained.
    """

    preset: Preset | Scratch
    max_length: Annotated[int, Ge(3)] = 256
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    settings: Settings = Settings()

    def changed(self, values: Mapping[str, Any]) -> Point:
        """Returns the point with some values in place of its own.

        Args:
            values: By their keys in `[model]` and `[train]`. Others, which a hypermodel asked for,
                are passed over.

        Raises:
            ValidationError: A value is outside the limits that its key has.

        Example:
            >>> point = Point(Scratch("tiny")).changed({"scratch": "mini", "epochs": 5})
            >>> point.preset.size, point.settings.epochs
            ('mini', 5)
        """
        preset = Preset(values["preset"]) if "preset" in values else self.preset
        new = {key: values[key] for key in ("scratch", "vocabulary_size") if key in values}
        if new:
            given = preset if isinstance(preset, Scratch) else Scratch()
            preset = dataclasses.replace(
                given,
                size=new.get("scratch", given.size),
                vocabulary_size=new.get("vocabulary_size", given.vocabulary_size),
            )
        return Point(
            preset,
            values.get("max_length", self.max_length),
            values.get("dropout", self.dropout),
            dataclasses.replace(
                self.settings, **{key: values[key] for key in TRAIN if key in values}
            ),
        )

    def values(self) -> dict[str, Any]:
        """Returns the values by their keys; `changed` with them gives the point again.

        Example:
            >>> Point(Scratch("tiny"), max_length=64).values()["scratch"]
            'tiny'
        """
        start: dict[str, Any]
        if isinstance(self.preset, Scratch):
            start = {"scratch": self.preset.size, "vocabulary_size": self.preset.vocabulary_size}
        else:
            start = {"preset": self.preset.name}
        rest = {"max_length": self.max_length, "dropout": self.dropout}
        return start | rest | {key: getattr(self.settings, key) for key in TRAIN}


def chosen(point: Point, parameters: Parameters | None) -> Point:
    """Returns the point with what a search found best in place of its own values."""
    return point if parameters is None else point.changed(parameters.values())
