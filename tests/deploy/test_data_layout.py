"""The data as documented, exempted from indexes and removed is the data as the code writes it."""

from __future__ import annotations

import re
import types
import typing
from datetime import datetime
from typing import Any

import pytest

from firestore_indexes import DeclaredIndexes
from taskreel import store_collections
from taskreel.domain.alerts import AlertState
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.breaker import Breaker
from taskreel.domain.client_webhook import WebhookDelivery, WebhookEndpoint
from taskreel.domain.credits import Account, LedgerEntry
from taskreel.domain.data_key import DataKey
from taskreel.domain.dead_letters import DeadLetterGroup
from taskreel.domain.erasure import Erasure
from taskreel.domain.job import Job
from taskreel.domain.job_metrics import DailyMetrics
from taskreel.domain.job_template import JobTemplate
from taskreel.domain.operation import BulkOperation
from taskreel.domain.project import Project
from taskreel.domain.queue_control import QueueControl
from taskreel.domain.recurring_job import RecurringJob
from taskreel.domain.run_answers import RunAnswers
from taskreel.domain.upload import Upload
from taskreel.domain.value import Value
from taskreel.ports import Collection

from .declarations import ROOT

MODELS: dict[str, type[Value]] = {
    "jobs": Job.reader(),
    "accounts": Account,
    "ledger": LedgerEntry.reader(),
    "breakers": Breaker,
    "recurring_jobs": RecurringJob,
    "queue_controls": QueueControl,
    "run_answers": RunAnswers,
    "operations": BulkOperation,
    "uploads": Upload,
    "webhook_endpoints": WebhookEndpoint,
    "webhook_deliveries": WebhookDelivery,
    "job_performance_metrics": DailyMetrics,
    "dead_letters": DeadLetterGroup,
    "job_templates": JobTemplate,
    "projects": Project,
    "audit": AuditEntry,
    "erasures": Erasure,
    "alerts": AlertState,
    "data_keys": DataKey,
}
_ROW = re.compile(r"^\| `(\w+)/\{[\w.]+\}` \| (.+) \| [^|]+ \|$", re.MULTILINE)
_SEARCHED = re.compile(r'"(\w+)", "array-contains"')


def documented() -> dict[str, set[str]]:
    """Collection → the fields that infra/README.md names."""
    rows = _ROW.findall((ROOT / "infra/README.md").read_text("utf-8"))
    return {collection: set(re.findall(r"`(\w+)`", fields)) for collection, fields in rows}


def found_in_code(what: re.Pattern[str]) -> set[str]:
    paths = [
        path
        for layer in ("app", "web")
        for path in (ROOT / "functions/taskreel" / layer).rglob("*.py")
    ]
    return {name for path in paths for name in what.findall(path.read_text("utf-8"))}


def test_the_collections_of_the_code_are_those_documented() -> None:
    named = {one.name for one in vars(store_collections).values() if isinstance(one, Collection)}
    # The health check asks for a document that never is.
    assert named - {"health"} == documented().keys() == MODELS.keys()


@pytest.mark.parametrize("collection", MODELS)
def test_the_documented_fields_are_those_stored(collection: str) -> None:
    stored = {field.alias for field in MODELS[collection].model_fields.values()}
    assert documented()[collection] == stored


def test_destroying_the_data_takes_every_collection() -> None:
    (names,) = re.findall(
        r"^collections=\(([\w ]+)\)",
        (ROOT / "scripts/lib/parts.sh").read_text("utf-8"),
        re.MULTILINE,
    )
    assert set(names.split()) == documented().keys()
    assert '"${collections[*]}"' in (ROOT / "scripts/destroy").read_text("utf-8")


@pytest.mark.parametrize("collection", MODELS)
def test_lists_maps_and_times_are_exempted_from_single_field_indexes(collection: str) -> None:
    """Indexes cost a write for each entry of a list or map; an index on a time caps the writes."""
    exempted = {name for kind, name in DeclaredIndexes.load().exempted if kind == collection}
    dear = {
        field.alias
        for field in MODELS[collection].model_fields.values()
        if _is_dear(field.annotation)
    }
    assert dear - exempted == dear & found_in_code(_SEARCHED)


#: Collection → the fields of queries that have no order and so no composite index; `userId` is
#: asked for by web clients (infra/firestore.rules), whose queries may have none either.
_QUERIED_ALONE = {
    "jobs": {
        "parentId",
        "step",
        "parentRound",
        "status",
        "operationIds",
        "fingerprint",
        "lineage",
        "userId",
    },
    "accounts": set[str](),
    "ledger": {"userId"},
}


@pytest.mark.parametrize("collection", _QUERIED_ALONE)
def test_fields_that_no_query_asks_for_alone_are_exempted(collection: str) -> None:
    """An automatic index costs two entries for each write of a document, and its storage.

    functions/conftest.py checks that every query still has an index.
    """
    exempted = {name for kind, name in DeclaredIndexes.load().exempted if kind == collection}
    assert documented()[collection] - exempted == _QUERIED_ALONE[collection]


def _is_dear(kind: Any) -> bool:
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        return any(map(_is_dear, typing.get_args(kind)))
    if typing.get_origin(kind) is not None:
        return typing.get_origin(kind) in {tuple, list, dict}
    return isinstance(kind, type) and issubclass(kind, datetime | Value)
