"""Columns of any Arrow type as text, and what lies inside them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from textmill.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

OBJECT, LIST = "an object", "several values"  # reasons why a value is no text
_LOOKED_AT = 100  # values of a column of JSON, for the keys in a message


def as_text(column: pa.Array, name: str) -> tuple[pa.Array, pa.Array]:
    r"""Returns a column as strings, and why a value is no text.

    Numbers, truth values and times become their text: 1.0 is "1.0", true is "true", and 0.1 is
    "0.1" in any width. NaN is null. A list of one value is that value.

    Args:
        column: Any values [n].
        name: Name of the column, for the message.

    Returns:
        The strings [n], null where `column` is, with an escape such as "\xff" where a byte is not
        valid; and a reason [n], null where the text is good.

    Raises:
        UserError: The column holds nothing but objects, or no values that have a text.

    Example:
        >>> import pyarrow as pa
        >>> as_text(pa.array([1.0, None, float("nan")]), "stars")[0].to_pylist()
        ['1.0', None, None]
        >>> [texts, faults] = as_text(pa.array([b"caf\xc3\xa9", b"caf\xe9"]), "text")
        >>> texts.to_pylist(), faults.to_pylist()
        (['café', 'caf\\xe9'], [None, 'invalid encoding'])
        >>> as_text(pa.array([["one"], ["a", "b"]]), "text")[1].to_pylist()
        [None, 'several values: a list of 2']
    """
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(column.type):
        return as_text(column.dictionary_decode(), name)
    good = pa.nulls(len(column), pa.string())
    bytes_of = (types.is_binary, types.is_large_binary, types.is_binary_view)
    if is_string(column.type) or any(belongs(column.type) for belongs in bytes_of):
        return _decoded(column.cast(pa.binary()))
    if types.is_floating(column.type) or types.is_decimal(column.type):
        texts = _number_texts(column)
        return pa.array(texts, pa.string()), good
    if is_nested(column.type):
        return _single(values_of(column), name)
    plain = types.is_null(column.type) or types.is_primitive(column.type)
    if not plain or types.is_interval(column.type):
        raise UserError(
            f"column {name!r} holds no text",
            expected="strings, numbers or truth values",
            received=f"Arrow type {column.type}",
            fix="name another column, or write this one as text first",
        )
    return column.cast(pa.string()), good


def is_string(kind: pa.DataType) -> bool:
    """Returns whether an Arrow type is one of strings."""
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_nested(kind: pa.DataType) -> bool:
    """Returns whether values of an Arrow type are lists or objects, as Arrow or JSON has them."""
    import pyarrow as pa
    import pyarrow.types as types

    return bool(types.is_nested(kind) or isinstance(kind, pa.JsonType))


def values_of(column: pa.Array) -> list[Any]:
    """Returns the values of a column as Python has them; of JSON what it says.

    Example:
        >>> import pyarrow as pa
        >>> found = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['["a"]', None, '"b"']))
        >>> values_of(found)
        [['a'], None, 'b']
    """
    import pyarrow as pa

    if isinstance(column.type, pa.JsonType):
        return [None if text is None else json.loads(text) for text in column.storage.to_pylist()]
    try:
        found: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    except ValueError as error:  # two fields have one name
        raise UserError(
            "a column of objects can't be read",
            expected="fields with names of their own",
            received=f"Arrow type {column.type}",
            fix="rename one of the fields",
        ) from error
    return found


def pick(rows: pa.RecordBatch, name: str) -> pa.Array | None:
    """Returns a column, or what a dotted name reaches inside one; None if there is neither.

    A part of the name is a key of objects, or the place in a list, from 0; a key that is asked of a
    list of objects gives the list of their values. A column whose name has dots comes first.

    Args:
        rows: Columns of any type.
        name: "text", or such as "data.body" or "choices.0.text".

    Example:
        >>> import pyarrow as pa
        >>> rows = pa.record_batch({"data": [{"body": "one"}, None]})
        >>> pick(rows, "data.body").to_pylist(), pick(rows, "data.title")
        (['one', None], None)
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    if name in rows.schema.names:
        return rows[name]
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        if ".".join(parts[:length]) in rows.schema.names:
            break
    else:
        return None
    column, inside = rows[".".join(parts[:length])], parts[length:]
    while inside and types.is_struct(column.type):
        names = [field.name for field in column.type]
        ends = range(len(inside), 0, -1)
        end = next((end for end in ends if ".".join(inside[:end]) in names), None)
        if end is None:
            return None
        column = pc.struct_field(column, names.index(".".join(inside[:end])))
        inside = inside[end:]
    if not inside:
        return column
    if not is_nested(column.type):
        return pa.nulls(len(column)) if column.null_count == len(column) else None
    found = [_reach(value, inside) for value in values_of(column)]
    if not any(value is not None for value in found):
        return None
    texts = (None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in found)
    return pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))


