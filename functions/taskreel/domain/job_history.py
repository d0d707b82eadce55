"""The history of a job that its document has: changes of its status, and failed attempts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from taskreel.domain.errors import Category
from taskreel.domain.job_status import StoredStatus
from taskreel.domain.stored_record import StoredRecord
from taskreel.domain.value import StoredValue, accept_unknown

#: The newest changes of status that a job records.
MOST_CHANGES = 100
#: The newest failed attempts that a job records, and the characters of an answer.
MOST_FAILED_ATTEMPTS = 20
LONGEST_ANSWER = 2000


class StatusChange(StoredRecord, kw_only=True):
    """A status, the time at which the job entered it, and its attempts and cost by then."""

    status: StoredStatus
    at: datetime
    #: The user who caused it; None for the service itself.
    by: str | None = None
    attempt: int = 0
    #: The code of the error that the job had then.
    code: str | None = None
    #: Of a final status: the credits captured, and the providers' charges in US dollars.
    credits: int | None = None
    cost_usd: float | None = None


class FailedAttempt(StoredValue):
    """A failed call of an attempt; of a crash, without a provider."""

    omitted_defaults: ClassVar[frozenset[str]] = frozenset({"cost_estimated"})

    at: datetime
    attempt: int
    #: The number of the unit in the job, from 0.
    unit: int | None = None
    provider: str | None = None
    model: str | None = None
    code: str
    category: Annotated[Category, accept_unknown(Category)]
    #: As its user sees it.
    message: str
    #: What the provider bills for the call although it failed, in US dollars; None if unknown.
    cost_usd: float | None = None
    #: True where that is the model table's price, not the provider's word.
    cost_estimated: bool = False
