"""Limits of a deployment: jobs of a user by tier, jobs of a type, and requests a minute.

They are read from one file, infra/limits.yaml, whose fields these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from taskreel.domain.job_fields import Priority
from taskreel.domain.rate_limit import Rate
from taskreel.domain.value import Value

#: The tier of a token that names none, or one that is not in the file.
FREE = "free"


#: A number of jobs at a time.
Places = Annotated[int, Field(ge=1)]


class TierLimits(Value):
    """The limits of the users of one tier."""

    #: Jobs that may run at a time, children of pipelines not counted.
    active_jobs: int = Field(ge=1)
    #: The priority of a job whose request names none.
    priority: Priority = Priority.NORMAL


class FlowLimits(Value):
    """The limits of a deployment."""

    tiers: Mapping[str, TierLimits]
    #: A job goes before others of its type that came up to so many seconds earlier.
    priority_seconds: Mapping[Priority, Annotated[float, Field(ge=0)]]
    #: Jobs of a type that are on its queue or run; more wait in the store, in order of their rank.
    default_window: int = Field(default=120, ge=1)
    windows: Mapping[str, Places] = Field(default_factory=dict)
    #: Jobs that the account at a provider allows at a time, by `provider` or `provider/model`. A
    #: model with a limit of its own does not count against that of its provider.
    providers: Mapping[str, Places] = Field(default_factory=dict)
    #: Jobs of a project at a time, pipelines counted as one.
    projects: Mapping[str, Places] = Field(default_factory=dict)
    #: The time that one job advances its owner's clock: a user with many jobs has one of them
    #: every so many seconds in the order of those who have few.
    fair_share_seconds: float = Field(default=5.0, gt=0)
    #: Requests of a user that change something, and that read; requests without a valid token of
    #: one address.
    writes: Rate
    reads: Rate
    refusals: Rate

    def tier(self, name: str | None) -> TierLimits:
        """The limits of a tier; those of `free` for an unknown one."""
        return self.tiers.get(name or FREE) or self.tiers[FREE]

    def window(self, job_type: str) -> int:
        """The most jobs of a type on its queue."""
        return self.windows.get(job_type, self.default_window)

    def find_provider_slot(self, provider: str, model: str | None) -> str | None:
        """The name in `providers` that work of a provider's model counts against, if any."""
        own = f"{provider}/{model}"
        if model is not None and own in self.providers:
            return own
        return provider if provider in self.providers else None

    def head_start(self, priority: Priority) -> timedelta:
        """The time that a priority moves a job forward."""
        return timedelta(seconds=self.priority_seconds.get(priority, 0.0))

    @property
    def fair_share(self) -> timedelta:
        """`fair_share_seconds` as a time."""
        return timedelta(seconds=self.fair_share_seconds)
