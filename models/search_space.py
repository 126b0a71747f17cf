"""The space of a search: which values are tried, and under which conditions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from textmill.errors import UserError, nearest, one_of
from textmill.models.preset import Preset, Scratch
from textmill.models.search_point import MODEL, TRAIN, Point

if TYPE_CHECKING:
    import keras_tuner

Value = bool | int | float | str
Values = dict[str, Value]

_SPELT = ("min", "max", "step", "log", "choice", "boolean", "when")


@dataclass(frozen=True)
class Entry:
    """The values that one key may take.

    Attributes:
        name: The key.
        choices: Every value, where they are given one by one.
        low: The least, in a range; the ends belong to it.
        high: The greatest.
        step: Distance between two values, with `log` their ratio; None: any value between.
        log: Whether equal ratios are as far apart as equal differences otherwise.
        when: Other key -> values of it under which this entry counts.
    """

    name: str
    choices: tuple[Value, ...] = ()
    low: float | int = 0
    high: float | int = 0
    step: float | int | None = None
    log: bool = False
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return not self.choices and isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def countable(self) -> bool:
        """Whether its values can be taken one after the other."""
        return bool(self.choices or self.step is not None or (self.whole and not self.log))

    def contains(self, value: Value) -> bool:
        """Returns whether the entry has this value.

        Example:
            >>> Entry("epochs", low=1, high=7, step=2).contains(4)
            False
        """
        if self.choices:
            # To Python, True is 1.
            return any(value == c and type(value) is type(c) for c in self.choices)
        if isinstance(value, bool | str) or not self.low <= value <= self.high:
            return False
        if self.whole and value != int(value):
            return False
        if self.step is None:
            return True
        steps = (
            math.log(value / self.low, self.step) if self.log else (value - self.low) / self.step
        )
        return abs(steps - round(steps)) < 1e-6

    def tidy(self, value: Value) -> Value:
        """Returns a drawn value with six digits, which are enough and can be read."""
        if self.choices or not isinstance(value, float):
            return value
        return min(max(float(f"{value:.6g}"), float(self.low)), float(self.high))


@dataclass(frozen=True)
class Space:
    """What is searched; parents stand before the entries that depend on them.

    Attributes:
        entries: One for each key.
    """

    entries: tuple[Entry, ...]

    def digest(self) -> str:
        """Returns what stands for the content of the presets in it."""
        names = [str(c) for e in self.entries if e.name == "preset" for c in e.choices]
        return hashlib.sha256("".join(Preset(n).digest() for n in names).encode()).hexdigest()

    def active(self, values: Mapping[str, Any]) -> list[Entry]:
        """Returns the entries that count where the others have these values."""
        found: list[Entry] = []
        for entry in self.entries:
            held = {e.name: values.get(e.name) for e in found}
            if all(parent in held and held[parent] in allowed for parent, allowed in entry.when):
                found.append(entry)
        return found

    def point(self, values: Mapping[str, Any]) -> Values | None:
        """Returns the part of `values` that the space is about, None where it is outside.

        Example:
            >>> space = read_space({"epochs": {"min": 1, "max": 3}})
            >>> space.point({"epochs": 2, "seed": 0}), space.point({"epochs": 4})
            ({'epochs': 2}, None)
        """
        active = self.active(values)
        inside = all(e.name in values and e.contains(values[e.name]) for e in active)
        return {e.name: values[e.name] for e in active} if inside else None

    def tidy(self, values: Mapping[str, Any]) -> Values:
        """Returns drawn values as a person would write them."""
        entries = {entry.name: entry for entry in self.entries}
        return {n: entries[n].tidy(v) if n in entries else v for n, v in values.items()}

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """Returns the space as KerasTuner has it."""
        import keras_tuner

        made = keras_tuner.HyperParameters()
        conditions: dict[str, list[tuple[str, tuple[Value, ...]]]] = {}
        for entry in self.entries:
            inherited = [c for parent, _ in entry.when for c in conditions[parent]]
            conditions[entry.name] = [*inherited, *entry.when]
            with ExitStack() as scopes:
                for parent, allowed in conditions[entry.name]:
                    scopes.enter_context(made.conditional_scope(parent, list(allowed)))
                _add(made, entry)
        return made


def _add(made: keras_tuner.HyperParameters, entry: Entry) -> None:
    """Adds an entry; KerasTuner's own `Choice` would turn true and false into 1 and 0."""
    if len(entry.choices) == 1:
        made.Fixed(entry.name, entry.choices[0])
    elif entry.choices and isinstance(entry.choices[0], bool):
        made.Boolean(entry.name, default=entry.choices[0])
    elif entry.choices:
        made.Choice(entry.name, list(entry.choices))
    else:
        kind = made.Int if entry.whole else made.Float
        sampling = "log" if entry.log else "linear"
        kind(entry.name, entry.low, entry.high, step=entry.step, sampling=sampling)


