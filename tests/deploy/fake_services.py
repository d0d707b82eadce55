"""The routes of the fake Google, by service. Importing this module fills `fake_google.ROUTES`."""

from __future__ import annotations

import base64
import hashlib
import json

from taskreel_local.emulators.storage import generate_signing_key

from .fake_google import (
    LOCATION,
    NUMBER,
    PROJECT,
    Body,
    FakeGoogle,
    Refusal,
    Request,
    absent,
    route,
)

DONE = {"done": True}

# ── Projects, APIs ───────────────────────────────────────────────────────────────────────────────


@route("GET", "cloudresourcemanager", r"/v1/projects/([^/:]+)")
def get_project(_: FakeGoogle, __: Request, project: str) -> Body:
    if project != PROJECT:
        raise Refusal(403, "PERMISSION_DENIED", f"[{project}] not found or permission denied")
    return {"projectId": PROJECT, "projectNumber": NUMBER, "lifecycleState": "ACTIVE"}


@route("POST", "cloudresourcemanager", r"/v1/(projects/[^/:]+):[gs]etIamPolicy")
def project_policy(google: FakeGoogle, request: Request, project: str) -> Body:
    return google.policy(request, project)


@route("GET", "serviceusage", r"/v1/projects/[^/]+/services")
def list_services(google: FakeGoogle, _: Request) -> Body:
    return {"services": list(google.of("serviceusage").values())}


@route("GET", "serviceusage", r"/v1/projects/([^/]+)/services/([^/]+)")
def get_service(google: FakeGoogle, _: Request, project: str, name: str) -> Body:
    state = "ENABLED" if name in google.of("serviceusage") else "DISABLED"
    return {"name": f"projects/{project}/services/{name}", "config": {"name": name}, "state": state}


@route("POST", "serviceusage", r"/v1/projects/[^/]+/services:batchEnable")
def enable_services(google: FakeGoogle, request: Request) -> Body:
    for name in request.body["serviceIds"]:
        google.of("serviceusage")[name] = {
            "name": name,
            "config": {"name": name},
            "state": "ENABLED",
        }
    return {"name": "operations/acat.p2-1-2", **DONE, "response": {}}


@route("POST", "serviceusage", r"/v1/projects/([^/]+)/services/([^/:]+):enable")
def enable_service(google: FakeGoogle, _: Request, __: str, name: str) -> Body:
    google.of("serviceusage")[name] = {"name": name, "config": {"name": name}, "state": "ENABLED"}
    return {"name": "operations/acat.p2-1-2", **DONE, "response": {}}


@route(
    "GET",
    "cloudquotas",
    r"/v1beta/(projects/[^/]+/locations/global/services/run\.googleapis\.com/quotaInfos/(\w+))",
)
def get_quota(google: FakeGoogle, _: Request, name: str, quota: str) -> Body:
    """The quota of a new project: 20 CPUs and 40 GiB, unless a test sets another."""
    value = (
        google.of("cloudquotas")
        .get(quota, {})
        .get("value", "20000" if quota.startswith("Cpu") else str(40 << 30))
    )
    regions = [
        {
            "dimensions": {"region": region},
            "details": {"value": value},
            "applicableLocations": [region],
        }
        for region in ("us-central1", LOCATION)
    ]
    return {"name": name, "quotaId": quota, "dimensionsInfos": regions, "containerType": "PROJECT"}


# ── Service accounts and roles ───────────────────────────────────────────────────────────────────


@route("GET", "iam", r"/v1/(projects/[^/]+/serviceAccounts)")
def list_accounts(google: FakeGoogle, _: Request, parent: str) -> Body:
    return {"accounts": google.under("iam", parent + "/")}


@route("POST", "iam", r"/v1/(projects/[^/]+/serviceAccounts)")
def create_account(google: FakeGoogle, request: Request, parent: str) -> Body:
    email = f"{request.body['accountId']}@{PROJECT}.iam.gserviceaccount.com"
    return google.create(
        "iam", f"{parent}/{email}", {"email": email, **request.body.get("serviceAccount", {})}
    )


