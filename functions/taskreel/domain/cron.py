"""Cron expressions and the times that they name.

The rules are Debian's cron, which people expect: a time that a change of the clocks skips comes
right after it, and one that the change repeats comes once. `cronsim` implements them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from taskreel.domain.errors import InvalidError

_FIELDS = "minute, hour, day of the month, month, day of the week"
_NEVER = "names a date that never comes: use a day that one of its months has"
_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)
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
            self._words = CronSim(self._expression, _ANY_TIME).explain()
        except CronSimError as error:
            message = _explain_refusal(self._expression, error)
            raise InvalidError.at("cronExpression", message) from None
        if self.next_after(_ANY_TIME) is None:
            raise InvalidError.at("cronExpression", _NEVER)

    @property
    def words(self) -> str:
        """The expression in English, such as "At 09:00 on Monday through Friday"."""
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


def _explain_refusal(expression: str, error: CronSimError) -> str:
    """The reason in words; a date that never comes is told from a wrong field."""
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
