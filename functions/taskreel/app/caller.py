"""The authenticated caller of a use case."""

from __future__ import annotations

from dataclasses import dataclass

from taskreel.domain.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The user of a request, with the claims of their token."""

    user_id: str
    tier: str = "free"
    admin: bool = False
    projects: frozenset[str] | None = None

    def may_see(self, job: Job) -> bool:
        """Tell if the caller may see a job: their own, or any for an administrator."""
        return self.admin or job.user_id == self.user_id
