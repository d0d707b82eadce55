"""A data key as it is stored: encrypted by a key that is not in the store."""

from __future__ import annotations

from datetime import datetime

from taskreel.domain.value import StoredValue


class DataKey(StoredValue):
    """A key that encrypts documents. The newest encrypts; the others still decrypt."""

    key_id: str
    #: The name of the key that has wrapped it, and the result, in base64.
    wrapped_by: str
    wrapped: str
    created_at: datetime
