"""The routes of the fake Google for Cloud Storage."""

from __future__ import annotations

from .fake_google import NUMBER, Body, FakeGoogle, Request, route


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
