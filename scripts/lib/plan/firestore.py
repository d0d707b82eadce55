"""The database, its composite indexes, and what is said of single fields (exemptions and the time to live)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .step import Step, fail, near, run, warn
from .target import Target

Fields = tuple[tuple[str, str], ...]


def database(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """The database exists, in native mode; where it lies cannot be changed afterwards."""
    path = f"projects/{target.project}/databases/{target.database}"
    existing = next((each for each in found if each["name"] == path), None)
    if existing is None:
        yield run(
            f"create Firestore database {target.database} in {target.location} (its location is for ever)",
            *(
                "firestore",
                "databases",
                "create",
                f"--database={target.database}",
                f"--location={target.location}",
            ),
            *("--type=firestore-native", "--delete-protection", f"--project={target.project}"),
        )
    elif existing.get("type", "FIRESTORE_NATIVE") != "FIRESTORE_NATIVE":
        yield fail(
            f"database {target.database} is in {existing['type']}, and stays so once it holds data; "
            "take another: DATABASE=taskreel scripts/provision"
        )
    elif existing.get("locationId", target.location) != target.location:
        yield warn(
            f"database {target.database} lies in {existing['locationId']}, the rest goes to {target.location}: "
            f"every read travels. Use --location {existing['locationId']}, or another database: "
            "DATABASE=taskreel scripts/provision"
        )
    yield from near(len(found), 100, "Firestore databases")


def indexes(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """Composite indexes that are missing; an index that is not in the file is left alone."""
    declared = target.declared("firestore.indexes.json")["indexes"]
    existing = {(_group(index["name"]), _fields(index["fields"])): index for index in found}
    wanted = {(index["collectionGroup"], _fields(index["fields"])) for index in declared}
    for group, fields in sorted(wanted - existing.keys()):
        text = ", ".join(f"{path} {order.lower()}" for path, order in fields)
        configs = [
            f"--field-config=field-path={path},order={order.lower()}" for path, order in fields
        ]
        yield run(
            f"create index on {group}: {text} (Firestore builds it in the background)",
            *(
                "firestore",
                "indexes",
                "composite",
                "create",
                f"--collection-group={group}",
                "--query-scope=collection",
            ),
            *(*configs, f"--database={target.database}", "--async", f"--project={target.project}"),
        )
    for (group, fields), index in sorted(existing.items()):
        what = f"index on {group} ({', '.join(path for path, _ in fields)})"
        if (group, fields) not in wanted:
            yield warn(f"{what} is not in infra/firestore.indexes.json; left alone")
        elif index.get("state", "READY") != "READY":
            yield warn(f"{what} is {index['state']}: not usable yet")


def fields(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """Fields that need no index of their own, and the field that says when a document may go."""
    existing = {(_group(field["name"]), field["name"].rpartition("/")[2]): field for field in found}
    for override in target.declared("firestore.indexes.json")["fieldOverrides"]:
        group, path = override["collectionGroup"], override["fieldPath"]
        where = (f"--collection-group={group}", f"--database={target.database}")
        common = (*where, "--async", f"--project={target.project}")
        field = existing.get((group, path), {})
        if not _exempt(field):
            why = f"exempt {group}.{path} from single-field indexing"
            yield run(
                why, "firestore", "indexes", "fields", "update", path, "--disable-indexes", *common
            )
        if override.get("ttl") and "ttlConfig" not in field:
            why = f"delete documents of {group} when {path} has passed"
            yield run(why, "firestore", "fields", "ttls", "update", path, "--enable-ttl", *common)


def _exempt(field: Mapping[str, Any]) -> bool:
    """Whether single-field indexing is off for it."""
    config = field.get("indexConfig")
    return config is not None and not config.get("indexes") and not config.get("usesAncestorConfig")


def _group(name: str) -> str:
    """The collection in `…/collectionGroups/{group}/…`."""
    return name.partition("/collectionGroups/")[2].partition("/")[0]


def _fields(fields: list[dict[str, str]]) -> Fields:
    """Paths and orders; Google adds `__name__` at the end by itself."""
    return tuple(
        (field["fieldPath"], field.get("order", ""))
        for field in fields
        if field["fieldPath"] != "__name__"
    )
