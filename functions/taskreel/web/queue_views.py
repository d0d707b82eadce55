"""The position of a waiting job, as it is sent."""

from __future__ import annotations

from taskreel.app.flow.queue_position import QueuePosition
from taskreel.domain.eta import Estimate
from taskreel.web.http import View


class EstimateView(View):
    """Seconds: half of the jobs take at most `p50`, nine of ten at most `p90`."""

    p50: float
    p90: float


class QueueView(View):
    """The jobs ahead of a job, and the estimated seconds until it starts and ends."""

    ahead: int | None
    ahead_text: str | None
    starts_in: EstimateView | None
    ends_in: EstimateView | None


def build_queue_view(position: QueuePosition) -> QueueView:
    """The position as it is sent."""
    return QueueView(
        ahead=position.ahead,
        ahead_text=position.ahead_text,
        starts_in=_build_estimate(position.starts_in),
        ends_in=_build_estimate(position.ends_in),
    )


def _build_estimate(estimate: Estimate | None) -> EstimateView | None:
    if estimate is None:
        return None
    return EstimateView(p50=round(estimate.p50, 1), p90=round(estimate.p90, 1))
