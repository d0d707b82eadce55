"""Plan of a submission, checked whole before it is charged: units, providers and US dollars."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from msgspec import field
from msgspec.json import Encoder

from taskreel.app.pricing.credit_cost import (
    build_pipeline,
    find_step_type,
    validate_known_fields,
)
from taskreel.app.providers.inherited_provider import inherit_provider
from taskreel.app.providers.registry import ProviderRegistry
from taskreel.app.providers.selection import (
    ProviderPreference,
    choose_providers,
    collect_offers,
    find_imitated_provider,
    resolve_provider_names,
)
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.input_limits import INPUT_TOO_LARGE, explain_too_many_files, find_fields
from taskreel.domain.pipeline import PIPELINE, Step, list_items
from taskreel.domain.provider_choice import Offer, ProviderChoice, choose_offers
from taskreel.domain.record import Record
from taskreel.domain.template import fill_template, find_references, has_references
from taskreel.domain.unit import UnitRun, join_names, served_by_names
from taskreel.jobtypes.fields import ProviderWish
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.jobtypes.submission import Submission
from taskreel.ports import WorkRequest

#: Template text of one fan-out that is filled in and planned at submission, in characters. A
#: reference takes as long as 1,000 characters. Jobs beyond it are planned when the step starts.
_MAX_TEMPLATE_SIZE = 50_000_000
_REFERENCE_SIZE = 1000
_encode = Encoder(enc_hook=repr).encode


class JobPlan(Record):
    """A new job's units with their providers, and the estimated price of its provider calls.

    `not_before` is set while no chosen provider admits work. `usd` is None when a price is not
    known. A pipeline has no units; `steps` has the plan of each step. `unit_credits` are the
    prices of all units of its own, also of those that are omitted because no provider does them.
    """

    units: tuple[UnitRun, ...] = ()
    unit_credits: tuple[int, ...] = ()
    not_before: datetime | None = None
    usd: float | None = 0.0
    steps: Mapping[str, JobPlan] = field(default_factory=dict)
    #: The provider calls of all units of its own.
    calls: tuple[Unit, ...] = ()

    @property
    def served_by(self) -> str | None:
        """The names of the chosen providers, as far as they are known; each once."""
        of_steps = [plan.served_by for plan in self.steps.values()]
        return join_names([served_by_names(self.units), *of_steps])


async def plan_job(
    services: Services,
    job_type: JobType[Any],
    submission: Submission,
    *,
    is_complete: bool = True,
    without: Collection[str] = (),
) -> JobPlan:
    """Plan a submission, down to the last step of a pipeline.

    `is_complete` is False when templates fill in some of its fields later. `without` names steps
    that need not be done. Raises InvalidError, with field paths, when no provider can do a part.
    """
    own_plan = await plan_units(services, job_type, submission)
    if job_type.pipeline is None:
        return own_plan

    payload = submission.payload()
    own_fields = [value for name, value in payload.items() if name != "steps"]
    known = {"payload": payload} if is_complete and not has_references(own_fields) else {}
    pipeline = build_pipeline(job_type, submission)
    plans: dict[str, JobPlan] = {}
    for name, step in pipeline.steps.items():
        if name in without:
            continue
        step_type = find_step_type(name, step)
        try:
            plans[name] = await _plan_step(services, submission.provider, step_type, step, known)
        except (InvalidError, PermanentError) as error:
            raise _refuse_step(job_type, submission, name, error) from None

    # A fan-out over a result may turn out narrower than its maximum: it is not counted yet.
    certain = [
        plan
        for name, plan in plans.items()
        if not isinstance(pipeline.steps[name].for_each, str | dict)
    ]
    _check_price_cap(submission.max_usd, certain)
    return JobPlan(usd=_sum_usd(plan.usd for plan in plans.values()), steps=plans)


async def plan_units(services: Services, job_type: JobType[Any], submission: Submission) -> JobPlan:
    """Choose a provider for each of a new job's own units.

    Raises InvalidError, with every provider's reason, when none can do one of them.
    """
    units = job_type.units(submission)
    _check_file_count(services, submission, units)
    if submission.provider is None and submission.model is None:
        plan = _plan_without_choice(services.providers, units)
        if plan is not None:
            return plan

    preference = ProviderPreference.of_submission(submission, len(units))
    keys = [_choice_key(unit) for unit in units]
    choices = await _choose_for_units(services, dict(zip(keys, units, strict=True)), preference)
    runs: list[UnitRun] = []
    prices: list[float | None] = []
    for key, unit in zip(keys, units, strict=True):
        choice = choices[key]
        if choice is None:
            continue
        offer = choice.offers[0]
        model = offer.model or None
        runs.append(UnitRun(credits=unit.credits, provider=offer.provider, model=model))
        prices.append(offer.usd)
    return JobPlan(
        units=tuple(runs),
        unit_credits=_list_credits(units),
        not_before=_earliest_start(choices.values()),
        usd=_sum_usd(prices),
        calls=tuple(units),
    )


async def _choose_for_units(
    services: Services, units: Mapping[str, Unit], preference: ProviderPreference
) -> Mapping[str, ProviderChoice | None]:
    """The providers of each of these units, by `_choice_key`; None for one that is omitted.

    A choice without paid providers is the same until the day ends, on which models may retire: it
    depends on no breaker. It is remembered for the next job of that kind.
    """
    registry = services.providers
    kind = (services.clock.now().date(), preference.key, *units)
    remembered = registry.free_choices.get(kind)
    if remembered is not None:
        return remembered

    try:
        resolve_provider_names(registry, preference)
    except InvalidError as error:
        # A pipeline without units of its own may name a provider that only its steps need.
        if not units or error.code != "provider_not_configured":
            raise
    choices: dict[str, ProviderChoice | None] = {}
    for key, unit in units.items():
        choice = choices[key] = await _choose_for_unit(services, unit, preference)
        if choice is not None:
            _check_offer(services, unit, choice.offers[0], preference)
    registry.remember_free_choices(kind, choices)
    return choices


def _check_offer(
    services: Services, unit: Unit, offer: Offer, preference: ProviderPreference
) -> None:
    """Raise InvalidError for `providerOptions` that would change what was priced.

    A stand-in is held to the models and options of the provider that the caller names.
    """
    has_options = bool(unit.params.get("providerOptions"))
    if not has_options and not offer.stand_in:
        return
    inputs, now = len(unit.input_urls), services.clock.now()
    provider, model = offer.provider, offer.model or preference.model
    request = WorkRequest(unit.capability, model, unit.params, inputs, now)
    if offer.stand_in:
        provider = find_imitated_provider(services.providers, preference, request) or provider
    if not has_options:
        return
    reserved = services.providers.catalogue.explain_reserved_options(provider, request)
    if reserved:
        path = "options.providerOptions"
        errors = [{"path": f"{path}.{name}", "message": why} for name, why in reserved.items()]
        text = "; ".join(f"{error['path']}: {error['message']}" for error in errors)
        raise InvalidError(text, code="reserved_option", errors=errors)


def _list_credits(units: Sequence[Unit]) -> tuple[int, ...]:
    return tuple(unit.credits for unit in units)


def _plan_without_choice(registry: ProviderRegistry, units: Sequence[Unit]) -> JobPlan | None:
    """The plan of units each of which one provider alone can do, free of charge, at any time.

    None when there is a provider to choose, or a unit that must not be imitated.
    """
    runs: list[UnitRun] = []
    for unit in units:
        provider = unit.provider
        if provider is None and unit.when_unserved == "imitate":
            provider = registry.find_sole_provider(unit.capability)
        if provider is None:
            return None
        runs.append(UnitRun(credits=unit.credits, provider=provider))
    return JobPlan(tuple(runs), _list_credits(units), calls=tuple(units))


def _check_file_count(services: Services, submission: Submission, units: Sequence[Unit]) -> None:
    """Raise InvalidError, at the first file that is too many, for a job of too many files."""
    urls = [url for unit in units for url in unit.input_urls]
    limits = services.rules.inputs
    if len(urls) > limits.max_files:
        text = explain_too_many_files(len(urls), limits)
        path = next(find_fields(submission.payload(), urls[limits.max_files]), "")
        raise InvalidError.at(path, text, code=INPUT_TOO_LARGE)


def _earliest_start(choices: Iterable[ProviderChoice | None]) -> datetime | None:
    """The first time at which any unit may start; None when one may start now."""
    waits = [choice.not_before for choice in choices if choice]
    if not all(waits):
        return None
    return min((at for at in waits if at is not None), default=None)


def _check_price_cap(max_usd: float | None, plans: Iterable[JobPlan]) -> None:
    """Refuse a pipeline whose cap is below what it certainly buys.

    The remaining steps are checked when they start. A pipeline within has its own check.
    """
    usd = round(sum(plan.usd or 0.0 for plan in plans if not plan.steps), 6)
    if max_usd is not None and usd > max_usd:
        message = f"${max_usd:.3f} is below the estimated cost of the steps, ${usd:.3f}"
        raise InvalidError.at("maxUsd", message, code="price_cap_exceeded")


async def _plan_step(
    services: Services,
    provider: ProviderWish | None,
    job_type: JobType[Any],
    step: Step,
    known: Mapping[str, Any],
) -> JobPlan:
    """Plan the jobs of a step; `known` are the values that its templates may refer to now."""
    reference_count = sum(1 for _ in find_references(step.template))
    job_size = _REFERENCE_SIZE * reference_count + len(str(step.template))
    plans: list[JobPlan] = []
    for payload in islice(_list_payloads(step, known), max(1, _MAX_TEMPLATE_SIZE // job_size)):
        plans.append(await _plan_step_job(services, provider, job_type, payload))
        await asyncio.sleep(0)  # a thousand jobs must not block the event loop
    usd = _sum_usd(plan.usd for plan in plans)
    if usd is not None:
        usd *= step.width / max(len(plans), 1)
    units = tuple(unit for plan in plans for unit in plan.units)
    return JobPlan(units, usd=usd, steps=plans[0].steps if plans else {})


def _list_payloads(step: Step, known: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The payloads of a step's jobs, with the known values filled in.

    One payload stands for all when they do not differ or their number is not known yet.
    """
    is_listed = (
        step.for_each is not None
        and not isinstance(step.for_each, str)
        and not has_references(step.for_each)
    )
    items: Iterable[Mapping[str, Any]] = [{}]
    if is_listed and step.reads("item", "index"):
        items = list_items(step, {})
    for item in items:
        values = {**known, **item}
        if values:
            yield {**step.payload, **fill_template(step.template, values, only=values)}
        else:
            yield step.payload


