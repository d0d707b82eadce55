"""Cron expressions and the times that they name.

The rules are Debian's cron, which people expect: a time that a change of the clocks skips comes
right after it, and one that the change repeats comes once. `cronsim` implements them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from taskreel.domain.errors import InvalidError

_FIELDS = "minute, hour, day of the month, month, day of the week"
_NEVER = "names a date that never comes: use a day that one of its months has"
_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)
#: cronsim writes steps as ordinals: `*/30` is "every 30th minute", which reads as one minute.
_ORDINALS = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
_ORDINAL = rf"(\d+th|{'|'.join(_ORDINALS)})"
_EVERY_NTH_MINUTE = re.compile(
    rf"([Ee])very {_ORDINAL} minute( from \d+ through)?( of every hour)?"
)
_EVERY_NTH_HOUR = re.compile(rf"(At minutes? [\d, and]+?) past every {_ORDINAL} hour( from)?")
_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class CronSchedule:
    """The times of a cron expression in a time zone.

    Raises InvalidError, which names the field `cronExpression` or `timeZone`.
    """

    def __init__(self, expression: str, time_zone: str) -> None:
        self._zone = _load_zone(time_zone)
        text = expression.strip()
        self._expression = _ALIASES.get(text.lower(), text)
        if len(self._expression.split()) != len(_FIELDS.split(",")):
            # cronsim takes a sixth field first, for seconds: it would mean other times silently.
            message = f"must have five fields ({_FIELDS}), such as `0 9 * * MON-FRI`, or be @daily"
            raise InvalidError.at("cronExpression", message)
        try:
            self._words = _name_steps(CronSim(self._expression, _ANY_TIME).explain())
        except CronSimError as error:
            message = _explain_refusal(self._expression, error)
            raise InvalidError.at("cronExpression", message) from None
        if self.next_after(_ANY_TIME) is None:
            raise InvalidError.at("cronExpression", _NEVER)

    @property
    def words(self) -> str:
        """The expression in English: "At 09:00 on Monday through Friday", "Every 30 minutes"."""
        return self._words

    def next_after(self, time: datetime) -> datetime | None:
        """The first of its times after `time`, in UTC; None when none comes in fifty years."""
        start = time.astimezone(self._zone)
        try:
            return next(CronSim(self._expression, start)).astimezone(UTC)
        except StopIteration:
            return None

    def next_times(self, time: datetime, number: int) -> list[datetime]:
        """The first `number` of its times after `time`, in UTC."""
        times: list[datetime] = []
        found = self.next_after(time)
        while found is not None and len(times) < number:
            times.append(found)
            found = self.next_after(found)
        return times


def list_faults(expression: str, time_zone: str) -> list[InvalidError]:
    """The reasons why there is no CronSchedule of them: of the zone, the expression, or both."""
    faults = []
    try:
        _load_zone(time_zone)
    except InvalidError as error:
        faults.append(error)
    try:
        CronSchedule(expression, "UTC")
    except InvalidError as error:
        faults.append(error)
    return faults


def _name_steps(words: str) -> str:
    """The words with steps of minutes and hours as numbers of them."""
    return _EVERY_NTH_HOUR.sub(_name_hours, _EVERY_NTH_MINUTE.sub(_name_minutes, words))


def _name_minutes(found: re.Match[str]) -> str:
    initial, ordinal, first, of_every_hour = found.groups()
    step = _read_ordinal(ordinal)
    text = f"{initial}very {step} minutes"
    if first:
        return f"{text}{first.replace('from', 'from minute')}{of_every_hour or ''}"
    if step >= 60:  # longer than the field, which then has its first value alone
        return f"{'At' if initial == 'E' else 'at'} minute 0{of_every_hour or ''}"
    # One that does not divide the hour is cut short at its end.
    return text if 60 % step == 0 else f"{text} from each full hour"


def _name_hours(found: re.Match[str]) -> str:
    minutes, ordinal, is_range = found.groups()
    step = _read_ordinal(ordinal)
    if step >= 24 and not is_range:
        return f"{minutes} past hour 0"
    from_midnight = "" if is_range or 24 % step == 0 else " from midnight"
    return f"{minutes}, every {step} hours{from_midnight}{is_range or ''}"


def _read_ordinal(ordinal: str) -> int:
    if ordinal in _ORDINALS:
        return _ORDINALS.index(ordinal) + 2
    return int(ordinal.removesuffix("th"))


def _explain_refusal(expression: str, error: CronSimError) -> str:
    """The reason in words; a date that never comes is distinguished from a wrong field."""
    reason = str(error).lower()
    minute, hour, day, _, weekday = expression.split()
    try:
        CronSim(f"{minute} {hour} {day} * {weekday}", _ANY_TIME)
        never_comes = "day-of-month" in reason
    except CronSimError:
        never_comes = False
    if never_comes:
        return _NEVER
    return f"is no cron expression: {reason}; its fields are {_FIELDS}"


def _load_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = "is no time zone: use a name of the IANA database, such as Europe/Berlin or UTC"
        raise InvalidError.at("timeZone", message) from None
