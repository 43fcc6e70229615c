"""What the demo remembers between two runs: its user, and what it has imported into which project."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..exceptions import SettingError
from ..files import write_atomically
from .server import Account

__all__ = ["DemoProject", "DemoState", "exclusive"]


@dataclass
class DemoProject:
    """A project that the demo made.

    Parameters
    ----------
    id : int
        In Label Studio.
    imported : list of str
        Keys of the files that need no import any more, the refused ones included.
    """

    id: int
    imported: list[str] = field(default_factory=list)


class DemoState:
    """The demo's memory, a JSON file that only its owner can read.

    Parameters
    ----------
    path : Path
        The file; a missing one is made with a new account.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            self.account = Account(**known["account"])
            self.projects = {key: DemoProject(**project) for key, project in known["projects"].items()}
        except FileNotFoundError:
            self.account = Account()
            self.projects = {}
            self.save()
        except (ValueError, TypeError, KeyError) as error:
            raise SettingError(
                f"{str(path)!r} is damaged ({error}): remove the folder {str(path.parent)!r} to start the demo afresh"
            ) from error

    def save(self) -> None:
        """Write everything, in one step."""
        account = {"email": self.account.email, "password": self.account.password, "token": self.account.token}
        projects = {key: {"id": p.id, "imported": p.imported} for key, p in self.projects.items()}
        write_atomically(self._path, json.dumps({"account": account, "projects": projects}).encode(), mode=0o600)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder for this process: two servers on one database would damage each other's work.

    Raises
    ------
    SettingError
        When another demo holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingError(
                f"another demo works in {str(folder)!r}: stop it (Ctrl-C there), or choose another folder with --data"
            ) from None
        yield
