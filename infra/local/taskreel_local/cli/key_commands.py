"""`taskreel keys`: the keys that encrypt prompts, payloads and results in a store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskreel_local.cli.api_target import find_data_folder
from taskreel_local.cli.options import chosen_data_option
from taskreel_local.stack.data_folder import DataFolder

if TYPE_CHECKING:
    from taskreel.adapters.encryption.encrypted_store import EncryptedStore

_store_option = click.option(
    "--store-url",
    metavar="URL",
    help="The store of a deployment: firestore://PROJECT/DATABASE, as STORE_URL has it. Its key is "
    "taken from ENCRYPTION_KEY.",
)


@click.group("keys")
def keys() -> None:
    """Encryption of prompts, payloads and results at rest: its keys."""


@keys.command("create")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def create(file: Path) -> None:
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
    click.echo(f"{file} has a new key. Store a copy where the data is not.")


@keys.command("list")
@chosen_data_option
@_store_option
def list_keys(data: Path | None, store_url: str | None) -> None:
    """List the data keys of a store, the newest first, and what has encrypted each."""

    async def list_all(store: EncryptedStore) -> None:
        from taskreel.adapters.encryption.data_keys import list_data_keys

        for key in await list_data_keys(store.inner):
            click.echo(f"{key.key_id}  {key.created_at:%Y-%m-%d %H:%M}  {key.wrapped_by}")

    _run_on_store(data, store_url, list_all)


@keys.command("rotate")
@chosen_data_option
@_store_option
@click.option(
    "--new-writes-only",
    is_flag=True,
    help="Leave what is stored under the older keys, which stay readable.",
)
def rotate(data: Path | None, store_url: str | None, *, new_writes_only: bool) -> None:
    """Make a new data key, and encrypt by it what is in clear or under an older one.

    A deployment may go on meanwhile: its instances write with the new key within five minutes, so
    run it once more after that. A stack on this machine must not run: its process owns the store.
    """

    async def rotate_store(store: EncryptedStore) -> None:
        from taskreel.adapters.encryption.reencrypt import UNREADABLE, reencrypt_documents

        click.echo(f"New data key: {await store.keys.rotate()}")
        if new_writes_only:
            return
        counts = await reencrypt_documents(store)
        unreadable = counts.pop(UNREADABLE, 0)
        for name, count in sorted(counts.items()):
            click.echo(f"{name}: {count:,} encrypted")
        if unreadable:
            raise click.ClickException(
                f"{unreadable:,} documents could not be decrypted and were left as they are: their "
                "encrypted fields were changed. Restore them from a backup."
            )

    _run_on_store(data, store_url, rotate_store)


def _run_on_store(
    data: Path | None, store_url: str | None, work: Callable[[EncryptedStore], Awaitable[None]]
) -> None:
    """Run on the store that the options name. Raises ClickException."""
    folder = DataFolder(find_data_folder(data))
    if store_url is None and not folder.store_file.exists():
        raise click.ClickException(f"There is no store in {folder.root}. Use --data DIR.")
    url = store_url or f"sqlite:///{folder.store_file}"
    key = os.environ.get("ENCRYPTION_KEY") or (None if store_url else folder.find_encryption_key())
    if key is None:
        raise click.ClickException(
            "This store has no encryption key: set ENCRYPTION_KEY as its services have it, or "
            "start the stack with --encrypt."
        )
    asyncio.run(_work_on_store(url, key, work))


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
