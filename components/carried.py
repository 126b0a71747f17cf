"""Which columns the table engine carries unharmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textmill.components.columns import as_text, is_string, text_of, values_of

if TYPE_CHECKING:
    import pyarrow as pa


def carried(column: pa.Array, name: str) -> pa.Array | None:
    """Returns a column in a form that the engine carries; None: there is none.

    Args:
        column: The values [n].
        name: Name of the column, for a message.

    Example:
        >>> import pyarrow as pa
        >>> carried(pa.array(["a", "a"]).dictionary_encode(), "kind").type
        DataType(string)
    """
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_fixed_size_list(column.type) and is_carried(column.type.value_type):
        column = column.cast(pa.list_(column.type.value_type))
    if isinstance(column.type, pa.JsonType):
        column = pa.array([text_of(value) for value in values_of(column)], pa.string())
    if is_string(column.type):
        column = as_text(column, name)[0]
    if types.is_timestamp(column.type) and column.type.unit == "s":  # Parquet has none
        try:
            return column.cast(pa.timestamp("ms", column.type.tz))
        except pa.ArrowInvalid:  # of some million years
            return None
    return column if is_carried(column.type) else None


def is_carried(kind: pa.DataType) -> bool:
    """Returns whether a column of an Arrow type comes out of the table engine as it went in.

    The types are those that Daft 0.7.26 and pyarrow 25.0.1 took from Parquet, sorted and gave back
    with equal values, nulls and empty lists among them. Others raise there, are changed, or
    end the process, so that no type is tried on the way.

    Args:
        kind: The type.

    Example:
        >>> import pyarrow as pa
        >>> is_carried(pa.list_(pa.struct([("at", pa.timestamp("us"))])))
        True
        >>> is_carried(pa.map_(pa.string(), pa.int64())), is_carried(pa.decimal256(50, 2))
        (False, False)
    """
    import pyarrow.types as types

    if types.is_list(kind):
        return is_carried(kind.value_type)
    if types.is_large_list(kind):
        return is_carried(kind.value_type) and not types.is_null(kind.value_type)
    if types.is_struct(kind):
        names = [kind.field(place).name for place in range(kind.num_fields)]
        fields = [kind.field(place).type for place in range(kind.num_fields)]
        return 0 < len(names) == len(set(names)) and all(map(is_carried, fields))
    if types.is_decimal128(kind):
        return bool(kind.scale >= 0)
    plain = (
        types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_date,
        types.is_time64, types.is_timestamp, types.is_duration, types.is_string,
        types.is_large_string, types.is_binary, types.is_large_binary, types.is_fixed_size_binary,
    )  # fmt: skip
    return any(belongs(kind) for belongs in plain)
