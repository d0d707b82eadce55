"""The behaviours of Google's service, their sources, and what is known of other emulators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.cloud import tasks_v2beta2, tasks_v2beta3

from taskreel_cloud_tasks.conformance import probes
from taskreel_cloud_tasks.conformance.probed_emulator import LOCATION, Site

YES, NO, UNKNOWN = "yes", "no", "unknown"
#: The probe's call ended the emulator's process.
ENDS = "no: it ends"


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour: its probe returns True if it is there."""

    section: str
    behaviour: str
    source: str
    probe: Callable[[Site], bool]
    aertje: str = UNKNOWN
    ken109: str = UNKNOWN

    @property
    def key(self) -> str:
        """The name of the row in a file of results."""
        return f"{self.section}: {self.behaviour}"


_TASK_ID = r'Task ID "a b" can contain only letters \(\[A-Za-z\]\), numbers \(\[0-9\]\), .*'
_RATE = {"max_dispatches_per_second": 501}
ROWS = (
    Row("Queues", "defaults are filled in", "doc", probes.has_defaults),
    Row(
        "Queues",
        "a name that exists",
        "recorded",
        probes.refuses(probes.create_again, "ALREADY_EXISTS", probes.exact("Queue already exists")),
    ),
    Row(
        "Queues",
        "a name deleted recently",
        "recorded",
        probes.refuses(
            probes.create_deleted,
            "FAILED_PRECONDITION",
            r"The queue cannot be created because .* existed too recently\.",
        ),
    ),
    Row(
        "Queues",
        "a malformed name",
        "recorded",
        probes.refuses(
            lambda site: site.client.create_queue(
                parent=LOCATION, queue={"name": f"{LOCATION}/queues/a_b"}
            ),
            "INVALID_ARGUMENT",
            "Queue name must be formatted: .*",
        ),
    ),
    Row(
        "Queues",
        "a rate over 500",
        "recorded",
        probes.refuses(
            probes.queue_with(rate_limits=_RATE),
            "INVALID_ARGUMENT",
            probes.exact("RateLimits.maxDispatchesPerSecond must be less than or equal to 500."),
        ),
    ),
    Row(
        "Queues",
        "a concurrency over 5000",
        "recorded",
        probes.refuses(
            probes.queue_with(rate_limits={"max_concurrent_dispatches": 5001}),
            "INVALID_ARGUMENT",
            probes.exact("RateLimits.maxConcurrentDispatches must be less than or equal to 5000."),
        ),
    ),
    Row(
        "Queues",
        "attempts under -1",
        "recorded",
        probes.refuses(
            probes.queue_with(retry_config={"max_attempts": -2}),
            "INVALID_ARGUMENT",
            probes.exact("RetryConfig.maxAttempts must be greater or equal to -1."),
        ),
    ),
    Row(
        "Queues",
        "a shortest backoff over the longest",
        "recorded",
        probes.refuses(
            probes.queue_with(
                retry_config={"min_backoff": probes.duration(9), "max_backoff": probes.duration(3)}
            ),
            "INVALID_ARGUMENT",
            probes.exact(
                "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."
            ),
        ),
    ),
    Row(
        "Queues",
        "GetQueue of a missing queue",
        "recorded",
        probes.refuses(
            lambda site: site.client.get_queue(name=probes.missing_queue()),
            "NOT_FOUND",
            probes.GONE,
        ),
    ),
    Row(
        "Queues",
        "PauseQueue of a missing queue",
        "recorded",
        probes.refuses(
            lambda site: site.client.pause_queue(name=probes.missing_queue()),
            "NOT_FOUND",
            probes.GONE,
        ),
    ),
    Row(
        "Queues",
        "DeleteQueue of a missing queue",
        "recorded",
        probes.refuses(
            lambda site: site.client.delete_queue(name=probes.missing_queue()),
            "NOT_FOUND",
            probes.exact("Requested entity was not found."),
        ),
    ),
    Row(
        "Queues",
        "UpdateQueue with a mask; it creates a missing queue",
        "doc",
        probes.updates_and_creates,
        NO,
    ),
    Row("Queues", "fractional rates", "doc", probes.half_a_task_a_second),
    Row("Queues", "filters of ListQueues", "doc", probes.filters),
    Row("Queues", "http_target of the queue overrides its tasks", "doc", probes.target_overrides),
    Row(
        "Queues",
        "TestIamPermissions of a missing queue is empty",
        "doc",
        probes.tests_permissions_of_nothing,
    ),
    Row(
        "Tasks",
        "a name that is taken",
        "recorded",
        probes.refuses(
            probes.create_task_twice,
            "ALREADY_EXISTS",
            probes.exact("Requested entity already exists"),
        ),
    ),
    Row(
        "Tasks",
        "a name of a task executed recently",
        "doc",
        probes.refuses(
            probes.create_executed,
            "ALREADY_EXISTS",
            probes.exact("Requested entity already exists"),
        ),
    ),
    Row(
        "Tasks",
        "GetTask of a task executed recently",
        "recorded",
        probes.refuses(probes.get_executed, "NOT_FOUND", "The task no longer exists, .*"),
    ),
    Row(
        "Tasks",
        "GetTask of a task that never existed",
        "recorded",
        probes.refuses(
            lambda site: site.client.get_task(name=f"{site.create_queue()}/tasks/none"),
            "NOT_FOUND",
            probes.exact("Requested entity was not found."),
        ),
    ),
    Row(
        "Tasks",
        "a malformed id",
        "recorded",
        probes.refuses(probes.create_malformed_id, "INVALID_ARGUMENT", _TASK_ID),
    ),
    Row(
        "Tasks",
        "a missing queue",
        "recorded",
        probes.refuses(
            lambda site: site.create_task(probes.missing_queue()), "NOT_FOUND", probes.GONE
        ),
    ),
    Row(
        "Tasks",
        "no URL",
        "recorded",
        probes.refuses(
            probes.task_with(http={"url": ""}),
            "INVALID_ARGUMENT",
            probes.exact("HttpRequest.url is required."),
        ),
    ),
    Row(
        "Tasks",
        "a URL that is not http",
        "recorded",
        probes.refuses(
            probes.task_with(http={"url": "ftp://a/"}),
            "INVALID_ARGUMENT",
            probes.exact("HttpTarget.url must start with 'http://' or 'https://'."),
        ),
    ),
    Row(
        "Tasks",
        "a deadline out of range",
        "recorded",
        probes.refuses(
            probes.task_with(dispatch_deadline=probes.duration(5)),
            "INVALID_ARGUMENT",
            probes.exact("Task.dispatchDeadline must be between [15s, 30m]."),
        ),
        YES,
    ),
    Row(
        "Tasks",
        "a schedule over 30 days ahead",
        "recorded",
        probes.refuses(
            probes.too_late,
            "INVALID_ARGUMENT",
            r"The Task\.scheduleTime, .*, is too far in the future\. .* 720h in the future\.",
        ),
        YES,
    ),
    Row(
        "Tasks",
        "a body with GET",
        "doc",
        lambda site: (
            probes.refusal(
                lambda: site.create_task(
                    site.create_queue(), http={"http_method": "GET", "body": b"x"}
                )
            )[0]
            == "INVALID_ARGUMENT"
        ),
    ),
    Row("Tasks", "a task over 1 MiB", "recorded", probes.largest_task, YES),
    Row(
        "Tasks",
        "BASIC leaves out the body and nothing else",
        "recorded",
        probes.basic_view_leaves_out_only_the_body,
    ),
    Row("Tasks", "pages of ListTasks", "doc", probes.pages, UNKNOWN, YES),
    Row("Tasks", "BatchCreateTasks (2026-09)", "doc", probes.batches),
    Row("Dispatch", "short names in the headers", "doc", probes.names_are_short),
    Row("Dispatch", "User-Agent is Google's", "recorded", probes.agent_is_googles),
    Row(
        "Dispatch",
        "counts after 503, 404, 429, 500, 302",
        "recorded",
        probes.counts_golden_sequence,
        YES,
    ),
    Row("Dispatch", "the schedule is waited for", "doc", probes.schedule_is_waited_for),
    Row("Dispatch", "RunTask dispatches from a paused queue", "doc", probes.runs_while_paused),
    Row(
        "Dispatch",
        "a missed deadline is 504 and a retry",
        "recorded",
        probes.missed_deadline_is_504,
        YES,
    ),
    Row("Dispatch", "OIDC: aud is the URL without an audience", "doc", probes.oidc),
    Row("Retries", "backoff doubles, then grows linearly", "doc", probes.backs_off_linearly, NO),
    Row(
        "Retries",
        "-1 attempts are without limit",
        "doc",
        lambda site: probes.attempts(site, 1.5, max_attempts=-1) > 10,
        YES,
    ),
    Row("Retries", "a task out of attempts is gone", "doc", probes.exhausted_task_is_gone, YES),
    Row(
        "Retries",
        "maxRetryDuration extends maxAttempts",
        "doc",
        probes.duration_extends_attempts,
        NO,
    ),
    Row("Retries", "a task's own retry_config (2026-09)", "doc", probes.task_retry_config_counts),
    Row("Retries", "Retry-After is waited for", "doc", probes.waits_for_retry_after, NO),
    Row("Versions", "v2beta3 over gRPC", "doc", probes.version(tasks_v2beta3), NO, YES),
    Row("Versions", "v2beta2 over gRPC, push queues", "doc", probes.version(tasks_v2beta2), NO),
    # Not planned: it never left beta, and Google's guide moves pull queues to Pub/Sub.
    Row("Versions", "v2beta2, pull queues (Google: use Pub/Sub)", "doc", probes.leases_tasks, NO),
)