def read_space(given: Mapping[str, Mapping[str, Any]], *, own_names: bool = False) -> Space:
    """Returns the space that `[tune.space]` describes.

    Args:
        given: Key of `[train]` or `[model]` -> `{"min": …, "max": …}` with `"step"` and `"log"`
            if need be, `{"choice": […]}` or `{"boolean": true}`; and `"when": {key: value or
            values}` for an entry that counts only if another one has such a value. A range is of
            whole numbers if both ends are.
        own_names: Whether there may be other names, which a hypermodel asks for.

    Raises:
        UserError: A key, a value or a condition is not right.

    Example:
        >>> read_space({"warmup": {"min": 0.0, "max": 0.2, "step": 0.1}}).entries
        (Entry(name='warmup', choices=(), low=0.0, high=0.2, step=0.1, log=False, when=()),)
    """
    entries = {name: _read_entry(name, spelt) for name, spelt in given.items()}
    for name, entry in entries.items():
        if name not in (*TRAIN, *MODEL) and not own_names:
            raise _wrong(name, "a key of [train] or [model]", name, _meant(name, (*TRAIN, *MODEL)))
        for parent, allowed in entry.when:
            if parent not in entries:
                fix = _meant(parent, entries)
                raise _wrong(f"{name}.when", one_of(entries), parent, fix)
            for value in allowed:
                if not entries[parent].contains(value):
                    fix = f"name values that tune.space.{parent} has"
                    raise _wrong(f"{name}.when", f"a value of {parent}", repr(value), fix)
        _check_limits(entry)
    if {"preset", "scratch"} <= entries.keys():
        fix = "search over presets or over sizes of a new model"
        raise _wrong("preset", "one of preset and scratch", "both", fix)
    return Space(tuple(_parents_first(entries)))


def _read_entry(name: str, spelt: object) -> Entry:
    if not isinstance(spelt, Mapping):
        fix = f"{name} = {{min = 1, max = 4}}, or {{choice = [1, 2]}}"
        raise _wrong(name, "a table", repr(spelt), fix)
    for key in spelt:
        if key not in _SPELT:
            raise _wrong(f"{name}.{key}", one_of(_SPELT), key, _meant(key, _SPELT))
    kinds = [kind for kind in ("choice", "boolean", "min") if kind in spelt]
    if len(kinds) != 1 or ("min" in spelt) != ("max" in spelt):
        expected = "min and max, or choice, or boolean"
        raise _wrong(name, expected, ", ".join(spelt) or "nothing", "give exactly one of them")
    if not isinstance(spelt.get("when", {}), Mapping):
        fix = 'write when = {decay = "linear"}'
        raise _wrong(f"{name}.when", "another key with its value", repr(spelt["when"]), fix)
    when = tuple(
        (str(parent), tuple(allowed) if isinstance(allowed, list | tuple) else (allowed,))
        for parent, allowed in spelt.get("when", {}).items()
    )
    if kinds == ["min"]:
        return _read_range(name, spelt, when)
    if {"step", "log"} & spelt.keys():
        raise _wrong(name, "step and log beside min and max", ", ".join(spelt), "remove them")
    if kinds == ["boolean"]:
        if spelt["boolean"] is not True:
            raise _wrong(name, "boolean = true", repr(spelt["boolean"]), "write boolean = true")
        return Entry(name, choices=(False, True), when=when)
    return Entry(name, choices=_choices(name, spelt["choice"]), when=when)


def _read_range(
    name: str, spelt: Mapping[str, Any], when: tuple[tuple[str, tuple[Value, ...]], ...]
) -> Entry:
    low, high, step, log = spelt["min"], spelt["max"], spelt.get("step"), spelt.get("log", False)
    for key, value in (("min", low), ("max", high), ("step", 1 if step is None else step)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(f"{name}.{key}", "a number", repr(value), f"change {key}")
    if not isinstance(log, bool):
        raise _wrong(f"{name}.log", "true or false", repr(log), "write log = true")
    if not low < high:
        raise _wrong(name, "min below max", f"min {low}, max {high}", "swap or change them")
    if log and low <= 0:
        fix = "raise min, or leave out log"
        raise _wrong(name, "a min above 0, which log needs", str(low), fix)
    if step is not None and step <= (1 if log else 0):
        expected = "a ratio above 1" if log else "a step above 0"
        raise _wrong(f"{name}.step", expected, str(step), "change step")
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, float):
        raise _wrong(f"{name}.step", "a whole number, as min and max are", str(step), "change step")
    return Entry(name, low=low, high=high, step=step, log=log, when=when)


def _choices(name: str, given: object) -> tuple[Value, ...]:
    values = list(given) if isinstance(given, list | tuple) else []
    if not values:
        raise _wrong(f"{name}.choice", "a list of values", repr(given), "name at least one value")
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        values, kinds = [float(value) for value in values], {float}
    if len(kinds) > 1 or not kinds <= {bool, int, float, str}:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        fix = "give numbers, or texts, or true and false"
        raise _wrong(f"{name}.choice", "values of one kind", found, fix)
    return tuple(dict.fromkeys(values))


def _check_limits(entry: Entry) -> None:
    """Tries what an entry may give where a training would refuse it."""
    for value in entry.choices or (entry.low, entry.high):
        try:
            Point(Scratch()).changed({entry.name: value})
        except ValidationError as error:
            expected = error.errors()[0]["msg"].removeprefix("Input should be ")
            fix = f"change tune.space.{entry.name}"
            raise _wrong(entry.name, expected, repr(value), fix) from None


def _parents_first(entries: dict[str, Entry]) -> Iterable[Entry]:
    left, placed = dict(entries), set[str]()
    while left:
        ready = [e for e in left.values() if all(parent in placed for parent, _ in e.when)]
        if not ready:
            fix = "let one of them stand without when"
            raise _wrong(next(iter(left)), "conditions without a circle", " -> ".join(left), fix)
        yield ready[0]
        placed.add(ready[0].name)
        del left[ready[0].name]


def _meant(name: str, valid: Iterable[str]) -> str:
    close = nearest(name, valid)
    return f"did you mean {close}?" if close else f"remove {name}"


def _wrong(what: str, expected: str, received: str, fix: str) -> UserError:
    return UserError(f"tune.space.{what}", expected=expected, received=received, fix=fix)