@route("GET", "iam", r"/v1/projects/[^/]+/serviceAccounts/([^/:]+)")
def get_account(google: FakeGoogle, _: Request, email: str) -> Body:
    return google.get("iam", f"projects/{PROJECT}/serviceAccounts/{email}")


@route("POST", "iam", r"/v1/projects/[^/]+/serviceAccounts/([^/:]+):[gs]etIamPolicy")
def account_policy(google: FakeGoogle, request: Request, email: str) -> Body:
    google.get("iam", f"projects/{PROJECT}/serviceAccounts/{email}")
    return google.policy(request, f"account {email}")


@route("GET", "iam", r"/v1/projects/[^/]+/serviceAccounts/([^/:]+)/keys")
def list_keys(google: FakeGoogle, _: Request, email: str) -> Body:
    return {"keys": google.under("keys", f"projects/{PROJECT}/serviceAccounts/{email}/keys/")}


@route("POST", "iam", r"/v1/projects/[^/]+/serviceAccounts/([^/:]+)/keys")
def create_key(google: FakeGoogle, _: Request, email: str) -> Body:
    google.get("iam", f"projects/{PROJECT}/serviceAccounts/{email}")
    name = f"{email}{next(google.serial)}"
    identity = hashlib.sha1(name.encode()).hexdigest()  # noqa: S324 - an id
    name = f"projects/{PROJECT}/serviceAccounts/{email}/keys/{identity}"
    private, public = generate_signing_key()
    data = base64.b64encode(
        json.dumps({**private, "client_email": email, "private_key_id": identity}).encode()
    ).decode()
    google.create(
        "keys",
        name,
        {"keyType": "USER_MANAGED", "publicKeyData": base64.b64encode(public).decode()},
    )
    return {"name": name, "privateKeyData": data, "privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE"}


@route("POST", "iam", r"/v1/permissions:queryTestablePermissions")
def testable_permissions(_: FakeGoogle, __: Request) -> Body:
    verbs = ("get", "list", "pause", "purge", "resume")
    names = [*(f"cloudtasks.queues.{verb}" for verb in verbs), "cloudtasks.tasks.list"]
    return {"permissions": [{"name": name, "stage": "GA"} for name in names]}


@route("GET", "iam", r"/v1/(projects/[^/]+/roles/[^/]+)")
def get_role(google: FakeGoogle, _: Request, name: str) -> Body:
    return google.get("roles", name)


@route("POST", "iam", r"/v1/(projects/[^/]+/roles)")
def create_role(google: FakeGoogle, request: Request, parent: str) -> Body:
    return google.create("roles", f"{parent}/{request.body['roleId']}", request.body["role"])


# ── Firestore, and its rules ─────────────────────────────────────────────────────────────────────


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


# ── Cloud Storage ────────────────────────────────────────────────────────────────────────────────


@route("GET", "storage", r"/storage/v1/b")
def list_buckets(google: FakeGoogle, request: Request) -> Body:
    return {"items": google.under("storage", request.query.get("prefix", ""))}


@route("GET", "storage", r"/storage/v1/b/([^/]+)")
def get_bucket(google: FakeGoogle, _: Request, bucket: str) -> Body:
    return google.get("storage", bucket)


@route("POST", "storage", r"/storage/v1/b")
def create_bucket(google: FakeGoogle, request: Request) -> Body:
    body = {
        **request.body,
        "location": request.body["location"].upper(),
        "projectNumber": NUMBER,
        "id": request.body["name"],
    }
    return google.create("storage", request.body["name"], body)


@route("PATCH", "storage", r"/storage/v1/b/([^/]+)")
def update_bucket(google: FakeGoogle, request: Request, bucket: str) -> Body:
    google.get("storage", bucket).update(request.body)
    return google.get("storage", bucket)


@route("DELETE", "storage", r"/storage/v1/b/([^/]+)")
def delete_bucket(google: FakeGoogle, _: Request, bucket: str) -> Body:
    google.of("storage").pop(bucket)
    return {}


