"""A check of schemathesis for an API in which the first DELETE of an open job cancels it.

schemathesis loads this file by the variable `SCHEMATHESIS_HOOKS`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import schemathesis
from schemathesis.checks import CheckContext, CheckInternals
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import use_after_free


class _WithoutCancellations(CheckInternals):
    """The requests of a scenario, in which a DELETE that cancelled a job has no answer.

    It is answered with 200 and the job, which stays readable: what was finished of it has been
    paid for. The next DELETE removes the job, and is answered with 204.
    """

    def find_response(self, *, case_id: str) -> Response | None:
        found = super().find_response(case_id=case_id)
        if found is None or found.request.method != "DELETE" or found.status_code != 200:
            return found
        return None if "jobId" in found.json() else found


@schemathesis.check
def use_after_removal(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """The built-in `use_after_free`, with cancellations told from removals."""
    own = ctx.internals
    internals = _WithoutCancellations(
        own.override, own.auth, own.headers, own.transport_kwargs, own.recorder, own.checks
    )
    context: Any = SimpleNamespace(internals=internals)
    return use_after_free(context, response, case)
