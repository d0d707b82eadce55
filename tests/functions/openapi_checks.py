"""Checks of schemathesis: of removals where a DELETE may only cancel, and of the time of answers.

schemathesis loads this file by the variable `SCHEMATHESIS_HOOKS`.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import schemathesis
from schemathesis.checks import CheckContext, CheckInternals
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import use_after_free

#: Longest answer on a loaded machine, in seconds, beside the wait that the request asks for.
_LONGEST_ANSWER_S = 10.0
_WAIT = re.compile(r"wait=(\d{1,2})", re.ASCII)


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


@schemathesis.check
def answer_in_time(_ctx: CheckContext, response: Response, _case: Case[Any]) -> None:
    """The built-in `max_response_time`, with the wait of a `Prefer` header allowed for."""
    wanted = _WAIT.search(str(response.request.headers.get("Prefer", "")))
    longest = _LONGEST_ANSWER_S + (float(wanted[1]) if wanted else 0.0)
    assert response.elapsed <= longest, f"answered after {response.elapsed:.1f} s of {longest:g}"
