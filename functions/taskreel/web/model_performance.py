"""The API of the models' performance, for administrators."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from taskreel.app.records.model_performance import ModelDay, list_model_days
from taskreel.app.records.statistics import load_metrics
from taskreel.domain.job_metrics import find_quantile
from taskreel.web.http import JsonResponse, View
from taskreel.web.openapi_problems import document_problems
from taskreel.web.route_parameters import AuthenticatedAdmin
from taskreel.web.statistics import PeriodQuery, QuantilesView

router = APIRouter(prefix="/api/providers", tags=["providers"])


class ModelDayView(View):
    """A provider's model on a day (UTC), as the jobs that ended on it tell.

    `calls` were finished and earned `credits`; `released` credits went back; `costUsd` is the
    provider's charge. `errors` are failed calls by their code. `run` are the times of jobs with one
    call, in milliseconds.
    """

    day: str
    provider: str
    model: str | None
    calls: int
    failed: int
    errors: dict[str, int]
    run: QuantilesView
    credits: int
    released: int
    cost_usd: float


class ModelDaysView(View):
    """Days and models with calls, oldest first."""

    days: list[ModelDayView]


@router.get(
    "/performance",
    summary="Calls, times, errors, credits and costs by model and day (admin)",
    response_model=ModelDaysView,
    responses=document_problems("forbidden"),
)
async def read_model_days(
    wanted: Annotated[PeriodQuery, Query()], context: AuthenticatedAdmin
) -> Response:
    """From counts that each process stores every half minute; quantiles are within 5 %."""
    now = context.services.clock.now()
    metrics = await load_metrics(context.services, now - timedelta(days=wanted.days - 1), now)
    days = [build_model_day_view(one) for one in list_model_days(metrics)]
    return JsonResponse(ModelDaysView(days=days))


def build_model_day_view(one: ModelDay) -> ModelDayView:
    """A model's day as it is sent."""
    return ModelDayView(
        day=one.day,
        provider=one.provider,
        model=one.model,
        calls=one.calls,
        failed=sum(one.errors.values()),
        errors=one.errors,
        run=QuantilesView(
            p50=find_quantile(one.run_ms, 0.5),
            p90=find_quantile(one.run_ms, 0.9),
            p99=find_quantile(one.run_ms, 0.99),
        ),
        credits=round(one.credits),
        released=round(one.released),
        cost_usd=round(one.cost_usd, 6),
    )
