"""The price of units that are billed by the length of their input files, as far as it is known.

The most that a unit may cost is held. Files of own results, whose lengths are stored, are priced
exactly at submission; all others when they have arrived, before anything is bought.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from msgspec.structs import replace

from taskreel.app.caller import Caller
from taskreel.app.jobs.input_files import find_artifact
from taskreel.app.pricing.job_plan import JobPlan
from taskreel.app.services import Services
from taskreel.domain.artifact import artifact_path
from taskreel.domain.credits import format_credits
from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.input_limits import INPUT_TOO_LARGE, InputTotals
from taskreel.domain.job import Job
from taskreel.domain.unit import UnitRun
from taskreel.domain.upload import is_upload_reference
from taskreel.jobtypes.job_type import Unit
from taskreel.jobtypes.length_price import FREE_SECONDS, LengthPrice
from taskreel.ports import Done, Input

log = logging.getLogger(__name__)

#: The length that a provider bills may be rounded up.
ROUNDED_SECONDS = 1.0

#: No provider fetches a smaller file by its address: it goes in the request.
_MOST_INLINE_BYTES = 150_000


async def price_own_files(services: Services, caller: Caller, plan: JobPlan) -> JobPlan:
    """The plan with exact prices of the units whose files are all results of the caller's jobs.

    Raises InvalidError for a file that is longer than the request's own `maxSeconds`.
    """
    units, prices = list(plan.units), list(plan.unit_credits)
    for place, (run, unit) in enumerate(zip(plan.units, plan.calls, strict=False)):
        price = unit.length_price
        if price is None:
            continue
        seconds = await _read_stored_length(services, caller.user_id, unit, price)
        if seconds is None:
            continue
        needed = price.price_seconds(seconds)
        if _is_beyond(unit, seconds):
            message = (
                f"must be at least {_find_limit(seconds)}, the length of the file, which holds "
                f"{format_credits(needed)}. Without it the price of that file is held"
            )
            raise InvalidError.at("options.maxSeconds", message)
        prices[place] = needed
        units[place] = run.with_changes(credits=needed)
    return replace(plan, units=tuple(units), unit_credits=tuple(prices))


async def read_known_prices(
    services: Services, user_id: str, units: Sequence[Unit]
) -> dict[int, int]:
    """The exact prices, by their place, of units whose files are all results of the user's jobs.

    Of a file that the unit may not take, the price is none: its run refuses it.
    """
    known: dict[int, int] = {}
    for place, unit in enumerate(units):
        price = unit.length_price
        if price is None:
            continue
        seconds = await _read_stored_length(services, user_id, unit, price)
        if seconds is not None and not _is_beyond(unit, seconds):
            known[place] = price.price_seconds(seconds)
    return known


def price_inputs(
    job: Job, run: UnitRun, unit: Unit, inputs: Sequence[Input], totals: InputTotals
) -> UnitRun:
    """The unit of `job` with the price of its files, which were measured as they arrived.

    Raises PermanentError, before anything is bought, for files beyond what is held: a hold is not
    raised behind the user's back.
    """
    price = unit.length_price
    assert price is not None  # noqa: S101 - only called for such units
    lengths = [totals.get_seconds(one.path.name) for one in inputs]
    for one, length in zip(inputs, lengths, strict=True):
        if not 0 < length < math.inf:
            message = f"{one.label}: its length cannot be read, and the price follows from it."
            raise PermanentError(message, code="input_invalid")
    seconds = price.choose_seconds(lengths)
    needed = price.price_seconds(seconds)
    # A run before may have lowered the unit's price; a file of the web may have changed since.
    most = max(run.credits, unit.credits)
    if job.parent_id is None:
        # Never more than is held, which is less than the unit's price where its files were results
        # of own jobs: one of those may have been removed and made again since, and be longer. The
        # hold of a child job is its pipeline's, of that price.
        most = min(most, job.credits.held)
    if needed > most or _is_beyond(unit, seconds):
        raise _refuse_length(inputs[lengths.index(seconds)], seconds, price, needed, most)
    return run.with_changes(credits=needed, input_seconds=round(seconds, 3))


async def store_measured(
    services: Services, job: Job, unit: Unit, inputs: Sequence[Input]
) -> tuple[Input, ...]:
    """The inputs of a unit, those of the web by the address of a copy in the bucket.

    The copy is removed with the job. A provider fetches a large file by its address, and the user's
    own server may send it another one than the one that was measured, and longer.
    """
    stored: list[Input] = []
    for one, asked in zip(inputs, unit.input_urls, strict=True):
        is_own = asked.startswith(("job:", "data:")) or is_upload_reference(asked)
        if is_own or one.path.stat().st_size <= _MOST_INLINE_BYTES:
            stored.append(one)
            continue
        path = artifact_path(job.job_id, job.fence, f"{one.path.name}.measured")
        await services.blobs.put(path, one.path, content_type=one.content_type)
        expires_in = services.rules.signed_url_lifetime
        url = await services.blobs.signed_url(path, expires_in=expires_in)
        stored.append(replace(one, url=url))
    return tuple(stored)


def check_billed_length(job: Job, index: int, run: UnitRun, unit: Unit, answer: Done) -> UnitRun:
    """The unit with the length of its input that the provider bills, where it found a longer one.

    Its price follows, up to what the request has agreed to: more is never charged.
    """
    measured, billed = run.input_seconds, (answer.data or {}).get("durationSeconds")
    if measured is None or unit.length_price is None or not isinstance(billed, int | float):
        return run
    if billed <= measured + ROUNDED_SECONDS:
        return run
    log.warning(
        "a provider found an input longer than it was measured; its unit is charged for that "
        "length, up to what is held",
        extra={
            "action": "input_longer_than_measured",
            "job_id": job.job_id,
            "unit": index,
            "provider": run.provider,
            "measured_seconds": measured,
            "billed_seconds": billed,
        },
    )
    corrected = run.with_changes(input_seconds=round(float(billed), 3))
    if _takes_only_results(unit):
        return corrected  # exactly the price of these files is held
    most = max(run.credits, unit.credits)
    return corrected.with_changes(credits=min(unit.length_price.price_seconds(billed), most))


def _is_beyond(unit: Unit, seconds: float) -> bool:
    """True for a file longer than the request's own `maxSeconds`."""
    return unit.max_seconds is not None and seconds > unit.max_seconds + FREE_SECONDS


