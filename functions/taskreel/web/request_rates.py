"""Rate limits of requests, and the header fields that tell a client of them.

Reads, and writes beside submissions, are counted in the memory of each instance; a submission also
in its owner's account, in the transaction that reads and writes it anyway. The fields are those of
draft-ietf-httpapi-ratelimit-headers-11.
"""

from __future__ import annotations

from datetime import datetime

from starlette.requests import Request
from starlette.types import Scope

from taskreel.domain.flow_limits import FlowLimits
from taskreel.domain.rate_limit import (
    READS,
    REFUSALS,
    WRITES,
    Rate,
    RateDecision,
    count_seconds,
    decide_request,
    refuse_request,
)
from taskreel.ports import Clock

_SCOPE = "taskreel.rates"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
#: Callers in memory; beyond that those are forgotten who may send a whole burst again.
_MOST_CALLERS = 20_000


class RequestRates:
    """The rates of the callers of this instance."""

    def __init__(self, limits: FlowLimits | None, clock: Clock) -> None:
        self._clock = clock
        self._rates: dict[str, Rate] = {}
        if limits is not None:
            self._rates = {
                READS: limits.reads,
                WRITES: limits.writes,
                REFUSALS: limits.refusals,
            }
        self._arrivals: dict[tuple[str, str], datetime] = {}

    def check_request(self, request: Request, user_id: str) -> None:
        """Count a user's request. Raises RateExceededError."""
        policy = READS if request.method in _READING else WRITES
        self._check(request.scope, policy, user_id)

    def check_refusal(self, request: Request) -> None:
        """Count a request without a valid token. Raises RateExceededError for a flood."""
        self._check(request.scope, REFUSALS, _find_address(request))

    def _check(self, scope: Scope, policy: str, caller: str) -> None:
        rate = self._rates.get(policy)
        if rate is None:
            return
        now = self._clock.now()
        decision = decide_request(rate, self._arrivals.get((policy, caller)), now)
        report_rate(scope, policy, decision)
        if not decision.allowed:
            raise refuse_request(policy, decision)
        if len(self._arrivals) >= _MOST_CALLERS:
            self._forget_idle(now)
        self._arrivals[policy, caller] = decision.arrival

    def _forget_idle(self, now: datetime) -> None:
        self._arrivals = {key: at for key, at in self._arrivals.items() if at > now}
        if len(self._arrivals) >= _MOST_CALLERS:
            # More callers at once than fit: memory is bounded, and all begin afresh.
            self._arrivals.clear()


def report_rate(scope: Scope, policy: str, decision: RateDecision) -> None:
    """Have the answer tell its client of the decision."""
    scope.setdefault(_SCOPE, {})[policy] = decision


def list_rate_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """`RateLimit-Policy` and `RateLimit` of the answer to a counted request."""
    decisions: dict[str, RateDecision] | None = scope.get(_SCOPE)
    return _format_headers(decisions) if decisions else []


def _format_headers(decisions: dict[str, RateDecision]) -> list[tuple[bytes, bytes]]:
    policies, states = [], []
    for name, one in decisions.items():
        window = count_seconds(one.rate.window)
        policies.append(f'"{name}";q={one.rate.burst};w={window}')
        states.append(f'"{name}";r={one.remaining};t={count_seconds(one.wait)}')
    return [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(states).encode()),
    ]


def _find_address(request: Request) -> str:
    """The address of the client: the last that a proxy has added, which a client cannot forge."""
    forwarded = request.headers.get("x-forwarded-for", "")
    last = forwarded.rpartition(",")[2].strip()
    return last or (request.client.host if request.client else "")
