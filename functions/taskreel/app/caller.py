"""The authenticated caller of a use case."""

from __future__ import annotations

from dataclasses import dataclass

from taskreel.domain.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as their token says."""

    user_id: str
    tier: str = "free"
    admin: bool = False
    projects: frozenset[str] | None = None

    def may_see(self, job: Job) -> bool:
        """A user sees their own jobs, an admin all."""
        return self.admin or job.user_id == self.user_id
