"""The encryption of all documents by the newest data key: after a rotation, or after turning it on.

It runs beside the services: a document is read and written in one transaction each, and one that
was written meanwhile has the newest key already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from taskreel.adapters.encryption.encrypted_store import EncryptedStore
from taskreel.adapters.encryption.protected_fields import PROTECTED_FIELDS
from taskreel.adapters.encryption.sealed_fields import find_key_id
from taskreel.app.query_pages import read_pages
from taskreel.domain.errors import UnreadableDocumentError
from taskreel.ports import Collection, Query, Transaction, undecoded_collection
from taskreel.ports.store import SEALED

_PAGE = 200
#: In the counts: documents that could not be decrypted, which stay as they are.
UNREADABLE = "unreadable"

Documents = Collection[Mapping[str, Any]]


async def reencrypt_documents(store: EncryptedStore) -> Counter[str]:
    """Encrypt every document that is in clear or under an older key; count them by collection."""
    await store.keys.open_current()
    counts: Counter[str] = Counter()
    for name, protected in PROTECTED_FIELDS.items():
        documents = undecoded_collection(name)
        async for rows in read_pages(store.inner, Query(collection=documents, limit=_PAGE)):
            key_id, _ = store.keys.find_current()
            for row in rows:
                if needs_encryption(row.data, protected, key_id):
                    done = await _reencrypt_document(store, documents, row.id)
                    counts[name if done else UNREADABLE] += 1
    await store.durable()
    return counts


def needs_encryption(data: Mapping[str, Any], protected: frozenset[str], key_id: str) -> bool:
    """True for a document with a protected field in clear, or encrypted by another data key."""
    if not protected.isdisjoint(data):
        return True
    try:
        return SEALED in data and find_key_id(data[SEALED]) != key_id
    except ValueError:
        return True  # it was changed: to be counted


async def _reencrypt_document(store: EncryptedStore, documents: Documents, id_: str) -> bool:
    """Write a document as it is; False if it cannot be decrypted."""

    async def write(tx: Transaction) -> None:
        data = await tx.get(documents, id_)
        if data is not None:
            tx.set(documents, id_, data)

    try:
        await store.transaction(write)
    except UnreadableDocumentError:
        return False
    return True
