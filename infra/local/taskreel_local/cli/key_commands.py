"""`taskreel keys`: the keys that encrypt prompts, payloads and results in a store."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskreel_local.cli.api_target import find_data_folder, find_store_url
from taskreel_local.cli.options import chosen_data_option
from taskreel_local.stack.data_folder import DataFolder

if TYPE_CHECKING:
    from taskreel.adapters.encryption.encrypted_store import EncryptedStore
    from taskreel.domain.data_key import DataKey

_store_option = click.option(
    "--store-url",
    metavar="URL",
    help="The store of a deployment: firestore://PROJECT/DATABASE, as STORE_URL has it. Its key is "
    "taken from ENCRYPTION_KEY.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("keys")
def key_commands() -> None:
    """Encryption of prompts, payloads and results at rest: its keys."""


@key_commands.command("create", short_help="Write a new random key to a file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_json_option
def create_key(file: Path, *, as_json: bool) -> None:
    """Write a new random key to FILE, for ENCRYPTION_KEY=file:FILE.

    Without the file nothing that it has encrypted can be read again.
    """
    from taskreel.adapters.local.key_file import create_key_file

    try:
        create_key_file(file)
    except FileExistsError:
        raise click.ClickException(
            f"{file} exists. A key is never replaced: what it has encrypted would be lost."
        ) from None
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None
    said = f"{file} has a new key. Store a copy where the data is not."
    click.echo(json.dumps({"file": str(file)}) if as_json else said)


@key_commands.command("list", short_help="List the data keys of a store.")
@chosen_data_option
@_store_option
@_json_option
def list_keys(data: Path | None, store_url: str | None, *, as_json: bool) -> None:
    """List the data keys of a store, the newest first, and what has encrypted each.

    A stack on this machine must not run: its process owns the store.
    """

    async def list_all(store: EncryptedStore) -> None:
        from taskreel.adapters.encryption.data_keys import list_data_keys

        found = await list_data_keys(store.inner)
        if as_json:
            click.echo(json.dumps([_describe_key(key) for key in found], indent=2))
            return
        for key in found:
            click.echo(f"{key.key_id}  {key.created_at:%Y-%m-%d %H:%M}  {key.wrapped_by}")

    _run_on_store(data, store_url, list_all)


@key_commands.command("rotate", short_help="Make a new data key, and encrypt everything by it.")
@chosen_data_option
@_store_option
@click.option(
    "--new-writes-only",
    is_flag=True,
    help="Leave what is stored under the older keys, which stay readable.",
)
@_json_option
def rotate_key(
    data: Path | None, store_url: str | None, *, new_writes_only: bool, as_json: bool
) -> None:
    """Make a new data key, and encrypt by it what is in clear or under an older one.

    A deployment may go on meanwhile: its instances write with the new key within five minutes, so
    run it once more after that. A stack on this machine must not run: its process owns the store.
    """

    async def rotate_store(store: EncryptedStore) -> None:
        from taskreel.adapters.encryption.reencrypt import UNREADABLE, reencrypt_documents

        made = await store.keys.rotate()
        counts = Counter() if new_writes_only else await reencrypt_documents(store)
        unreadable = counts.pop(UNREADABLE, 0)
        if as_json:
            done = {"dataKey": made, "encrypted": dict(counts), "unreadable": unreadable}
            click.echo(json.dumps(done, indent=2))
        else:
            click.echo(f"New data key: {made}")
            for name, count in sorted(counts.items()):
                click.echo(f"{name}: {count:,} encrypted")
        if unreadable:
            raise click.ClickException(
                f"{unreadable:,} documents could not be decrypted and stayed as they are: their "
                "encrypted fields were changed. Restore them from a backup."
            )

    _run_on_store(data, store_url, rotate_store)


def _describe_key(key: DataKey) -> dict[str, str]:
    """A data key without itself."""
    return {
        "keyId": key.key_id,
        "wrappedBy": key.wrapped_by,
        "createdAt": key.created_at.isoformat(),
    }


def _run_on_store(
    data: Path | None, store_url: str | None, work: Callable[[EncryptedStore], Awaitable[None]]
) -> None:
    """Run on the store that the options name. Raises ClickException."""
    key = os.environ.get("ENCRYPTION_KEY")
    if store_url is None:
        folder = DataFolder(find_data_folder(data))
        store_url = find_store_url(folder)
        if folder.is_in_use():
            raise click.ClickException(
                f"A stack runs on {folder.root}, and its process owns the store: stop "
                "`scripts/dev` first."
            )
        key = key or folder.find_encryption_key()
    if not key:
        raise click.ClickException(
            "This store has no encryption key: set ENCRYPTION_KEY as its services have it, or "
            "start the stack with --encrypt."
        )
    asyncio.run(_work_on_store(store_url, key, work))


async def _work_on_store(
    url: str, key: str, work: Callable[[EncryptedStore], Awaitable[None]]
) -> None:
    from taskreel.adapters.encryption.encrypted_store import EncryptedStore
    from taskreel.config import ConfigurationError, Settings
    from taskreel.domain.errors import StoreError
    from taskreel.service_building import build_store

    try:
        store = build_store(Settings(store_url=url, encryption_key=key))
        assert isinstance(store, EncryptedStore)  # noqa: S101 - the key is set
        try:
            await work(store)
        finally:
            await store.close()
    except StoreError as error:
        raise click.ClickException(error.message) from None
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
