"""Settings that follow from a Google Cloud project, for those that are not given."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

#: The database and the end of the bucket's name, as scripts/provision creates them.
_DATABASE = "taskreel"
_BUCKET_SUFFIX = "-taskreel"
#: TASKS_URL of a process without queues.
NO_TASKS = "none:"
_FIREBASE_KEYS = (
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"
)
_FIREBASE_ISSUER = "https://securetoken.google.com/"
_TOKEN_SETTINGS = frozenset({"jwt_secret", "jwt_public_key", "jwt_jwks_url"})


def derive_settings(given: Mapping[str, str]) -> dict[str, str]:
    """The settings, and those that the project and its location imply; given ones come first.

    The store, the queues and the bucket are the project's. Tokens are those of the project's
    Firebase users unless a JWT_* variable says otherwise. Tasks go to the processor beside the API.
    """
    project, location = given.get("google_cloud_project"), given.get("google_cloud_location")
    if not project:
        return dict(given)
    derived = {
        "store_url": f"firestore://{project}/{_DATABASE}",
        "blobs_url": f"gs://{project}{_BUCKET_SUFFIX}",
    }
    if location:
        derived["tasks_url"] = f"cloudtasks://{project}/{location}"
    if "api_base_url" in given:
        derived["processor_url"] = _find_processor(given["api_base_url"])
    if not _TOKEN_SETTINGS & given.keys():
        derived |= {
            "jwt_jwks_url": _FIREBASE_KEYS,
            "jwt_issuer": f"{_FIREBASE_ISSUER}{project}",
            "jwt_audience": project,
        }
    return {**derived, **given}


def _find_processor(api_url: str) -> str:
    """The URL of the task processor: the API's own, or its neighbour on Cloud Run."""
    host = urlsplit(api_url).netloc
    if host.startswith("jobs-api-") and host.endswith(".run.app"):
        return api_url.replace("jobs-api-", "task-processor-", 1)
    return api_url


def describe_missing(given: Mapping[str, str]) -> list[str]:
    """One sentence for each setting without which nothing can run."""
    missing = []
    # The gateway sends no tasks and takes none, so it has no key of theirs.
    has_tasks = given.get("tasks_url") != NO_TASKS
    if has_tasks and not given.get("internal_api_key"):
        missing.append(
            "INTERNAL_API_KEY is not set; `openssl rand -hex 32` generates one, and the task "
            "processor needs the same"
        )
    if given.get("google_cloud_project"):
        if not given.get("tasks_url"):
            missing.append(
                "GOOGLE_CLOUD_LOCATION is not set, such as europe-central2 (or set TASKS_URL)"
            )
    elif not given.get("store_url"):
        missing.append(
            "GOOGLE_CLOUD_PROJECT is not set (or set STORE_URL, TASKS_URL and BLOBS_URL)"
        )
    return missing
