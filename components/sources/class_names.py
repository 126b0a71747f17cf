"""Names of classes that Hugging Face's `datasets` keeps beside numbers, in the schema of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textmill.components.columns import values_of
from textmill.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_KEY = b"huggingface"  # of the metadata of an Arrow schema, in Parquet files too
_LISTS = ("List", "LargeList", "Sequence")  # the last until datasets 3


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Returns the features of columns that have names of classes anywhere inside.

    Source: datasets 5.2.0, `ArrowWriter._build_metadata` and `ClassLabel`.

    Example:
        >>> import pyarrow as pa
        >>> features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
        >>> said = json.dumps({"info": {"features": features}})
        >>> schema = pa.schema({"label": pa.int64()}, metadata={"huggingface": said})
        >>> features_of(schema) == features
        True
    """
    try:
        found = json.loads((schema.metadata or {}).get(_KEY, b"{}"))
        features = found["info"]["features"]
    except (ValueError, TypeError, KeyError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {name: each for name, each in features.items() if _has_names(each)}


def with_class_names(
    rows: pa.RecordBatch, features: Mapping[str, Any], file: str
) -> pa.RecordBatch:
    """Returns rows with the names of classes in place of their numbers; -1 is null.

    Args:
        rows: Rows of a file.
        features: As `features_of` returns them.
        file: Name of the file, for a message.

    Raises:
        UserError: A number has no name.

    Example:
        >>> import pyarrow as pa
        >>> rows = pa.record_batch({"label": [1, -1, 0], "other": [1, 2, 3]})
        >>> features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
        >>> with_class_names(rows, features, "a.parquet")["label"].to_pylist()
        ['pos', None, 'neg']
    """
    import pyarrow as pa

    arrays = dict(zip(rows.schema.names, rows.columns, strict=True))
    for name in features.keys() & arrays.keys():
        kind = _named_type(arrays[name].type, features[name])
        if kind == arrays[name].type:  # the numbers gave way to something else since
            continue
        try:
            values = [_named(value, features[name]) for value in values_of(arrays[name])]
        except IndexError as error:
            raise UserError(
                f"{file}: a class in column {name!r} has no name",
                expected="-1, or the place of one of its names",
                received=str(error),
                fix="write the file again with all names, or without the metadata 'huggingface'",
            ) from None
        arrays[name] = pa.array(values, kind)
    return pa.record_batch(list(arrays.values()), list(arrays))


def _has_names(feature: Any) -> bool:
    if isinstance(feature, list):
        return any(map(_has_names, feature))
    if not isinstance(feature, dict):
        return False
    return _is_class(feature) or any(map(_has_names, feature.values()))


def _is_class(feature: Mapping[str, Any]) -> bool:
    return feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)


def _inner(feature: Any) -> Any:
    """Returns the feature of a list's items, None where a feature is no list."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    if isinstance(feature, dict) and feature.get("_type") in _LISTS:
        return feature.get("feature")
    return None


def _named_type(kind: pa.DataType, feature: Any) -> pa.DataType:
    """Returns the Arrow type of values with names in place of numbers."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_named_type(kind.value_type, _inner(feature)))
    if types.is_struct(kind) and isinstance(feature, dict):
        # A Sequence of objects is an object of lists.
        inner = _inner(feature)
        parts = inner if isinstance(inner, dict) else feature
        return pa.struct([(f.name, _named_type(f.type, _part(parts, f.name, inner))) for f in kind])
    if types.is_integer(kind) and isinstance(feature, dict) and _is_class(feature):
        return pa.string()
    return kind


def _part(parts: Mapping[str, Any], name: str, inner: Any) -> Any:
    part = parts.get(name)
    return {"_type": "List", "feature": part} if isinstance(inner, dict) else part


def _named(value: Any, feature: Any) -> Any:
    inner = _inner(feature)
    if isinstance(value, list) and inner is not None:
        return [_named(each, inner) for each in value]
    if isinstance(value, dict) and isinstance(feature, dict):
        parts = inner if isinstance(inner, dict) else feature
        return {key: _named(each, _part(parts, key, inner)) for key, each in value.items()}
    if type(value) is int and isinstance(feature, dict) and _is_class(feature):
        names = feature["names"]
        if value >= len(names):
            raise IndexError(f"{value}, and {len(names)} names: {', '.join(map(str, names[:5]))}")
        return names[value] if value >= 0 else None
    return value
