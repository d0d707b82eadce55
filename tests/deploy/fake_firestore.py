"""The routes of the fake Google for Firestore, its backups, and its security rules."""

from __future__ import annotations

from .fake_google import DONE, Body, FakeGoogle, Refusal, Request, route


@route("GET", "firestore", r"/v1/(projects/[^/]+/databases)")
def list_databases(google: FakeGoogle, _: Request, parent: str) -> Body:
    return {
        "databases": [
            each for each in google.under("firestore", parent + "/") if each["name"].count("/") == 3
        ]
    }


@route("POST", "firestore", r"/v1/(projects/[^/]+/databases)")
def create_database(google: FakeGoogle, request: Request, parent: str) -> Body:
    name = f"{parent}/{request.query['databaseId']}"
    database = google.create("firestore", name, request.body)
    return {"name": f"{name}/operations/create", **DONE, "response": database}


@route("PATCH", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+)")
def update_database(google: FakeGoogle, request: Request, name: str) -> Body:
    google.get("firestore", name).update(request.body)
    return {"name": f"{name}/operations/update", **DONE, "response": google.get("firestore", name)}


@route("GET", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+)/backupSchedules")
def list_backup_schedules(google: FakeGoogle, _: Request, database: str) -> Body:
    google.get("firestore", database)
    return {"backupSchedules": google.under("backup-schedules", f"{database}/")}


@route("POST", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+)/backupSchedules")
def create_backup_schedule(google: FakeGoogle, request: Request, database: str) -> Body:
    name = f"{database}/backupSchedules/{next(google.serial)}"
    return google.create("backup-schedules", name, request.body)


@route("PATCH", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+/backupSchedules/[^/]+)")
def update_backup_schedule(google: FakeGoogle, request: Request, name: str) -> Body:
    google.get("backup-schedules", name).update(request.body)
    return google.get("backup-schedules", name)


@route("GET", "firestore", r"/v1/(projects/[^/]+/locations/[^/]+)/backups")
def list_backups(google: FakeGoogle, _: Request, location: str) -> Body:
    return {"backups": google.under("backups", f"{location}/")}


@route("POST", "firestore", r"/v1/(projects/[^/]+)/databases:restore")
def restore_database(google: FakeGoogle, request: Request, parent: str) -> Body:
    google.get("backups", request.body["backup"])
    name = f"{parent}/databases/{request.body['databaseId']}"
    database = google.create("firestore", name, {"type": "FIRESTORE_NATIVE"})
    return {"name": f"{name}/operations/restore", **DONE, "response": database}


@route("POST", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+):(?:ex|im)portDocuments")
def copy_documents(google: FakeGoogle, request: Request, database: str) -> Body:
    google.get("firestore", database)
    google.create("copies", str(next(google.serial)), {"of": database, **request.body})
    if folder := request.body.get("outputUriPrefix"):
        google.create("objects", f"{folder.removeprefix('gs://')}/day.export_metadata", {})
    return {"name": f"{database}/operations/copy", **DONE, "response": {}}


@route("GET", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+)/collectionGroups/-/indexes")
def list_indexes(google: FakeGoogle, _: Request, database: str) -> Body:
    google.get("firestore", database)
    return {"indexes": google.under("indexes", database + "/")}


@route("POST", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+/collectionGroups/[^/]+)/indexes")
def create_index(google: FakeGoogle, request: Request, group: str) -> Body:
    fields = [
        *request.body["fields"],
        {"fieldPath": "__name__", "order": request.body["fields"][-1]["order"]},
    ]
    if any(index["fields"] == fields for index in google.under("indexes", group + "/")):
        raise Refusal(409, "ALREADY_EXISTS", "index already exists")
    name = f"{group}/indexes/{next(google.serial)}"
    google.create("indexes", name, {**request.body, "fields": fields, "state": "READY"})
    return {"name": f"{group.partition('/collectionGroups')[0]}/operations/index", "metadata": {}}


@route("GET", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+)/collectionGroups/-/fields")
def list_fields(google: FakeGoogle, _: Request, database: str) -> Body:
    google.get("firestore", database)
    return {"fields": google.under("fields", database + "/")}


@route(
    "PATCH",
    "firestore",
    r"/v1/((projects/[^/]+/databases/[^/]+)/collectionGroups/[^/]+/fields/[^/]+)",
)
def update_field(google: FakeGoogle, request: Request, name: str, database: str) -> Body:
    stored = google.of("fields").setdefault(name, {"name": name})
    if "indexConfig" in request.query["updateMask"]:
        stored["indexConfig"] = request.body.get("indexConfig", {})
    if "ttlConfig" in request.query["updateMask"]:
        stored["ttlConfig"] = {"state": "ACTIVE"}
    return {"name": f"{database}/operations/field", "metadata": {}}


@route("POST", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+):bulkDeleteDocuments")
def bulk_delete(_: FakeGoogle, __: Request, database: str) -> Body:
    return {"name": f"{database}/operations/delete", "metadata": {}}


@route("GET", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+/operations/.+)")
def finished(_: FakeGoogle, __: Request, name: str) -> Body:
    return {"name": name, **DONE, "metadata": {}, "response": {}}


@route("GET", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+)/documents/([^/]+)")
def list_documents(google: FakeGoogle, _: Request, database: str, collection: str) -> Body:
    google.get("firestore", database)
    found = google.under("documents", f"{database}/documents/{collection}/")
    return {"documents": found[:1]} if found else {}


@route("GET", "firestore", r"/v1/(projects/[^/]+/databases/[^/]+/documents/[^/]+/[^/]+)")
def get_document(google: FakeGoogle, _: Request, name: str) -> Body:
    return google.get("documents", name)


@route("PATCH", "firestore", r"/v1/((projects/[^/]+/databases/[^/]+)/documents/[^/]+/[^/]+)")
def write_document(google: FakeGoogle, request: Request, name: str, database: str) -> Body:
    google.get("firestore", database)
    google.of("documents")[name] = {**request.body, "name": name}
    return google.of("documents")[name]


@route("GET", "firebaserules", r"/v1/(projects/[^/]+/r(?:eleases|ulesets)/.+)")
def get_rules(google: FakeGoogle, _: Request, name: str) -> Body:
    return google.get("firebaserules", name)


@route("POST", "firebaserules", r"/v1/(projects/[^/]+/rulesets)")
def create_ruleset(google: FakeGoogle, request: Request, parent: str) -> Body:
    return google.create("firebaserules", f"{parent}/{next(google.serial)}", request.body)


@route("PATCH", "firebaserules", r"/v1/(projects/[^/]+/releases/.+)")
def update_release(google: FakeGoogle, request: Request, name: str) -> Body:
    google.get("firebaserules", name)
    google.of("firebaserules")[name] = request.body["release"]
    return request.body["release"]  # type: ignore[no-any-return]


@route("POST", "firebaserules", r"/v1/projects/[^/]+/releases")
def create_release(google: FakeGoogle, request: Request) -> Body:
    return google.create("firebaserules", request.body["name"], request.body)
