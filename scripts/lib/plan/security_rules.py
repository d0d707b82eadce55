"""Firestore's security rules, through the Firebase Rules API: gcloud has no command for them.

`python -m plan.security_rules show|publish PROJECT DATABASE FILE`; the access token is in $TOKEN.
`show` prints `same`, `absent`, `differs` (an older version of ours), or `foreign` (without our
marker: another application's rules); `publish` creates a ruleset from the file and releases it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .rest_api import call_api

ENDPOINT = os.environ.get("FIREBASE_RULES_ENDPOINT", "https://firebaserules.googleapis.com") + "/v1"

#: A line of infra/firestore.rules, by which rules in force are recognised as ours.
MARKER = "// Published by Taskreel's scripts/provision."


def release_name(project: str, database: str) -> str:
    """Return the name of the release that Firestore enforces."""
    return f"projects/{project}/releases/cloud.firestore" + (
        "" if database == "(default)" else f"/{database}"
    )


def compare_rules(project: str, database: str, text: str) -> str:
    """Compare the rules in force with `text`: `same`, `differs`, `foreign` or `absent`."""
    release = call_api("GET", f"{ENDPOINT}/{release_name(project, database)}", project)
    if release is None:
        return "absent"
    ruleset = call_api("GET", f"{ENDPOINT}/{release['rulesetName']}", project) or {}
    contents = [file["content"] for file in ruleset.get("source", {}).get("files", [])]
    if contents == [text]:
        return "same"
    return "differs" if any(MARKER in content for content in contents) else "foreign"


def publish_rules(project: str, database: str, text: str) -> None:
    """Release `text` as the rules in force."""
    source = {"files": [{"name": "firestore.rules", "content": text}]}
    rulesets = f"{ENDPOINT}/projects/{project}/rulesets"
    ruleset = call_api("POST", rulesets, project, {"source": source})
    if ruleset is None:
        sys.exit(f"Project {project} was not found; check --project")
    name = release_name(project, database)
    release = {"name": name, "rulesetName": ruleset["name"]}
    if call_api("PATCH", f"{ENDPOINT}/{name}", project, {"release": release}) is None:
        call_api("POST", f"{ENDPOINT}/projects/{project}/releases", project, release)


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
