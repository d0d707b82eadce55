"""The target of a load: a stack of its own, a running one on this machine, or a deployment."""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from taskreel_local.bench.contenders import start_stack
from taskreel_local.bench.http_connection import Connection
from taskreel_local.bench.process_tree import NoAnswerError
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.dev_tokens import make_token

#: More than a load spends.
_GRANT = 1_000_000_000
#: A stack that has just started may not answer, or answer 503, for so long.
_GRANT_SECONDS = 60.0
_GRANT_WAIT_SECONDS = 1.0


class TargetError(Exception):
    """There is no such target; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTarget:
    """An API, a token for each user of the load, and the data folder of a stack on this machine."""

    url: str
    name: str
    tokens: list[str] = field(repr=False)
    data: Path | None = None


@contextlib.contextmanager
def start_own_stack(users: int, *options: str) -> Iterator[LoadTarget]:
    """Run a stack without limits a user in a folder of its own, which is removed after it."""
    with tempfile.TemporaryDirectory(
        # Of a process that was killed, a file may still be written while the folder is removed.
        prefix="taskreel-load-",
        ignore_cleanup_errors=True,
    ) as text:
        folder = Path(text)
        with start_stack(folder, *options) as (url, _tree):
            yield find_local_stack(folder, users, url=url, name="a stack of its own")


def find_local_stack(
    folder: Path, users: int, *, url: str | None = None, name: str | None = None
) -> LoadTarget:
    """The stack that runs on a data folder; its users get credits. Raises TargetError."""
    data = DataFolder(folder)
    found = url or data.read_url()
    if found is None:
        raise TargetError(f"No stack runs on {folder}. Start one: scripts/dev --data {folder}")
    names = [f"load-{number}" for number in range(users)]
    with Connection(found, make_token(data, user="load-admin", role="admin")) as admin:
        for user in names:
            _grant_credits(admin, user)
    return LoadTarget(
        url=found,
        name=name or f"the stack on {folder}",
        tokens=[make_token(data, user=user, tier="enterprise") for user in names],
        data=folder,
    )


def _grant_credits(admin: Connection, user: str) -> None:
    """Grant credits once, with as many tries as a slow start needs. Raises BenchmarkError."""
    grant = {"amount": _GRANT, "reason": "scripts/load"}
    # A try without an answer may have been carried out.
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    end = time.monotonic() + _GRANT_SECONDS
    while True:
        try:
            admin.call("POST", f"/api/credits/{user}/grants", grant, headers)
        except NoAnswerError:
            if time.monotonic() > end:
                raise
            time.sleep(_GRANT_WAIT_SECONDS)
        else:
            return


def find_deployment(url: str, token: str | None, tokens_file: Path | None) -> LoadTarget:
    """An API by its URL, with one user's token or a file with one a line. Raises TargetError."""
    lines = [] if tokens_file is None else tokens_file.read_text("utf-8").split()
    tokens = lines or ([token] if token else [])
    if not tokens:
        raise TargetError(
            "a load on --target needs its users' tokens: set TASKREEL_TOKEN, or name a file "
            "with one a line: --tokens FILE"
        )
    return LoadTarget(url=url.rstrip("/"), name=url, tokens=tokens)
