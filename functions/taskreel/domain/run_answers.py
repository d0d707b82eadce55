"""The answers of providers to the failed calls of a run; in documents of their own, seldom read."""

from __future__ import annotations

from datetime import datetime

from taskreel.domain.value import StoredValue


class ProviderAnswer(StoredValue):
    """A provider's own answer to a failed call, or the exception of a crash."""

    at: datetime
    unit: int | None = None
    code: str
    text: str


class RunAnswers(StoredValue):
    """The answers that one run of a job met, for administrators alone."""

    job_id: str
    user_id: str
    at: datetime
    answers: tuple[ProviderAnswer, ...]
    expire_at: datetime
