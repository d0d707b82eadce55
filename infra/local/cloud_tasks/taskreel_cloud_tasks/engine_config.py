"""The settings of an engine, and Google's locations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from taskreel_cloud_tasks.api_errors import ApiError, Code, invalid_argument
from taskreel_cloud_tasks.resource_names import split_location

LOCATIONS = (
    *("asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3"),
    *("asia-south1", "asia-southeast1", "asia-southeast2", "australia-southeast1"),
    *("europe-central2", "europe-west1", "europe-west2", "europe-west3", "europe-west6"),
    *("northamerica-northeast1", "southamerica-east1"),
    *("us-central1", "us-east1", "us-east4", "us-west1", "us-west2", "us-west3", "us-west4"),
)
"""Result of ListLocations unless configured (the page tasks/docs/locations, 2026).

Any location is accepted then.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Settings of an engine. The defaults are Google's."""

    projects: tuple[str, ...] = ()
    """The projects that exist; empty: every project exists."""
    locations: tuple[str, ...] = ()
    """The locations that exist; empty: every location exists."""
    dedup_window: timedelta = timedelta(hours=24)
    """Time a finished task's name stays reserved (quotas page, 2026-04-08: up to 24 hours)."""
    queue_window: timedelta = timedelta(days=3)
    """Time a deleted queue's name stays reserved (CreateQueue, client 2.25: up to 3 days)."""
    reset_on_purge: bool = False
    """PurgeQueue also releases the names of the queue's tasks."""
    unthrottled: bool = False
    """Ignore rate limits, not concurrency limits: for benchmarks and fast development."""
    app_engine_url: str = ""
    """Base URL for App Engine tasks; without it their attempts fail."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """`host:port` to connect to for a task's URL, by the URL's own host (and port, if it has one).

    A service that gets another port is then called there, also by tasks created before.
    """
    history_size: int = 1000
    """Number of deliveries and of events that are stored for tests and dashboards."""
    seed: int | None = None
    """Seed of the random task ids."""

    def check_location(self, name: str) -> None:
        """Raise ApiError for a project or location that the engine does not serve."""
        project, location = split_location(name)
        if self.projects and project not in self.projects:
            raise ApiError(
                Code.PERMISSION_DENIED, f"Permission denied on resource project {project}."
            )
        if self.locations and location not in self.locations:
            raise invalid_argument(
                f"Location '{location}' is not a valid location. "
                "Use ListLocations to list valid locations."
            )
