"""The target of a deployment: the project, derived names, and the declarations in infra/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

from taskreel.adapters.providers import PROVIDERS

#: The parser in C takes a tenth of the time, where there is one.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: The largest RETENTION_DAYS that the services take.
_MOST_DAYS = 3650


def describe_queues(declared: Mapping[str, Any]) -> str:
    """Return the part of TASKS_URL that names locations and queues with shards; "" without any."""
    shards = ",".join(f"{queue}:{count}" for queue, count in (declared.get("shards") or {}).items())
    locations = ",".join(declared.get("locations") or ())
    named = {"locations": locations, "shards": shards}
    options = "&".join(f"{name}={text}" for name, text in named.items() if text)
    return f"?{options}" if options else ""


class LifecycleFileError(Exception):
    """infra/bucket.lifecycle.json does not say how long artifacts are stored."""


def find_retention_days(lifecycle: Mapping[str, Any]) -> int:
    """Return the days after which the bucket removes artifacts: jobs are stored as long.

    Raises LifecycleFileError unless there is one rule for it, of at least a day.
    """
    found = [
        rule["condition"]["daysSinceCustomTime"]
        for rule in lifecycle["rule"]
        if rule["action"]["type"] == "Delete" and "daysSinceCustomTime" in rule["condition"]
    ]
    if len(found) != 1 or not isinstance(found[0], int) or not 1 <= found[0] <= _MOST_DAYS:
        raise LifecycleFileError(
            "infra/bucket.lifecycle.json: it needs one Delete rule with daysSinceCustomTime, the "
            f"days that ended jobs and their files are stored: 1 to {_MOST_DAYS}, not {found}"
        )
    days: int = found[0]
    return days


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One deployment.

    `variables` is the caller's environment, to which common.sh adds deployed settings.
    """

    project: str
    location: str
    #: The project's number; the default URLs of its services contain it.
    number: str = "PROJECT_NUMBER"
    infra: Path
    source: Path
    variables: Mapping[str, str]

    @property
    def bucket(self) -> str:
        """The bucket of artifacts."""
        return self.variables["BUCKET"]

    @property
    def database(self) -> str:
        """The Firestore database."""
        return self.variables["DATABASE"]

    @property
    def retention_days(self) -> int:
        """The days that ended jobs and their files are stored. Raises LifecycleFileError."""
        return find_retention_days(self.declared(self.declared("bucket.yaml")["lifecycle"]))

    @property
    def here(self) -> tuple[str, str]:
        """The flags of commands on resources with a location."""
        return f"--location={self.location}", f"--project={self.project}"

    def email(self, account: str) -> str:
        """Return a service account's email."""
        return f"{account}@{self.project}.iam.gserviceaccount.com"

    def member(self, account: str) -> str:
        """Return a service account as a member of a policy."""
        return f"serviceAccount:{self.email(account)}"

    def url(self, service: str) -> str:
        """Return the URL of a Cloud Run service, which is known before its deployment."""
        return f"https://{service}-{self.number}.{self.location}.run.app"

    def role(self, role: str) -> str:
        """Return a role's full name; our own role belongs to the project."""
        return role if role.startswith("roles/") else f"projects/{self.project}/roles/{role}"

    def fill(self, text: str) -> str:
        """Return `text` with ${…} substituted."""
        return Template(text).substitute(
            PROJECT=self.project,
            LOCATION=self.location,
            BUCKET=self.bucket,
            DATABASE=self.database,
            API_BASE_URL=self.variables.get("API_BASE_URL") or self.url("jobs-api"),
            PROCESSOR_URL=self.variables.get("PROCESSOR_URL") or self.url("task-processor"),
            MEDIA_PROCESSOR_URL=self.variables.get("MEDIA_PROCESSOR_URL")
            or self.variables.get("PROCESSOR_URL")
            or self.url("media-processor"),
            LIMITS=json.dumps(self.declared("limits.yaml"), separators=(",", ":")),
            QUEUES=describe_queues(self.declared("queues.yaml")),
            RETENTION_DAYS=str(self.retention_days),
        )

    def declared(self, name: str) -> Any:
        """A file of infra/."""
        text = (self.infra / name).read_text("utf-8")
        if name.endswith(".json"):
            return json.loads(text)
        return yaml.load(text, _Loader)  # noqa: S506 - both are safe

    @property
    def secrets(self) -> dict[str, dict[str, Any]]:
        """Variable → secret: those of secrets.yaml, and the key of every provider in the table."""
        declared: dict[str, dict[str, Any]] = self.declared("secrets.yaml")["secrets"]
        keys = {
            entry.key_variable: {
                "name": f"taskreel-{entry.key_variable.lower().replace('_', '-')}",
                "provider": entry.name,
            }
            for entry in PROVIDERS.values()
        }
        return declared | keys

    def secrets_of(self, service: Mapping[str, Any]) -> list[str]:
        """The variables of the secrets that a service of services.yaml reads."""
        names = [*service.get("secrets", ())]
        if service.get("providerKeys"):
            names += [entry.key_variable for entry in PROVIDERS.values()]
        return names
