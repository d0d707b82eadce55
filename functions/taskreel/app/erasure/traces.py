"""Find a person's id in stored documents, and put a pseudonym in its place.

A field that names people has the id as its value. Records of admins and entry ids have it as a word
among others. Content (prompts, results, messages) is what somebody wrote: that of the person goes
with its document, and that of others is never changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from taskreel.ports import Row

#: The fields, at any depth, whose value is a user's id.
_NAMES = frozenset(
    {"userId", "by", "grantedBy", "slotOf", "orderedBy", "savedBy", "ownerId", "memberIds"}
)
#: The fields of records of admins, in whose text a user's id may be.
_TEXTS = frozenset({"subject", "reason", "entryId", "action"})
#: The fields with what somebody wrote or a service made; names in them are not looked at.
_CONTENT = frozenset(
    {
        *("payload", "result", "units", "steps", "error", "failedAttempts", "progressMessage"),
        *("data", "body", "tries", "edit", "request", "defaults", "answers", "message"),
    }
)


@dataclass(frozen=True)
class Traces:
    """The traces of one person in documents."""

    user_id: str
    pseudonym: str

    def owns(self, data: Mapping[str, Any]) -> bool:
        """True for a document that is the person's."""
        return data.get("userId") == self.user_id

    def are_in(self, row: Row[Any]) -> bool:
        """True for a document that names the person, in a field or in its id."""
        return self.replace_in_id(row.id) != row.id or bool(self.find_changes(row.data))

    def find_changes(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The top-level fields that name the person, with the pseudonym instead."""
        replaced = {name: self._replace(name, value) for name, value in data.items()}
        return {name: value for name, value in replaced.items() if value != data[name]}

    def replace_in_id(self, id_: str) -> str:
        """A document's id with the pseudonym instead of the person's id."""
        return self._word.sub(self.pseudonym, id_)

    def is_mentioned(self, value: object) -> bool:
        """True if the id is a word of any text of the value, whatever the field."""
        match value:
            case str():
                return self.user_id in value and self._word.search(value) is not None
            case Mapping():
                return any(self.is_mentioned(one) for pair in value.items() for one in pair)
            case list() | tuple():
                return any(map(self.is_mentioned, value))
            case _:
                return False

    def _replace(self, name: str, value: Any) -> Any:
        if name in _CONTENT:
            return value
        match value:
            case str() if name in _NAMES:
                return self.pseudonym if value == self.user_id else value
            case str() if name in _TEXTS:
                return self._word.sub(self.pseudonym, value)
            case Mapping():
                return {inner: self._replace(inner, one) for inner, one in value.items()}
            case list() | tuple():
                return [self._replace(name, one) for one in value]
            case _:
                return value

    @cached_property
    def _word(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w){re.escape(self.user_id)}(?!\w)")
