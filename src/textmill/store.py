"""The lineage store: which execution read and wrote which artifact, in any SQL database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from textmill.errors import UserError

# The three tables of ML Metadata, in its words.
_tables = sa.MetaData()
artifact = sa.Table(
    "artifact",
    _tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("type", sa.String(200), nullable=False),
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, index=True),
    sa.UniqueConstraint("uri", "digest"),
)
execution = sa.Table(
    "execution",
    _tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("step", sa.String(200), nullable=False, index=True),
    sa.Column("component", sa.String(400), nullable=False),
    sa.Column("fingerprint", sa.String(16), nullable=False, index=True),
    sa.Column("state", sa.String(20), nullable=False),  # "complete" or "failed"
    sa.Column("error", sa.Text),
    sa.Column("started", sa.String(40), nullable=False),  # ISO 8601, UTC
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("modules", sa.JSON, nullable=False),
    sa.Column("packages", sa.JSON, nullable=False),
    sa.Column("environment", sa.JSON, nullable=False),
)
event = sa.Table(
    "event",
    _tables,
    sa.Column("execution_id", sa.ForeignKey("execution.id"), primary_key=True),
    sa.Column("artifact_id", sa.ForeignKey("artifact.id"), primary_key=True),
    sa.Column("direction", sa.String(6), primary_key=True),  # "input" or "output"
    sa.Column("name", sa.String(200), primary_key=True),  # the function's parameter
)


class Store:
    """Lineage in the database at `url`, any that SQLAlchemy knows.

    Example:
        >>> store = Store("sqlite://")
        >>> list(store.descendants("0" * 64))
        []

    Raises:
        UserError: The database can't be reached or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        with _reachable(url):
            self._engine = sa.create_engine(url)
            _tables.create_all(self._engine)

    def record(self, record: dict[str, Any], workspace: Path, error: str | None = None) -> None:
        """Adds one execution, what it read and what it wrote.

        Args:
            record: The artifact's record, as `artifact.json` holds it.
            workspace: The folder that the record's paths are relative to.
            error: Why the execution failed, None if it did not.
        """
        with _reachable(str(self._engine.url)), self._engine.begin() as db:
            row = db.execute(
                execution.insert().values(
                    {c.name: record.get(c.name) for c in execution.columns if c.name != "id"}
                    | {"state": "failed" if error else "complete", "error": error}
                )
            )
            (execution_id,) = row.inserted_primary_key or (None,)
            events = [("input", name, given) for name, given in record["inputs"].items()]
            if error is None:
                events.append(("output", "out", record))
            for direction, name, given in events:
                uri = str(workspace / given["path"]) if "path" in given else given["given"]
                artifact_id = _artifact_id(db, given["type"], uri, given["digest"])
                db.execute(
                    event.insert().values(
                        execution_id=execution_id,
                        artifact_id=artifact_id,
                        direction=direction,
                        name=name,
                    )
                )

    def descendants(self, digest: str) -> Iterator[dict[str, str]]:
        """Yields what was made, directly or not, from the artifact with this digest.

        Yields:
            Rows with `step`, `type`, `uri` and `digest`, nearest first, each artifact once.
        """
        read, wrote = event.alias("read"), event.alias("wrote")
        source, product = artifact.alias("source"), artifact.alias("product")
        made_from = (
            sa.select(execution.c.step, product.c.type, product.c.uri, product.c.digest)
            .join_from(source, read, (read.c.artifact_id == source.c.id))
            .join(wrote, wrote.c.execution_id == read.c.execution_id)
            .join(product, product.c.id == wrote.c.artifact_id)
            .join(execution, execution.c.id == wrote.c.execution_id)
            .where(read.c.direction == "input", wrote.c.direction == "output")
            .order_by(execution.c.id)
        )
        waiting, seen = [digest], {digest}
        with _reachable(str(self._engine.url)), self._engine.connect() as db:
            while waiting:
                for row in db.execute(made_from.where(source.c.digest == waiting.pop(0))).all():
                    if row.digest not in seen:
                        seen.add(row.digest)
                        waiting.append(row.digest)
                        yield dict(row._mapping)


def _artifact_id(db: sa.Connection, kind: str, uri: str, digest: str) -> int:
    same = (artifact.c.uri == uri) & (artifact.c.digest == digest)
    found = db.execute(sa.select(artifact.c.id).where(same)).scalar()
    if found is None:
        row = db.execute(artifact.insert().values(type=kind, uri=uri, digest=digest))
        found = row.inserted_primary_key[0] if row.inserted_primary_key else None
    return int(found or 0)


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    """Turns what a database says into an error that a user can mend."""
    try:
        shown = sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        raise UserError(
            "lineage: not the URL of a database",
            expected="a SQLAlchemy URL such as sqlite:///lineage.db or postgresql://user@host/name",
            received=repr(url),
            fix="set lineage in the config, or leave it out to use SQLite in the workspace",
        ) from None
    try:
        yield
    except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise UserError(
            f"lineage: no driver for {shown}",
            expected="an installed driver for this database",
            received=str(error),
            fix="pip install the driver, for PostgreSQL: pip install psycopg[binary], "
            "with a URL that begins with postgresql+psycopg://",
        ) from None
    except sa.exc.DBAPIError as error:
        if "disk is full" in str(error.orig):
            raise UserError(
                "lineage: no space left on the disk",
                expected=f"room for a few rows in {shown}",
                received=str(error.orig),
                fix="free some space; finished steps are kept",
            ) from None
        raise UserError(
            f"lineage: the database at {shown} refused",
            expected="a database that this user may write to",
            received=str(error.orig).strip().partition("\n")[0],
            fix="check that it runs, the name, the password and the free space",
        ) from None
