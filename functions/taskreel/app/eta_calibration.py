"""Check the estimated start times against the real ones, and widen or narrow the band by that.

An estimate that a caller has read is remembered until the job starts, in memory: nothing is stored
for a job. Nine of ten jobs shall start before their p90. Each that starts later widens the band of
its type, and each that does not narrows it by a ninth of that, so the band is steady exactly where
one in ten is late, whatever the true distribution of the waits (adaptive conformal inference).
The outcomes are counted with the statistics of the day.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from taskreel.domain.eta import Estimate
from taskreel.domain.job import Job
from taskreel.domain.job_metrics import ETA_SCALE, EtaOutcome
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.ports import Operator, Query, Store
from taskreel.store_collections import METRICS

#: Told of a committed change of a job: the job before, and after.
JobObserver = Callable[[Job | None, Job], None]

#: The logarithm of the scale moves by so much for a late job.
_WIDEN, _NARROW = 0.09, 0.01
_NARROWEST, _WIDEST = math.log(0.25), math.log(8.0)
#: Predictions in memory; the oldest is forgotten.
_MOST_PREDICTIONS = 20_000


class _Prediction(Record):
    job_type: str
    p50_at: datetime
    p90_at: datetime


class EtaCalibration:
    """The predictions of this process that are open, and the scale of each type's band.

    `record` counts an outcome. `observe` is called with the first prediction, and lets
    `note_change` hear of every change of a job: while no client reads an estimate, nothing is
    checked.
    """

    def __init__(
        self,
        record: Callable[[str, EtaOutcome, datetime], None],
        *,
        observe: Callable[[JobObserver], None] = lambda _observer: None,
    ) -> None:
        self._record = record
        self._observe: Callable[[JobObserver], None] | None = observe
        self._open: OrderedDict[str, _Prediction] = OrderedDict()
        self._log_scales: dict[str, float] = {}

    async def read_scale(self, store: Store, job_type: str, now: datetime) -> float:
        """The factor of the type's p90 band; the first time, what others arrived at today."""
        if job_type not in self._log_scales:
            day = now.date().isoformat()
            where: tuple[tuple[str, Operator, str], ...] = (
                ("day", "==", day),
                ("jobType", "==", job_type),
            )
            rows = await store.query(Query(collection=METRICS, where=where))
            total = sum(row.value.sums.get(ETA_SCALE, 0.0) for row in rows)
            self._log_scales.setdefault(job_type, _limit_scale(total))
        return math.exp(self._log_scales[job_type])

    def note_prediction(self, job: Job, starts_in: Estimate, now: datetime) -> None:
        """Remember the first estimate of a waiting job: repeated reads weigh no more than one."""
        if job.job_id in self._open or starts_in.p50 <= 0 or job.is_started:
            return
        if self._observe is not None:
            self._observe(self.note_change)
            self._observe = None
        p50, p90 = timedelta(seconds=starts_in.p50), timedelta(seconds=starts_in.p90)
        self._open[job.job_id] = _Prediction(job.job_type, now + p50, now + p90)
        if len(self._open) > _MOST_PREDICTIONS:
            self._open.popitem(last=False)

    def note_change(self, before: Job | None, job: Job) -> None:
        """Score a job that has started; forget one that has ended without a start."""
        del before  # the job itself has the time of its start
        if job.job_id not in self._open:
            return
        started_at = job.status_at.get(Status.PROCESSING)
        if started_at is None and not job.status.final:
            return
        prediction = self._open.pop(job.job_id)
        if started_at is None:
            return
        late = started_at > prediction.p90_at
        scale = self._log_scales.get(prediction.job_type, 0.0)
        moved = _limit_scale(scale + (_WIDEN if late else -_NARROW))
        self._log_scales[prediction.job_type] = moved
        outcome = EtaOutcome(
            within_p50=started_at <= prediction.p50_at, within_p90=not late, step=moved - scale
        )
        self._record(prediction.job_type, outcome, started_at)

    @property
    def scales(self) -> Mapping[str, float]:
        """The scales of the types that were asked for."""
        return {name: math.exp(value) for name, value in self._log_scales.items()}


def _limit_scale(log_scale: float) -> float:
    return min(max(log_scale, _NARROWEST), _WIDEST)
