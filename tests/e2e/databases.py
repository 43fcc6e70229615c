"""A private Label Studio on SQLite or on PostgreSQL, from a database whose migrations ran once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.harness import free_port
from labelqueue.demo.server import Account, LabelStudioServer
from postgresql import PostgreSQL, find_programs, postgresql, version_of

SQLITE, POSTGRESQL = DATABASES = ("sqlite", "postgresql")


@contextmanager
def label_studio_on(
    database: str, executable: Path, data: Path, account: Account, template: Path
) -> Iterator[tuple[LabelStudioServer, PostgreSQL | None]]:
    """Run a Label Studio.

    Parameters
    ----------
    database : str
        One of `DATABASES`.
    executable, data, account, template
        As of `LabelStudioServer`; the template of a PostgreSQL is made beside that of SQLite.
    """
    if database == SQLITE:
        server = LabelStudioServer(executable, data, free_port(), account=account, template=template)
        server.start()
        try:
            yield server, None
        finally:
            server.stop()
        return
    if database != POSTGRESQL:
        raise SystemExit(f"unknown database {database!r}: one of {', '.join(DATABASES)}")
    kept = _template(executable, data / "once", account, template)
    with postgresql(kept) as there:
        server = LabelStudioServer(executable, data, free_port(), account=account, environment=there.environment)
        server.start()
        try:
            yield server, there
        finally:
            server.stop()


def _template(executable: Path, data: Path, account: Account, template: Path) -> Path:
    """Return the folder of a cluster after a server's first start; making it takes minutes."""
    major = version_of(find_programs()).partition(".")[0]
    kept = template.with_name(f"{template.name}-postgresql-{major}")
    if not kept.exists():
        with postgresql() as empty:
            server = LabelStudioServer(executable, data, free_port(), account=account, environment=empty.environment)
            server.start()
            server.stop()
            empty.keep(kept)
    return kept
