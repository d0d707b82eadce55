"""The error of a job or of one of its units, as users see it."""

from __future__ import annotations

from typing import Annotated

from taskreel.domain.errors import Category
from taskreel.domain.value import StoredValue, accept_unknown


class JobError(StoredValue):
    """The reason why the last attempt failed, in words for the user.

    The error of a pipeline also names the step, and the child job of it, that failed.
    """

    code: str
    category: Annotated[Category, accept_unknown(Category)]
    message: str
    step: str | None = None
    job_id: str | None = None
