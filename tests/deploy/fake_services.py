"""Routes of the fake Google, by service: importing it puts them in `fake_google.ROUTES`."""

from __future__ import annotations

import base64
import hashlib
import json

from taskreel_local.emulators.storage import generate_signing_key

from .fake_google import (
    DONE,
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
