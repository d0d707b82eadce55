"""Find a person's id in stored documents, and put a pseudonym in its place.

An id is a free text: somebody may be named like a project, a queue, or a word of a record
(`audit`, `daily`). So it is replaced only where a user's id stands by design, and in the reason of
a record only if that record names the person. Content (prompts, results, messages) is what somebody
wrote: that of the person goes with its document, and that of others is never changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from taskreel.domain.credits import EntryKind
from taskreel.ports import Row
from taskreel.store_collections import (
    ACCOUNTS,
    AUDIT,
    ERASURES,
    LEDGER,
    OPERATIONS,
    QUEUE_CONTROLS,
)

#: The collections whose ids have a user's id in them by design, with the text before it. All other
#: ids are random, digests, or names of something else (a project, a queue, a provider): what a
#: person's id equals there is not theirs, and jobs lead to it by that id.
_USER_KEYED = {ACCOUNTS.name: "", LEDGER.name: "initial."}
#: What goes on under the pseudonym: money, acts of admins, and the state of a queue.
_RECORDS = frozenset({ACCOUNTS.name, LEDGER.name, AUDIT.name, QUEUE_CONTROLS.name})
#: The fields, at any depth, whose value is a user's id.
_NAMES = frozenset(
    {"userId", "by", "grantedBy", "slotOf", "orderedBy", "savedBy", "ownerId", "memberIds"}
    | {"createdBy"}  # of a project's API key
)
#: The fields with what somebody wrote or a service made; names in them are not searched.
_CONTENT = frozenset(
    {
        *("payload", "result", "units", "steps", "error", "failedAttempts", "progressMessage"),
        *("data", "body", "tries", "edit", "request", "defaults", "answers", "message"),
    }
)
#: The collections with a `reason` that an admin wrote.
_WITH_REASON = _RECORDS | {OPERATIONS.name, ERASURES.name}
#: The beginnings of the actions in the audit log whose subject is a user's id; that of others is a
#: project, a queue, a provider's model, or an operation.
_ABOUT_USERS = (
    *("limit of active jobs set", "account shards set", "spend caps set"),
    *("result cache of a user purged", "credits granted"),
)
#: The actions of the audit log that name a user, before and behind the id.
_NAMING_ACTIONS = re.compile(
    r"(project (?:created for|member set:|member removed:|owner set:) )(.+?)( as [a-z]+)?"
)


@dataclass(frozen=True)
class Traces:
    """The traces of one person in documents."""

    user_id: str
    pseudonym: str

    def owns(self, row: Row[Mapping[str, Any]]) -> bool:
        """True for a document that is the person's, and is removed."""
        return row.collection.name not in _RECORDS and row.data.get("userId") == self.user_id

    def are_in(self, row: Row[Mapping[str, Any]]) -> bool:
        """True for a document that names the person, in a field or in its id."""
        name = row.collection.name
        return self.replace_in_id(name, row.id) != row.id or bool(self.find_changes(name, row.data))

    def find_changes(self, collection: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """The top-level fields that name the person, with the pseudonym instead."""
        replaced = {name: self._replace(name, value) for name, value in data.items()}
        if collection == AUDIT.name:
            replaced |= self._replace_in_entry(data)
        changes = {name: value for name, value in replaced.items() if value != data[name]}
        reason = data.get("reason")
        is_written = collection in _WITH_REASON and data.get("kind") in (None, EntryKind.GRANT)
        if changes and is_written and isinstance(reason, str):
            # An expiry's reason in the ledger is no text: it leads to the grant.
            changes["reason"] = self.replace_in_text(reason)
        return changes

    def replace_in_id(self, collection: str, id_: str) -> str:
        """A document's id with the pseudonym instead of the person's id.

        Those of an account's further documents begin with more, and are moved with the account.
        """
        before = _USER_KEYED.get(collection)
        is_theirs = before is not None and id_ == f"{before}{self.user_id}"
        return f"{before}{self.pseudonym}" if is_theirs else id_

    def replace_in_text(self, text: str) -> str:
        """A text about the person with the pseudonym instead of their id."""
        return self._word.sub(lambda _: self.pseudonym, text)

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
            case Mapping():
                return {inner: self._replace(inner, one) for inner, one in value.items()}
            case list() | tuple():
                return [self._replace(name, one) for one in value]
            case _:
                return value

    def _replace_in_entry(self, entry: Mapping[str, Any]) -> dict[str, str]:
        """The subject and the action of an entry of the audit log."""
        action, subject = str(entry.get("action", "")), entry.get("subject")
        replaced: dict[str, str] = {}
        if subject == self.user_id and action.startswith(_ABOUT_USERS):
            replaced["subject"] = self.pseudonym
        elif subject == f"{ACCOUNTS.name}/{self.user_id}":  # of a repair
            replaced["subject"] = f"{ACCOUNTS.name}/{self.pseudonym}"
        named = _NAMING_ACTIONS.fullmatch(action)
        if named is not None and named[2] == self.user_id:
            replaced["action"] = f"{named[1]}{self.pseudonym}{named[3] or ''}"
        return replaced

    @cached_property
    def _word(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w){re.escape(self.user_id)}(?!\w)")
