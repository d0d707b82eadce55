"""The data folder of a stack: its files, its secrets, and the URL of the running stack."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taskreel_local.stack.stack_error import StackError

DEFAULT = Path(".taskreel")
#: A store below this size is checked whole at the start: it takes less than a second.
_QUICK_CHECK_BYTES = 64 << 20
_DATABASES = ("store.db", "tasks.db")
_PRIVATE_FILES = frozenset(
    {"secrets.json", "signing-key.json", "encryption.key", "url", "stack.lock"}
    | {f"{name}{suffix}" for name in _DATABASES for suffix in ("", "-wal", "-shm")}
)


def display_path(path: Path) -> str:
    """Return the path relative to the current folder if it is inside."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Random secrets, created once for each data folder."""

    jwt: str
    internal: str
    files: str


class DataFolder:
    """Paths and small files of a data folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def store_file(self) -> Path:
        """Database of jobs, accounts and ledger."""
        return self.root / "store.db"

    @property
    def tasks_file(self) -> Path:
        """Journal of the queues."""
        return self.root / "tasks.db"

    @property
    def files_folder(self) -> Path:
        """Content of the bucket."""
        return self.root / "files"

    @property
    def scratch_folder(self) -> Path:
        """Temporary files of running jobs."""
        return self.root / "scratch"

    @property
    def encryption_key_file(self) -> Path:
        """The key that encrypts what is stored, if it was ever turned on."""
        return self.root / "encryption.key"

    def find_encryption_key(self) -> str | None:
        """The setting of the folder's own key; None if the folder has none."""
        file = self.encryption_key_file
        return f"file:{file}" if file.exists() else None

    def create_encryption_key(self) -> None:
        """Make the folder's key, unless it has one."""
        from taskreel.adapters.local.key_file import create_key_file

        with contextlib.suppress(FileExistsError):
            create_key_file(self.encryption_key_file)

    @property
    def lock_file(self) -> Path:
        """File that the running stack locks."""
        return self.root / "stack.lock"

    def is_in_use(self) -> bool:
        """True while a stack runs on the folder: its process owns the store."""
        try:
            with self.lock_file.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def prepare(self) -> None:
        """Create the folder, readable by its owner only; it has keys, prompts and results.

        Files of an earlier release are closed to others as well. The mode of a folder that has
        other things in it stays. Raises StackError.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            names = {path.name for path in self.root.iterdir()}
            if not names or "secrets.json" in names:
                self.root.chmod(0o700)
            for name in names & _PRIVATE_FILES:
                (self.root / name).chmod(0o600)
            self.lock_file.touch(mode=0o600)
        except OSError as error:
            raise StackError(
                f"The data folder {self.root} cannot be written ({error.strerror}). "
                "Make it writable, or choose another: --data DIR"
            ) from None

    def check_store(self) -> None:
        """Raise StackError for a store that is no database; it is not rebuilt: it has all jobs."""
        if not self.store_file.exists():
            return
        try:
            with contextlib.closing(sqlite3.connect(self.store_file, timeout=1)) as db:
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()
                small = self.store_file.stat().st_size < _QUICK_CHECK_BYTES
                found = db.execute("PRAGMA quick_check(1)").fetchone()[0] if small else "ok"
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                return  # locked by a server of a killed stack that is just ending
            found = str(error)
        if found != "ok":
            reason = " ".join(found.split())
            raise StackError(
                f"{self.store_file} is damaged ({reason}). It holds all jobs and balances: "
                f"restore a copy, or try `sqlite3 {self.store_file} .recover`. To start with "
                "nothing, move it away."
            )

    def remove_partial_files(self) -> int:
        """Remove what killed servers had begun to write to the bucket; return the number."""
        # Most commands only need the folder's URL and secret, and start in half the time.
        from taskreel.adapters.local.files import PARTIAL_PREFIX

        found = [*self.files_folder.rglob(f"{PARTIAL_PREFIX}*")]
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def load_secrets(self) -> Secrets:
        """Return the folder's secrets; create them on the first call. Raises StackError."""
        path = self.root / "secrets.json"
        self.prepare()
        if not path.exists():
            made = {name: secrets.token_hex(32) for name in ("jwt", "internal", "files")}
            # Linked when complete, so that no reader sees half of it; readable by the owner only.
            with tempfile.NamedTemporaryFile("w", dir=self.root, prefix="secrets-") as file:
                json.dump(made, file)
                file.flush()
                with contextlib.suppress(FileExistsError):
                    os.link(file.name, path)
        try:
            return Secrets(**json.loads(path.read_text()))
        except (ValueError, TypeError):
            raise StackError(
                f"{path} is damaged: it must be a JSON object with jwt, internal and files. "
                "Restore it, or remove it to make new secrets; tokens and file URLs of the old "
                "ones are refused then."
            ) from None

    def write_url(self, url: str) -> None:
        """Write the stack's URL, for other commands; none of them reads half of it."""
        _replace_file(self._url_file, url)

    def write_token_claims(self, claims: Mapping[str, str]) -> None:
        """Write the claims that the stack requires of its own tokens, for those who sign them."""
        path = self._claims_file
        if not claims:
            path.unlink(missing_ok=True)
            return
        _replace_file(path, json.dumps(claims))

    def read_token_claims(self) -> dict[str, str]:
        """The claims that the running or last stack requires of its own tokens."""
        path = self._claims_file
        found: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
        return found

    @property
    def _claims_file(self) -> Path:
        return self.root / "token-claims.json"

    def read_url(self) -> str | None:
        """Return the URL of the running or last stack, None if there was none."""
        path = self._url_file
        return path.read_text().strip() if path.is_file() else None

    @property
    def _url_file(self) -> Path:
        return self.root / "url"


def _replace_file(path: Path, text: str) -> None:
    """Write a file that other commands read; none of them reads half of it."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)