async def _plan_step_job(
    services: Services,
    provider: ProviderWish | None,
    job_type: JobType[Any],
    payload: Mapping[str, Any],
) -> JobPlan:
    """Plan one job of a step by the fields of its payload that are known now."""
    submission, is_complete = validate_known_fields(job_type, payload, ())
    if has_references([payload.get("provider"), payload.get("model")]):
        return JobPlan(usd=None)
    if submission is not None:
        now = services.clock.now()
        submission = inherit_provider(services.providers, provider, job_type, submission, now)
        if is_complete or job_type.pipeline:
            return await plan_job(services, job_type, submission, is_complete=is_complete)
    _check_providers(services, job_type, payload, submission)
    return JobPlan(usd=None)


def _check_providers(
    services: Services,
    job_type: JobType[Any],
    payload: Mapping[str, Any],
    submission: Submission | None,
) -> None:
    """Raise InvalidError when no provider offers such work at all, whatever the missing fields."""
    wanted = submission.provider if submission else payload.get("provider")
    preference = ProviderPreference(wanted, payload.get("model") or "", None)
    units = job_type.units(submission) if submission else ()
    if not units or units[0].provider is not None:
        resolve_provider_names(services.providers, preference)
        return
    now = services.clock.now()
    request = WorkRequest(units[0].capability, preference.model, {}, 0, now)
    names, offers = collect_offers(services.providers, preference, request)
    if not offers:
        choose_offers(names, offers, now=now)
    elif all(offer.stand_in for offer in offers) and units[0].when_unserved == "imitate":
        find_imitated_provider(services.providers, preference, request, limits=False)