def _reach(value: Any, parts: Sequence[str]) -> Any:
    if not parts:
        return value
    if isinstance(value, dict):
        for end in range(len(parts), 0, -1):
            if (key := ".".join(parts[:end])) in value:
                return _reach(value[key], parts[end:])
    elif isinstance(value, list) and parts[0].isdecimal():
        return _reach(value[int(parts[0])], parts[1:]) if int(parts[0]) < len(value) else None
    elif isinstance(value, list):
        found = [_reach(each, parts) for each in value]
        return found if any(each is not None for each in found) else None
    return None


def names_inside(rows: pa.RecordBatch) -> list[str]:
    """Returns the names of columns, those of objects with what a dotted name reaches in them.

    Example:
        >>> import pyarrow as pa
        >>> names_inside(pa.record_batch({"id": [1], "data": [{"body": "one", "n": {"x": 1}}]}))
        ['id', 'data.body', 'data.n.x']
    """
    names: list[str] = []
    for name in rows.schema.names:
        found = [name]
        if is_nested(rows[name].type):
            found = [path for v in values_of(rows[name][:_LOOKED_AT]) for path in _paths(v, name)]
        names += dict.fromkeys(found or [name])
    return names


def _paths(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, f"{name}.{key}")
    else:
        yield name


def _single(values: list[Any], name: str) -> tuple[pa.Array, pa.Array]:
    """Returns the text of values that are one, or a list of one; and why others have none."""
    import pyarrow as pa

    values = [_alone(value) for value in values]
    objects = [value for value in values if isinstance(value, dict)]
    if objects and len(objects) == sum(value is not None for value in values):
        paths = list(dict.fromkeys(p for v in objects[:_LOOKED_AT] for p in _paths(v, name)))
        raise UserError(
            f"column {name!r} holds objects, not texts",
            expected="strings, numbers or truth values",
            received=f"objects with the keys {', '.join(map(repr, list(objects[0])[:10]))}",
            fix=f"name what is meant inside them: {', '.join(paths[:10])}",
        )
    texts: list[str | None] = []
    faults: list[str | None] = []
    for value in values:
        fault = None
        if isinstance(value, dict):
            fault = f"{OBJECT}: it has {', '.join(list(_paths(value, name))[:5])}"
        elif isinstance(value, list):
            fault = f"{LIST}: a list of {len(value)}"
        faults.append(fault)
        texts.append(text_of(value))
    return pa.array(texts, pa.string()), pa.array(faults, pa.string())


def _alone(value: Any) -> Any:
    """Returns the value of a list of one, None of an empty list, and anything else as it is."""
    while isinstance(value, list) and len(value) < 2:
        value = value[0] if value else None
    return value


def text_of(value: Any) -> str | None:
    """Returns the text of a value as JSON has it; of a list or an object its JSON.

    Example:
        >>> [text_of(value) for value in ("a", 1.0, True, float("nan"), ["a"])]
        ['a', '1.0', 'true', None, '["a"]']
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):
        return None
    return json.dumps(value, ensure_ascii=False, default=str)


def _number_texts(column: pa.Array) -> Iterator[str | None]:
    """Yields the shortest text that gives back each number in its own width."""
    import numpy as np
    import pyarrow.types as types

    if types.is_decimal(column.type):
        for value in column.to_pylist():
            text = None if value is None else format(value, "f")
            yield text.rstrip("0").rstrip(".") if text and "." in text else text
        return
    widths: dict[int, type[np.floating[Any]]] = {16: np.float16, 32: np.float32}
    width = widths.get(column.type.bit_width, np.float64)
    for value in column.to_pylist():
        yield None if value is None else float_text(width(value))


def float_text(value: np.floating[Any]) -> str | None:
    """Returns the shortest text that gives back a number in its own width; None for NaN.

    Example:
        >>> import numpy as np
        >>> float_text(np.float32(0.1)), float(np.float32(0.1))
        ('0.1', 0.10000000149011612)
    """
    return None if math.isnan(value) else str(float(str(value)))


def _decoded(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return column.cast(pa.string()), pa.nulls(len(column), pa.string())
    except pa.ArrowInvalid:
        texts = [value and value.decode(errors="backslashreplace") for value in column.to_pylist()]
        found = pa.array(texts, pa.string())
        changed = pc.fill_null(pc.not_equal(found.cast(pa.binary()), column), False)
        return found, pc.case_when(pc.make_struct(changed), "invalid encoding")
