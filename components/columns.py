"""Columns of any Arrow type as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textmill.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


def as_text(column: pa.Array, name: str) -> tuple[pa.Array, pa.Array]:
    r"""Returns a column as strings, and which of its values were no valid UTF-8.

    Numbers, truth values and times become their text: 1.0 is "1.0", true is "true".

    Args:
        column: Any plain values [n].
        name: Name of the column, for the message.

    Returns:
        The strings [n], null where `column` is, with an escape such as "\xff" where a byte is not
        valid; and where that was so, bool [n].

    Raises:
        UserError: The column holds lists, structures or the like.

    Example:
        >>> import pyarrow as pa
        >>> as_text(pa.array([1.0, None]), "stars")[0].to_pylist()
        ['1.0', None]
        >>> [texts, invalid] = as_text(pa.array([b"caf\xc3\xa9", b"caf\xe9"]), "text")
        >>> texts.to_pylist(), invalid.to_pylist()
        (['café', 'caf\\xe9'], [False, True])
    """
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(column.type):
        return as_text(column.dictionary_decode(), name)
    valid = pa.repeat(False, len(column))
    if is_string(column.type) or types.is_binary(column.type) or types.is_large_binary(column.type):
        return _decoded(column.cast(pa.binary()))
    if types.is_floating(column.type):  # Arrow itself would write 1.0 as "1"
        values = (None if value is None else str(value) for value in column.to_pylist())
        return pa.array(values, pa.string()), valid
    plain = (types.is_null, types.is_decimal, types.is_primitive)
    if not any(belongs(column.type) for belongs in plain):
        raise UserError(
            f"column {name!r} holds no text",
            expected="strings, numbers or truth values",
            received=f"Arrow type {column.type}",
            fix="name another column, or write this one as text first",
        )
    return column.cast(pa.string()), valid


def is_string(kind: pa.DataType) -> bool:
    """Returns whether an Arrow type is one of strings."""
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _decoded(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return column.cast(pa.string()), pa.repeat(False, len(column))
    except pa.ArrowInvalid:
        texts = [value and value.decode(errors="backslashreplace") for value in column.to_pylist()]
        found = pa.array(texts, pa.string())
        return found, pc.fill_null(pc.not_equal(found.cast(pa.binary()), column), False)