@route("GET", "storage", r"/storage/v1/b/([^/]+)/storageLayout")
def storage_layout(_: FakeGoogle, __: Request, bucket: str) -> Body:
    return {"bucket": bucket, "hierarchicalNamespace": {"enabled": False}}


@route("GET", "storage", r"/storage/v1/b/([^/]+)/managedFolders")
def list_folders(_: FakeGoogle, __: Request, ___: str) -> Body:
    return {"items": []}


@route("GET", "storage", r"/storage/v1/b/([^/]+)/o")
def list_objects(google: FakeGoogle, request: Request, bucket: str) -> Body:
    """Objects below a prefix; with a delimiter, folders instead of the objects in them."""
    prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
    names = [
        name.partition("/")[2] for name in google.of("objects") if name.startswith(f"{bucket}/")
    ]
    items, folders = [], set()
    for name in names:
        if not name.startswith(prefix):
            continue
        head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if found:
            folders.add(prefix + head + delimiter)
        else:
            items.append(_describe_object(bucket, name))
    return {"kind": "storage#objects", "items": items, "prefixes": sorted(folders)}


def _describe_object(bucket: str, name: str) -> Body:
    return {"kind": "storage#object", "bucket": bucket, "name": name, "generation": "1"}


@route("GET", "storage", r"/storage/v1/b/([^/]+)/o/(.+)")
def get_object(google: FakeGoogle, _: Request, bucket: str, name: str) -> Body:
    google.get("objects", f"{bucket}/{name}")
    return _describe_object(bucket, name)


@route("DELETE", "storage", r"/storage/v1/b/([^/]+)/o/(.+)")
def delete_object(google: FakeGoogle, _: Request, bucket: str, name: str) -> Body:
    google.get("objects", f"{bucket}/{name}")
    google.of("objects").pop(f"{bucket}/{name}")
    return {}


@route("ANY", "storage", r"/storage/v1/b/([^/]+)/iam")
def bucket_policy(google: FakeGoogle, request: Request, bucket: str) -> Body:
    google.get("storage", bucket)
    return google.policy(request, f"bucket {bucket}")


@route("POST", "storage", r"/upload/storage/v1/b/([^/]+)/o")
def upload(google: FakeGoogle, request: Request, bucket: str) -> Body:
    boundary = request.headers["content-type"].partition("boundary=")[2].strip("'\"").encode()
    content = request.raw.split(b"--" + boundary)[2].partition(b"\n\n")[2].removesuffix(b"\n")
    name = request.query["name"]
    google.create("objects", f"{bucket}/{name}", {"size": str(len(content)), "content": content})
    return {
        "name": name,
        "bucket": bucket,
        "generation": "1",
        "size": str(len(content)),
        "metageneration": "1",
    }


# ── Secret Manager ───────────────────────────────────────────────────────────────────────────────


@route("GET", "secretmanager", r"/v1/(projects/[^/]+/secrets)")
def list_secrets(google: FakeGoogle, _: Request, parent: str) -> Body:
    return {"secrets": google.under("secretmanager", parent + "/")}


@route("POST", "secretmanager", r"/v1/(projects/[^/]+/secrets)")
def create_secret(google: FakeGoogle, request: Request, parent: str) -> Body:
    return google.create("secretmanager", f"{parent}/{request.query['secretId']}", request.body)


@route("GET", "secretmanager", r"/v1/(projects/[^/]+/secrets/[^/:]+)")
def get_secret(google: FakeGoogle, _: Request, name: str) -> Body:
    return google.get("secretmanager", name)


@route("POST", "secretmanager", r"/v1/(projects/[^/]+/secrets/[^/]+):addVersion")
def add_version(google: FakeGoogle, request: Request, secret: str) -> Body:
    versions = google.under("versions", f"{secret}/")
    version = {"state": "ENABLED", "payload": request.body["payload"]}
    return google.create("versions", f"{secret}/versions/{len(versions) + 1}", version)


@route("GET", "secretmanager", r"/v1/(projects/[^/]+/secrets/[^/]+)/versions")
def list_versions(google: FakeGoogle, _: Request, secret: str) -> Body:
    return {
        "versions": [
            {"name": each["name"], "state": "ENABLED"}
            for each in google.under("versions", secret + "/")
        ]
    }


