"""What a submission comes to, checked whole before it is charged: its provider calls, who does them, the price."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from taskreel.app.pricing.credit_cost import foreseen, step_type, steps_of
from taskreel.app.providers.inherited_provider import with_provider
from taskreel.app.providers.selection import (
    Wanted,
    choice_for,
    names_meant,
    offers_for,
    served_by,
    together,
)
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.pipeline import PIPELINE, Step, items_of
from taskreel.domain.provider_choice import Choice, choose
from taskreel.domain.template import references, resolve, templated
from taskreel.domain.unit import UnitRun
from taskreel.jobtypes.fields import ProviderWish
from taskreel.jobtypes.job_type import JobType, Submission, Unit
from taskreel.ports import WorkRequest

#: How much of a fan-out's jobs is looked at before anything is made, in letters; a reference takes as long as 1,000.
_MOST_LOOKED_AT = 50_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """A new job's units, each with who serves it; until when all must wait, if they must; and about what it costs.

    `usd` is None where the model table does not say. A pipeline has no units; `steps` has a plan for each step.
    """

    units: tuple[UnitRun, ...] = ()
    not_before: datetime | None = None
    usd: float | None = 0.0
    steps: Mapping[str, Plan] = field(default_factory=dict)

    @property
    def served_by(self) -> str | None:
        """Who is to do it, as far as that is known: each name once."""
        return together([served_by(self.units), *(plan.served_by for plan in self.steps.values())])


async def plan_of(
    services: Services,
    job_type: JobType[Any],
    submission: Submission,
    *,
    whole: bool = True,
    without: Collection[str] = (),
) -> Plan:
    """What a submission comes to, down to the last step of a pipeline; not `whole` when some of its fields are missing.

    `without` are steps that need not be done. Raises InvalidError, with paths, when nobody can do a part of it.
    """
    plan = await unit_plan(services, job_type, submission)
    if job_type.pipeline is None:
        return plan
    payload = submission.payload()
    fixed = not templated([value for name, value in payload.items() if name != "steps"])
    known = {"payload": payload} if whole and fixed else {}
    steps: dict[str, Plan] = {}
    pipeline = steps_of(job_type, submission)
    for name, step in pipeline.steps.items():
        if name in without:
            continue
        kind = step_type(name, step)
        try:
            steps[name] = await _step_plan(services, submission.provider, kind, step, known)
        except (InvalidError, PermanentError) as error:
            raise _within(job_type, submission, name, error) from None
    counted = [
        plan
        for name, plan in steps.items()
        if not isinstance(pipeline.steps[name].for_each, str | dict)
    ]
    _check_price(submission.max_usd, counted)
    return Plan(usd=_sum(one.usd for one in steps.values()), steps=steps)


def _check_price(max_usd: float | None, plans: Iterable[Plan]) -> None:
    """Refuse a pipeline whose cap does not cover what it is sure to buy; the rest is seen as its steps start."""
    usd = round(sum(plan.usd or 0.0 for plan in plans if not plan.steps), 6)
    if max_usd is not None and usd > max_usd:
        message = f"${max_usd:.3f} do not cover the ${usd:.3f} that its steps are reckoned at"
        raise InvalidError.at("maxUsd", message, code="price_cap_exceeded")


async def unit_plan(services: Services, job_type: JobType[Any], submission: Submission) -> Plan:
    """A new job's own units. Raises InvalidError, with every reason, when nobody can do one of them."""
    units = job_type.units(submission)
    wanted = Wanted.of(submission, len(units))
    try:
        names_meant(services.providers, wanted)
    except InvalidError as error:
        if not units or error.code != "provider_not_configured":  # what is done here needs no key
            raise
    chosen: dict[str, Choice | None] = {}
    runs: list[UnitRun] = []
    prices: list[float | None] = []
    for unit in units:
        alike = _alike(unit)
        if alike not in chosen:
            chosen[alike] = await _choice(services, unit, wanted)
        if choice := chosen[alike]:
            offer = choice.offers[0]
            runs.append(
                UnitRun(credits=unit.credits, provider=offer.provider, model=offer.model or None)
            )
            prices.append(offer.usd)
    waits = [choice.not_before for choice in chosen.values() if choice]
    not_before = min((at for at in waits if at is not None), default=None) if all(waits) else None
    return Plan(tuple(runs), not_before, _sum(prices))


