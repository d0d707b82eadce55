"""The database, its composite indexes, and its single-field settings (exemptions, time to live)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .step import Step, fail_step, run_step, show_step, warn_near_limit, warn_step
from .target import Target

Fields = tuple[tuple[str, str], ...]
#: A composite index: its collection and its fields.
_Index = tuple[str, Fields]


def plan_database(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """Create the database in native mode; its location cannot be changed later."""
    path = f"projects/{target.project}/databases/{target.database}"
    existing = next((each for each in found if each["name"] == path), None)
    if existing is None:
        yield run_step(
            f"create Firestore database {target.database} in {target.location} "
            "(the location cannot be changed later)",
            *(
                "firestore",
                "databases",
                "create",
                f"--database={target.database}",
                f"--location={target.location}",
            ),
            *(
                "--type=firestore-native",
                "--delete-protection",
                *_recovery_flags(target),
                f"--project={target.project}",
            ),
        )
    elif existing.get("type", "FIRESTORE_NATIVE") != "FIRESTORE_NATIVE":
        yield fail_step(
            f"database {target.database} is in mode {existing['type']}, "
            "which cannot be changed once it has data; "
            "use another: DATABASE=taskreel scripts/provision"
        )
    elif existing.get("locationId", target.location) != target.location:
        yield warn_step(
            f"database {target.database} is in {existing['locationId']}, "
            f"the rest in {target.location}: every read crosses regions. "
            f"Use --location {existing['locationId']}, or another database: "
            "DATABASE=taskreel scripts/provision"
        )
    elif (
        _recovery_flags(target)
        and existing.get("pointInTimeRecoveryEnablement") != "POINT_IN_TIME_RECOVERY_ENABLED"
    ):
        yield run_step(
            f"turn on point-in-time recovery of database {target.database}",
            *("firestore", "databases", "update", f"--database={target.database}"),
            *(*_recovery_flags(target), f"--project={target.project}"),
        )
    yield from warn_near_limit(len(found), 100, "Firestore databases")


def _recovery_flags(target: Target) -> tuple[str, ...]:
    return ("--enable-pitr",) if target.declared("backups.yaml")["pointInTimeRecovery"] else ()


def plan_backups(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """Schedule the daily backup of the database, or correct the time for which it is stored."""
    retention = target.declared("backups.yaml")["dailyRetention"]
    where = (f"--database={target.database}", f"--project={target.project}")
    daily = next((each for each in found if "dailyRecurrence" in each), None)
    if daily is None:
        yield run_step(
            f"schedule a daily backup of database {target.database}, stored for {retention}",
            *("firestore", "backups", "schedules", "create", "--recurrence=daily"),
            *(f"--retention={retention}", *where),
        )
    elif daily["retention"] != f"{int(retention.removesuffix('d')) * 86_400}s":
        name = daily["name"].rpartition("/")[2]
        yield run_step(
            f"store the daily backups of database {target.database} for {retention}",
            *("firestore", "backups", "schedules", "update", f"--backup-schedule={name}"),
            *(f"--retention={retention}", *where),
        )


def plan_restore(
    target: Target, found: Mapping[str, Any], into: str, backup: str
) -> Iterator[Step]:
    """Restore a backup of the database, the newest or the given one, into a new database.

    `found` has the databases and the backups of the location.
    """
    path = f"projects/{target.project}/databases/{target.database}"
    yield from _check_destination(target, found["databases"] or [], into)
    ready = [
        each
        for each in found["backups"] or []
        if each["database"] == path and each.get("state") == "READY"
    ]
    newest_first = sorted(ready, key=lambda each: each["snapshotTime"], reverse=True)
    chosen = [each for each in newest_first if backup in {"", each["name"].rpartition("/")[2]}]
    if not chosen:
        names = [each["name"].rpartition("/")[2] for each in newest_first]
        yield fail_step(
            f"database {target.database} has no ready backup {backup or 'in ' + target.location}; "
            f"there are: {', '.join(names) or 'none'}. A first one exists a day after provision; "
            "--at TIME needs none"
        )
        return
    yield show_step(
        f"restore database {target.database} as of {chosen[0]['snapshotTime']} into {into}",
        *("firestore", "databases", "restore", f"--source-backup={chosen[0]['name']}"),
        *(f"--destination-database={into}", f"--project={target.project}"),
    )


def plan_restore_at(
    target: Target, found: Mapping[str, Any], into: str, moment: str, collections: str
) -> Iterator[Step]:
    """Copy the collections as they were at `moment` (a whole minute) into a new database.

    The way is an export to the bucket, which is deleted at the end.
    """
    yield from _check_destination(target, found["databases"] or [], into)
    folder = f"gs://{target.bucket}/restores/{into}-{moment.replace(':', '')}"
    project = f"--project={target.project}"
    yield run_step(
        f"create Firestore database {into} in {target.location}",
        *("firestore", "databases", "create", f"--database={into}"),
        *(f"--location={target.location}", "--type=firestore-native", "--delete-protection"),
        *(*_recovery_flags(target), project),
    )
    yield show_step(
        f"export database {target.database} as of {moment} to {folder}",
        *("firestore", "export", folder, f"--database={target.database}"),
        *(f"--snapshot-time={moment}", f"--collection-ids={collections}", project),
    )
    yield show_step(
        f"import it into database {into}",
        *("firestore", "import", folder, f"--database={into}", project),
    )
    yield run_step("delete the export", "storage", "rm", folder, "--recursive", project)


def _check_destination(
    target: Target, databases: list[dict[str, Any]], into: str
) -> Iterator[Step]:
    names = {each["name"].rpartition("/")[2] for each in databases}
    if into in names:
        yield fail_step(
            f"database {into} exists: nothing is restored over it. Choose another with --into"
        )
    if target.database not in names:
        yield fail_step(f"there is no database {target.database} in {target.project}")


def _shard_indexes(target: Target, declared: set[_Index]) -> set[_Index]:
    """With ?sharded-types in STORE_URL, put the shard before the time where the store does."""
    url = target.declared("services.yaml")["defaults"]["env"].get("STORE_URL", "")
    if "sharded-types" not in url.partition("?")[2]:
        return declared
    from taskreel.adapters.gcp.firestore.sharded_indexes import SHARD, is_split

    return {
        (group, (*fields[:-1], (SHARD, "ASCENDING"), fields[-1]))
        if is_split(group, fields)
        else (group, fields)
        for group, fields in declared
    }


def plan_indexes(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """Create missing composite indexes; an index that is not declared is left alone."""
    declared = {
        (index["collectionGroup"], _index_fields(index["fields"]))
        for index in target.declared("firestore.indexes.json")["indexes"]
    }
    existing = {
        (_collection_group(index["name"]), _index_fields(index["fields"])): index for index in found
    }
    wanted = _shard_indexes(target, declared)
    for group, fields in sorted(wanted - existing.keys()):
        text = ", ".join(f"{path} {order.lower()}" for path, order in fields)
        configs = [
            f"--field-config=field-path={path},order={order.lower()}" for path, order in fields
        ]
        yield run_step(
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
        if (group, fields) in declared - wanted:
            name = index["name"].rpartition("/")[2]
            yield warn_step(
                f"{what} is replaced by one with shards, and limits the writes as long as it is "
                "there. Once the services are deployed with ?sharded-types: gcloud firestore "
                f"indexes composite delete {name} --database={target.database}"
            )
        elif (group, fields) not in wanted:
            yield warn_step(f"{what} is not in infra/firestore.indexes.json; left alone")
        elif index.get("state", "READY") != "READY":
            yield warn_step(f"{what} is {index['state']}: not usable yet")


def plan_fields(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """Exempt fields from single-field indexing, and set the time-to-live fields."""
    existing = {
        (_collection_group(field["name"]), field["name"].rpartition("/")[2]): field
        for field in found
    }
    for override in target.declared("firestore.indexes.json")["fieldOverrides"]:
        group, path = override["collectionGroup"], override["fieldPath"]
        where = (f"--collection-group={group}", f"--database={target.database}")
        common = (*where, "--async", f"--project={target.project}")
        field = existing.get((group, path), {})
        if not _is_exempt(field):
            why = f"exempt {group}.{path} from single-field indexing"
            yield run_step(
                why,
                "firestore",
                "indexes",
                "fields",
                "update",
                path,
                "--disable-indexes",
                *common,
            )
        if override.get("ttl") and "ttlConfig" not in field:
            why = f"delete documents of {group} when {path} has passed"
            yield run_step(
                why, "firestore", "fields", "ttls", "update", path, "--enable-ttl", *common
            )


def _is_exempt(field: Mapping[str, Any]) -> bool:
    """Return True if single-field indexing is off for the field."""
    config = field.get("indexConfig")
    return config is not None and not config.get("indexes") and not config.get("usesAncestorConfig")


def _collection_group(name: str) -> str:
    """Return the collection in `…/collectionGroups/{group}/…`."""
    return name.partition("/collectionGroups/")[2].partition("/")[0]


def _index_fields(fields: list[dict[str, str]]) -> Fields:
    """Return paths and orders; Google appends `__name__` by itself."""
    return tuple(
        (field["fieldPath"], field.get("order", ""))
        for field in fields
        if field["fieldPath"] != "__name__"
    )