@route("GET", "secretmanager", r"/v1/(projects/[^/]+/secrets/[^/]+)/versions/latest:access")
def access_version(google: FakeGoogle, _: Request, secret: str) -> Body:
    versions = google.under("versions", f"{secret}/")
    if not versions:
        raise absent(f"{secret}/versions/latest")
    return versions[-1]


@route("ANY", "secretmanager", r"/v1/(projects/[^/]+/secrets/[^/:]+):[gs]etIamPolicy")
def secret_policy(google: FakeGoogle, request: Request, secret: str) -> Body:
    google.get("secretmanager", secret)
    return google.policy(request, secret)


# ── Cloud Scheduler ──────────────────────────────────────────────────────────────────────────────


@route("GET", "cloudscheduler", r"/v1/(projects/[^/]+/locations/[^/]+/jobs)")
def list_schedules(google: FakeGoogle, _: Request, parent: str) -> Body:
    return {"jobs": google.under("cloudscheduler", parent + "/")}


@route("POST", "cloudscheduler", r"/v1/(projects/[^/]+/locations/[^/]+)/jobs")
def create_schedule(google: FakeGoogle, request: Request, parent: str) -> Body:
    name = request.body["name"]
    if not name.startswith(parent):
        raise Refusal(400, "INVALID_ARGUMENT", "Job name must be under its parent.")
    return google.create("cloudscheduler", name, {**request.body, "state": "ENABLED"})


@route("GET", "cloudscheduler", r"/v1/(projects/[^/]+/locations/[^/]+/jobs/[^/]+)")
def get_schedule(google: FakeGoogle, _: Request, name: str) -> Body:
    return google.get("cloudscheduler", name)


@route("PATCH", "cloudscheduler", r"/v1/(projects/[^/]+/locations/[^/]+/jobs/[^/]+)")
def update_schedule(google: FakeGoogle, request: Request, name: str) -> Body:
    job = google.get("cloudscheduler", name)
    job.update({key: value for key, value in request.body.items() if key != "httpTarget"})
    job.setdefault("httpTarget", {}).update(request.body.get("httpTarget", {}))
    return job


@route("DELETE", "cloudscheduler", r"/v1/(projects/[^/]+/locations/[^/]+/jobs/[^/]+)")
def delete_schedule(google: FakeGoogle, _: Request, name: str) -> Body:
    google.get("cloudscheduler", name)
    google.of("cloudscheduler").pop(name)
    return {}


# ── Cloud KMS ────────────────────────────────────────────────────────────────────────────────────


@route(
    "GET", "cloudkms", r"/v1/(projects/[^/]+/locations/[^/]+/keyRings/[^/]+(?:/cryptoKeys/[^/:]+)?)"
)
def get_key_or_ring(google: FakeGoogle, _: Request, name: str) -> Body:
    return google.get("cloudkms", name)


@route("POST", "cloudkms", r"/v1/(projects/[^/]+/locations/[^/]+)/keyRings")
def create_key_ring(google: FakeGoogle, request: Request, parent: str) -> Body:
    return google.create("cloudkms", f"{parent}/keyRings/{request.query['keyRingId']}", {})


@route("POST", "cloudkms", r"/v1/(projects/[^/]+/locations/[^/]+/keyRings/[^/]+)/cryptoKeys")
def create_kms_key(google: FakeGoogle, request: Request, ring: str) -> Body:
    google.get("cloudkms", ring)
    return google.create(
        "cloudkms", f"{ring}/cryptoKeys/{request.query['cryptoKeyId']}", request.body
    )


@route("GET", "cloudkms", r"/v1/(projects/[^:]+/cryptoKeys/[^/:]+):getIamPolicy")
@route("POST", "cloudkms", r"/v1/(projects/[^:]+/cryptoKeys/[^/:]+):setIamPolicy")
def key_policy(google: FakeGoogle, request: Request, key: str) -> Body:
    google.get("cloudkms", key)
    return google.policy(request, key)