def _takes_only_results(unit: Unit) -> bool:
    """True for a unit whose files are all results of jobs."""
    return all(url.startswith("job:") for url in unit.input_urls)


def _find_limit(seconds: float) -> int:
    """The least `maxSeconds` that allows the file."""
    return math.ceil(seconds - FREE_SECONDS)


async def _read_stored_length(
    services: Services, user_id: str, unit: Unit, price: LengthPrice
) -> float | None:
    """The billed length of a unit's files; None unless each is a result with a length."""
    if not _takes_only_results(unit):
        return None
    lengths: list[float] = []
    for url in unit.input_urls:
        try:
            artifact = await find_artifact(services, user_id, url)
        except PermanentError:  # the run says what is wrong, or the file is still to be made
            return None
        if not artifact.duration_seconds:
            return None
        lengths.append(artifact.duration_seconds)
    return price.choose_seconds(lengths)


def _refuse_length(
    file: Input, seconds: float, price: LengthPrice, needed: int, most: int
) -> PermanentError:
    asked = f"{file.label} plays {seconds:,.0f} s, which costs {format_credits(needed)}"
    paid = f"this job pays at most {format_credits(most)}, for the length that it allows"
    if seconds > price.most_seconds:
        advice = f"A file of at most {price.most_seconds:,} s is taken: send it in parts."
    else:
        advice = (
            f"Submit it with options.maxSeconds of {_find_limit(seconds)} or more, which holds "
            f"{format_credits(needed)}, or send it in parts."
        )
    return PermanentError(f"{asked}; {paid}. Nothing was bought. {advice}", code=INPUT_TOO_LARGE)
