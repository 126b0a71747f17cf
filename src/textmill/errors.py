"""Errors that a user can mend: what was expected, what came, how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what was given to Textmill; the command line prints it and exits with 2.

    Args:
        what: One line that names the thing at fault.
        expected: What would have been right.
        received: What came instead.
        fix: What to do now.

    Example:
        >>> print(UserError("reviews.csv: no column 'txt'", expected="one of: text, label",
        ...                 received="'txt'", fix='set data.text = "text"'))
        reviews.csv: no column 'txt'
          expected: one of: text, label
          received: 'txt'
          fix:      set data.text = "text"
    """

    exit_code = 2

    def __init__(self, what: str, *, expected: str, received: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.expected, self.received, self.fix = what, expected, received, fix

    def __str__(self) -> str:
        return (
            f"{self.what}\n"
            f"  expected: {self.expected}\n"
            f"  received: {self.received}\n"
            f"  fix:      {self.fix}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments would be lost on the way back from another process.
        return (_rebuild, (type(self), self.what, self.expected, self.received, self.fix))


class Refused(UserError):
    """Nothing was given wrongly, but the model may not go further; exit code 1.

    Example:
        >>> Refused("gate", expected=">= 0.8", received="0.71", fix="train longer").exit_code
        1
    """

    exit_code = 1


def _rebuild(kind: type[UserError], what: str, expected: str, received: str, fix: str) -> UserError:
    return kind(what, expected=expected, received=received, fix=fix)


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Returns the name in `valid` that `name` was most likely meant to be, or None.

    Example:
        >>> nearest("max_lenght", ["max_length", "preset"])
        'max_length'
        >>> nearest("zzz", ["max_length", "preset"]) is None
        True
    """
    found = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return found[0] if found else None


def one_of(names: Iterable[str]) -> str:
    """Returns the names as they stand in a message.

    Example:
        >>> one_of(["b", "a"])
        'one of: a, b'
    """
    return "one of: " + (", ".join(sorted(names)) or "(none)")
