"""Checks of a server at its start: of its settings, and of the key of its store.

A server that they refuse ends with the status REFUSED and without a word; the stack repeats them
then, to say why. So a start imports what they need in one process, and waits for it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from taskreel_local.stack.stack_error import StackError, WrongSettingError

if TYPE_CHECKING:
    from taskreel.config import Settings

#: EX_CONFIG of sysexits.h.
REFUSED = 78
_ADVICE = (
    "On this machine the key is the file encryption.key in the data folder, unless ENCRYPTION_KEY "
    'names another. See infra/guides/encryption.md, "A missing or wrong key".'
)


def check_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of a server with this environment. Raises WrongSettingError."""
    from taskreel.adapters.providers import KEY_VARIABLES, rename_keys
    from taskreel.config import ConfigurationError, Settings
    from taskreel.rules_setting import build_rules

    try:
        found = Settings.from_environment(rename_keys(environ), KEY_VARIABLES)
        build_rules(found)
    except ConfigurationError as error:
        raise WrongSettingError(f"Wrong setting: {error}") from None
    return found


async def check_store_key(chosen: Settings) -> None:
    """Raise StackError if the settings lack the key of the stack's SQLite store.

    A store that cannot be read for another reason is left to its server, which waits for it. Other
    stores are not asked from here: the health of their servers says it.
    """
    from taskreel.config import ConfigurationError
    from taskreel.domain.errors import EncryptionKeyError, StoreError
    from taskreel.service_building import build_store, check_encryption, parse_file_path

    if urlsplit(chosen.store_url).scheme != "sqlite":
        return
    try:
        store = build_store(chosen)
    except ConfigurationError as error:
        raise WrongSettingError(f"Wrong setting: {error}") from None
    try:
        if parse_file_path(chosen.store_url).exists():
            await check_encryption(chosen, store)
    except EncryptionKeyError as error:
        raise StackError(f"{error.message} {_ADVICE}") from None
    except StoreError:
        return
    finally:
        await store.close()
