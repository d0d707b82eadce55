"""The fake Google's Cloud Run, and what `gcloud run deploy --source` calls on the way."""

from __future__ import annotations

from collections.abc import Mapping

from .fake_google import NUMBER, PROJECT, Body, FakeGoogle, Refusal, Request, route

KNATIVE = r"/apis/serving.knative.dev/v1/namespaces/[^/]+"


@route("GET", "run", KNATIVE + "/services")
def list_run(google: FakeGoogle, _: Request) -> Body:
    return {
        "items": list(google.of("run").values()),
        "kind": "ServiceList",
        "apiVersion": "serving.knative.dev/v1",
    }


@route("GET", "run", KNATIVE + "/services/([^/]+)")
def get_run(google: FakeGoogle, _: Request, name: str) -> Body:
    return google.get("run", name)


@route("ANY", "run", KNATIVE + "/services(?:/([^/]+))?")
def write_run(google: FakeGoogle, request: Request, name: str | None) -> Body:
    if request.method == "DELETE":
        google.get("run", str(name))
        google.of("run").pop(str(name))
        return {"status": "Success"}
    service = request.body
    name = service["metadata"]["name"]
    generation = google.of("run").get(name, {}).get("metadata", {}).get("generation", 0) + 1
    revision = f"{name}-{generation:05}"
    service["metadata"].update(
        generation=generation, resourceVersion=str(generation), uid="1", selfLink=name
    )
    old = google.of("run").get(name, {}).get("spec", {}).get("template")
    if service["spec"]["template"] != old:
        labels = service["spec"]["template"].get("metadata", {}).get("labels", {})
        google.of("revisions")[revision] = _build_revision(name, revision, generation, labels)
    else:  # only traffic or metadata has changed
        revision = google.of("run")[name]["status"]["latestReadyRevisionName"]
    url = f"{google.address}/run-service/{name}" if google.address else f"https://{name}.run.app"
    traffic = service["spec"].setdefault("traffic", [{"percent": 100, "latestRevision": True}])
    service["status"] = {
        "observedGeneration": generation,
        "conditions": [
            {"type": kind, "status": "True"}
            for kind in ("Ready", "ConfigurationsReady", "RoutesReady")
        ],
        "latestCreatedRevisionName": revision,
        "latestReadyRevisionName": revision,
        "traffic": [{"revisionName": revision, **each} for each in traffic],
        "url": url,
        "address": {"url": url},
    }
    google.of("run")[name] = {**service, "name": name}
    return service


def _build_revision(service: str, name: str, generation: int, labels: Mapping[str, str]) -> Body:
    metadata = {
        "name": name,
        "labels": {**labels, "serving.knative.dev/service": service},
        "creationTimestamp": f"2026-01-01T00:00:{generation:02}Z",
    }
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": metadata, "status": ready, "spec": {"containers": [{"image": "x"}]}}


@route("GET", "run", KNATIVE + "/revisions")
def list_revisions(google: FakeGoogle, request: Request) -> Body:
    _, _, service = request.query["labelSelector"].partition("=")
    found = [
        each
        for each in google.of("revisions").values()
        if each["metadata"]["labels"]["serving.knative.dev/service"] == service.strip()
    ]
    return {
        "items": found,
        "kind": "RevisionList",
        "apiVersion": "serving.knative.dev/v1",
        "metadata": {},
    }


@route("GET", "run-service", r"/([^/]+)/api/jobs")
def call_service(google: FakeGoogle, _: Request, name: str) -> Body:
    """Answer as Cloud Run does, and as our API behind it does, to a request without a token."""
    _require_public(google, name)
    raise Refusal(401, "UNAUTHENTICATED", "No token.", media_type="application/problem+json")


@route("GET", "run-service", r"/([^/]+)/socket\.io/")
def open_socket(google: FakeGoogle, _: Request, name: str) -> Body:
    """Answer as our gateway does to the first request of a client, which needs no token."""
    _require_public(google, name)
    return {}


def _require_public(google: FakeGoogle, name: str) -> None:
    """Refuse as Cloud Run does, unless the service is open to everybody."""
    annotations = google.get("run", name)["metadata"].get("annotations", {})
    bindings = google.policies.get(f"service {name}", {}).get("bindings", ())
    everybody = any("allUsers" in binding["members"] for binding in bindings)
    is_open = annotations.get("run.googleapis.com/invoker-iam-disabled", "").lower() == "true"
    if not (is_open or everybody):
        raise Refusal(403, "PERMISSION_DENIED", "Forbidden", media_type="text/html")


@route("ANY", "run", r"/v1/projects/[^/]+/locations/[^/]+/services/([^/:]+):[gs]etIamPolicy")
def run_policy(google: FakeGoogle, request: Request, service: str) -> Body:
    google.get("run", service)
    return google.policy(request, f"service {service}")


@route("POST", "run", r"/v2/(projects/[^/]+/locations/[^/]+)/builds:submit")
def submit_build(google: FakeGoogle, request: Request, parent: str) -> Body:
    source = request.body["storageSource"]
    google.get("objects", f"{source['bucket']}/{source['object']}")
    google.create("builds", f"{parent}/builds/{next(google.serial)}", request.body)
    build = {
        "id": "b1",
        "name": f"{parent}/builds/b1",
        "projectId": PROJECT,
        "logUrl": "http://logs.fake/b1",
    }
    kind = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"
    operation = {"name": f"{parent}/operations/b1", "metadata": {"@type": kind, "build": build}}
    return {
        "buildOperation": operation,
        "baseImageUri": f"europe-docker.pkg.dev/runtimes/{request.body['imageUri'][-3:]}",
    }


@route("GET", "cloudbuild", r"/v1/(projects/[^/]+/locations/[^/]+)/operations/b1")
def finished_build(_: FakeGoogle, __: Request, parent: str) -> Body:
    images = [{"name": "image", "digest": "sha256:" + "0" * 64}]
    build = {
        "id": "b1",
        "name": f"{parent}/builds/b1",
        "status": "SUCCESS",
        "results": {"images": images},
    }
    return {"name": f"{parent}/operations/b1", "done": True, "response": build}


@route("GET", "artifactregistry", r"/v1/(projects/[^/]+/locations/[^/]+/repositories/[^/]+)")
def get_repository(_: FakeGoogle, __: Request, name: str) -> Body:
    return {"name": name, "format": "DOCKER", "mode": "STANDARD_REPOSITORY"}


@route("GET", "cloudbuild", r"/v1/(projects/[^/]+)/locations/[^/]+/defaultServiceAccount")
def build_account(_: FakeGoogle, __: Request, project: str) -> Body:
    account = f"{project}/serviceAccounts/{NUMBER}-compute@developer.gserviceaccount.com"
    return {"name": f"{project}/defaultServiceAccount", "serviceAccountEmail": account}