def _refuse_step(
    job_type: JobType[Any], submission: Submission, step: str, error: InvalidError | PermanentError
) -> InvalidError:
    """The error of a step with the paths of the pipeline's own request."""
    found = error.details.get("errors") or [{"path": "", "message": error.message}]
    if job_type.name == PIPELINE:
        prefix = f"steps.{step}.payload."
        errors = [{**row, "path": f"{prefix}{row['path']}".rstrip(".")} for row in found]
    else:
        # The caller has not written this step: only its provider is a field of the request.
        field = job_type.provider_field(submission, step)
        errors = [
            {**row, "path": field if row["path"] == "provider" else row["path"]} for row in found
        ]
    message = error.message
    if len(errors) == 1:
        message = f"{errors[0]['path'] or step}: {message}"
    code = error.code if isinstance(error, InvalidError) else None
    return InvalidError(message, code=code, errors=errors)


def _sum_usd(prices: Iterable[float | None]) -> float | None:
    """The sum of the prices; None when one is not known."""
    total = 0.0
    for price in prices:
        if price is None:
            return None
        total += price
    return round(total, 6)


async def _choose_for_unit(
    services: Services, unit: Unit, preference: ProviderPreference
) -> ProviderChoice | None:
    """Choose a unit's providers at submission; None leaves the unit out of the job."""
    is_optional = unit.when_unserved == "leave out"
    try:
        choice = await choose_providers(services.providers, unit, preference, services.clock.now())
    except InvalidError:
        if is_optional:
            return None
        raise
    if unit.when_unserved == "imitate" or not choice.offers[0].stand_in:
        return choice
    if is_optional:
        return None
    raise services.providers.not_configured(unit.capability)


def _choice_key(unit: Unit) -> str:
    """Equal for units that the same offers serve at about the same price.

    A batch of images therefore needs one choice, not a hundred.
    """
    params = {name: value for name, value in unit.params.items() if name not in {"prompt", "seed"}}
    fixed = f"{unit.provider!r} {unit.capability} {unit.when_unserved} {len(unit.input_urls)}"
    # Of two orders of the same parameters each has a choice, which is the same.
    return f"{fixed} {_encode(params).decode()}"
