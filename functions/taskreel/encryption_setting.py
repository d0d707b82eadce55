"""The encryption that ENCRYPTION_KEY names; imported only where it does, as its libraries are."""

from __future__ import annotations

from pathlib import Path

from taskreel.adapters.encryption.data_keys import DataKeys
from taskreel.adapters.encryption.encrypted_store import EncryptedStore
from taskreel.config import ConfigurationError
from taskreel.ports import Store
from taskreel.ports.keys import KeyService

_FORMS = "file:PATH, key:BASE64 or gcp-kms://projects/P/locations/L/keyRings/R/cryptoKeys/K"


def encrypt_store(store: Store, keys: str) -> EncryptedStore:
    """Encrypt what is stored. Raises ConfigurationError for keys that cannot be used."""
    return EncryptedStore(store, build_data_keys(store, keys))


def build_data_keys(store: Store, keys: str) -> DataKeys:
    """The data keys of a store, with the key services of the setting: the first one encrypts."""
    return DataKeys(store, [_build_service(one.strip()) for one in keys.split(",")])


def _build_service(text: str) -> KeyService:
    scheme, _, rest = text.partition(":")
    match scheme:
        case "gcp-kms":
            from taskreel.adapters.gcp.cloud_kms import CloudKmsKey

            name, _, query = rest.removeprefix("//").partition("?")
            parts = name.split("/")
            if parts[::2] != ["projects", "locations", "keyRings", "cryptoKeys"] or not all(parts):
                raise ConfigurationError(f"ENCRYPTION_KEY: {text!r} is not of the form {_FORMS}")
            endpoint = query.removeprefix("endpoint=") or None
            return CloudKmsKey(name, endpoint=endpoint)
        case "file" | "key":
            from taskreel.adapters.local.key_file import LocalKey, parse_key, read_key_file

            try:
                return LocalKey(read_key_file(Path(rest)) if scheme == "file" else parse_key(rest))
            except ValueError as error:
                raise ConfigurationError(f"ENCRYPTION_KEY: {error}") from None
        case _:
            raise ConfigurationError(
                f"ENCRYPTION_KEY must be {_FORMS}; several are separated by commas, and the first "
                "one encrypts"
            )