async def _step_plan(
    services: Services,
    provider: ProviderWish | None,
    kind: JobType[Any],
    step: Step,
    known: Mapping[str, Any],
) -> Plan:
    weight = 1000 * sum(1 for _ in references(step.template)) + len(str(step.template))
    plans: list[Plan] = []
    for payload in islice(_payloads(step, known), max(1, _MOST_LOOKED_AT // weight)):
        plans.append(await _job_plan(services, provider, kind, payload))
        await asyncio.sleep(0)  # a thousand of them must not keep everybody else waiting
    seen = _sum(plan.usd for plan in plans)
    usd = None if seen is None else seen * step.width / max(len(plans), 1)
    units = tuple(unit for plan in plans for unit in plan.units)
    return Plan(units, usd=usd, steps=plans[0].steps if plans else {})


def _payloads(step: Step, known: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The payloads of its jobs as far as they are known; one, when they do not differ or their number is not known."""
    listed = (
        step.for_each is not None
        and not isinstance(step.for_each, str)
        and not templated(step.for_each)
    )
    for item in items_of(step, {}) if listed and step.reads("item", "index") else [{}]:
        given = {**known, **item}
        yield (
            {**step.payload, **resolve(step.template, given, only=given)} if given else step.payload
        )


async def _job_plan(
    services: Services,
    provider: ProviderWish | None,
    kind: JobType[Any],
    payload: Mapping[str, Any],
) -> Plan:
    """The plan for one job of a step; what of its payload is not known yet is not looked at."""
    submission, whole = foreseen(kind, payload, ())
    if templated([payload.get("provider"), payload.get("model")]):
        return Plan(usd=None)
    if submission is not None:
        submission = with_provider(services, provider, kind, submission)
        if whole or kind.pipeline:
            return await plan_of(services, kind, submission, whole=whole)
    asked = submission.provider if submission else payload.get("provider")
    wanted = Wanted(asked, payload.get("model") or "", None)
    units = kind.units(submission) if submission else ()
    if not units or units[0].provider is not None:
        names_meant(services.providers, wanted)
        return Plan(usd=None)
    now = services.clock.now()
    names, offers = offers_for(
        services.providers, wanted, WorkRequest(units[0].capability, wanted.model, {}, 0, now)
    )
    if not offers:
        choose(names, offers, now=now)
    return Plan(usd=None)


def _within(
    job_type: JobType[Any], submission: Submission, step: str, error: InvalidError | PermanentError
) -> InvalidError:
    """The refusal of a step, with paths as the caller of the whole knows them."""
    found = error.details.get("errors") or [{"path": "", "message": error.message}]
    if job_type.name == PIPELINE:
        errors = [
            {**one, "path": f"steps.{step}.payload.{one['path']}".rstrip(".")} for one in found
        ]
    else:
        maker = job_type.maker(submission, step)
        errors = [
            {**one, "path": maker if one["path"] == "provider" else one["path"]} for one in found
        ]
    message = f"{errors[0]['path'] or step}: {error.message}" if len(errors) == 1 else error.message
    code = error.code if isinstance(error, InvalidError) else None
    return InvalidError(message, code=code, errors=errors)


def _sum(prices: Iterable[float | None]) -> float | None:
    """What all cost together, when each is known."""
    known = list(prices)
    return None if None in known else sum(price or 0.0 for price in known)


async def _choice(services: Services, unit: Unit, wanted: Wanted) -> Choice | None:
    """`choice_for` at submit; None leaves the unit out."""
    try:
        choice = await choice_for(services, unit, wanted)
    except InvalidError:
        if unit.without_service == "leave out":
            return None
        raise
    if unit.without_service == "local" or not choice.offers[0].stand_in:
        return choice
    if unit.without_service == "leave out":
        return None
    keys = " or ".join(services.providers.keys_for(unit.capability))
    message = (
        f"This takes a {unit.capability} service, which the local provider is not: set {keys}."
    )
    raise InvalidError.at("provider", message, text=message, code="provider_not_configured")


def _alike(unit: Unit) -> str:
    """Equal for units that the same offers can serve at about the same price: a batch is chosen for once."""
    rest = {name: value for name, value in unit.params.items() if name not in {"prompt", "seed"}}
    return repr(
        (
            unit.provider,
            unit.capability,
            len(unit.input_urls),
            sorted(rest.items(), key=lambda item: item[0]),
        )
    )
