"""The encrypted form of a document: its protected fields as one text, the others as they are.

AES-256-GCM under a key of the document's own, derived from the data key and the document's place:
a random nonce could only repeat within one document. The place is authenticated, too: what was
moved to another document, or changed, is refused.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from taskreel.ports.store import SEALED

_FORM = "1"
_NONCE_BYTES = 12
#: The key that marks a time in the JSON, as the SQLite store marks it: a private-use character.
_TIME = "\ue000"
_PLAIN, _COMPRESSED = b"\0", b"\1"
#: Below it compression gains nothing. Above, it makes room for base64: Firestore takes 1 MiB.
_COMPRESSED_BYTES = 512


def seal(key_id: str, data_key: bytes, place: tuple[str, str], content: Mapping[str, Any]) -> str:
    """Encrypt fields of the document at a place: its collection and its id."""
    text = json.dumps(_mark_times(content), ensure_ascii=False, separators=(",", ":"))
    plain = text.encode("utf-8", "surrogatepass")
    if len(plain) < _COMPRESSED_BYTES:
        plain = _PLAIN + plain
    else:
        plain = _COMPRESSED + zlib.compress(plain, 1)
    nonce = os.urandom(_NONCE_BYTES)
    context = _describe_place(place)
    sealed = AESGCM(_derive_key(data_key, context)).encrypt(nonce, plain, context)
    return f"{_FORM}.{key_id}.{base64.b64encode(nonce + sealed).decode()}"


def find_key_id(sealed: object) -> str:
    """The id of the data key of a sealed text. Raises ValueError for anything else."""
    form, _, rest = str(sealed).partition(".")
    key_id, dot, _ = rest.partition(".")
    if form != _FORM or not dot:
        raise ValueError(
            f"its field {SEALED} is not of the form {_FORM}.KEY.TEXT: it was changed, or a later "
            "release wrote it"
        )
    return key_id


def unseal(data_key: bytes, place: tuple[str, str], sealed: str) -> dict[str, Any]:
    """Decrypt what `seal` made. Raises ValueError if it was changed or moved."""
    raw = base64.b64decode(sealed.rpartition(".")[2])
    context = _describe_place(place)
    cipher = AESGCM(_derive_key(data_key, context))
    try:
        plain = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context)
    except InvalidTag:
        raise ValueError(
            "its encrypted fields were changed, or are those of another document"
        ) from None
    text = zlib.decompress(plain[1:]) if plain[:1] == _COMPRESSED else plain[1:]
    found: dict[str, Any] = _unmark_times(json.loads(text.decode("utf-8", "surrogatepass")))
    return found


def split_document(
    data: Mapping[str, Any], protected: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that stay as they are, and the protected ones."""
    names = frozenset(protected)
    rest = {name: value for name, value in data.items() if name not in names and name != SEALED}
    return rest, {name: value for name, value in data.items() if name in names}


def _describe_place(place: tuple[str, str]) -> bytes:
    collection, id_ = place
    return f"taskreel/{collection}/{id_}/{SEALED}".encode("utf-8", "surrogatepass")


def _derive_key(data_key: bytes, context: bytes) -> bytes:
    return hmac.digest(data_key, context, "sha256")


def _mark_times(value: Any) -> Any:
    """The JSON of a value; a time is an object with one reserved key. Raises TypeError."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case datetime():
            return {_TIME: value.isoformat()}
        case Mapping():
            return {_escape_name(str(name)): _mark_times(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_mark_times(inner) for inner in value]
        case _:
            raise TypeError(f"a document field cannot be of type {type(value).__name__}")


def _unmark_times(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and _TIME in value:
            return datetime.fromisoformat(value[_TIME])
        return {name.removeprefix(_TIME): _unmark_times(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_unmark_times(inner) for inner in value]
    return value


def _escape_name(name: str) -> str:
    """A caller's own key may begin with the reserved one."""
    return _TIME + name if name.startswith(_TIME) else name
