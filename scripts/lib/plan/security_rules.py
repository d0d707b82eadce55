"""Firestore's security rules, through the Firebase Rules API: gcloud has no command for them.

`python -m plan.security_rules show|publish PROJECT DATABASE FILE`; the access token is in $TOKEN.
`show` prints `same`, `differs` or `absent`; `publish` creates a ruleset from the file and releases
it.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

ENDPOINT = os.environ.get("FIREBASE_RULES_ENDPOINT", "https://firebaserules.googleapis.com")


def call_api(
    method: str, path: str, project: str, body: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """Send one request; return None if the resource does not exist."""
    request = urllib.request.Request(  # noqa: S310 - the URL is Google's or a test's
        f"{ENDPOINT}/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {os.environ['TOKEN']}",
            "Content-Type": "application/json",
            # Without it a person's calls count for gcloud's own project, where this API is off.
            "X-Goog-User-Project": project,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return None
        message = json.loads(error.read() or b"{}").get("error", {}).get("message", error.reason)
        sys.exit(f"{error.code} {message}")
    except urllib.error.URLError as error:
        sys.exit(f"{ENDPOINT} cannot be reached: {error.reason}")


def release_name(project: str, database: str) -> str:
    """Return the name of the release that Firestore enforces."""
    return f"projects/{project}/releases/cloud.firestore" + (
        "" if database == "(default)" else f"/{database}"
    )


def compare_rules(project: str, database: str, text: str) -> str:
    """Compare the rules in force with `text`: `same`, `differs` or `absent`."""
    release = call_api("GET", release_name(project, database), project)
    if release is None:
        return "absent"
    ruleset = call_api("GET", release["rulesetName"], project) or {}
    files = ruleset.get("source", {}).get("files", [])
    return "same" if [file["content"] for file in files] == [text] else "differs"


def publish_rules(project: str, database: str, text: str) -> None:
    """Release `text` as the rules in force."""
    source = {"files": [{"name": "firestore.rules", "content": text}]}
    ruleset = call_api("POST", f"projects/{project}/rulesets", project, {"source": source})
    if ruleset is None:
        sys.exit(f"Project {project} was not found; check --project")
    name = release_name(project, database)
    release = {"name": name, "rulesetName": ruleset["name"]}
    if call_api("PATCH", name, project, {"release": release}) is None:
        call_api("POST", f"projects/{project}/releases", project, release)


def main() -> None:
    """Run the command line."""
    verb, project, database, file = sys.argv[1:]
    text = Path(file).read_text("utf-8")
    if verb == "publish":
        publish_rules(project, database, text)
    else:
        sys.stdout.write(compare_rules(project, database, text) + "\n")


if __name__ == "__main__":
    main()
