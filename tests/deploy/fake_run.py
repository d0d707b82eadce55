"""The fake Google's Cloud Run, and what `gcloud run deploy --source` calls on the way."""

from __future__ import annotations

from .fake_google import NUMBER, PROJECT, Body, FakeGoogle, Request, route

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
    url = f"https://{name}-{NUMBER}.europe-central2.run.app"
    service["status"] = {
        "observedGeneration": generation,
        "conditions": [
            {"type": kind, "status": "True"}
            for kind in ("Ready", "ConfigurationsReady", "RoutesReady")
        ],
        "latestCreatedRevisionName": revision,
        "latestReadyRevisionName": revision,
        "traffic": [{"revisionName": revision, "percent": 100, "latestRevision": True}],
        "url": url,
        "address": {"url": url},
    }
    google.of("run")[name] = {**service, "name": name}
    return service


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
