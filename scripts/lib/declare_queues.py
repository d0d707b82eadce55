# ruff: noqa: INP001 - run by scripts/declare-queues
"""Write the queue of every job type, and their services, into infra/queues.yaml.

The limits are those that each job type declares (`JobType.queue`); a limit that equals the default
is omitted. The head of the file, with the defaults, stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from taskreel.app.messages.job_task import POLL_QUEUE, WEBHOOK_QUEUE, queue_of_type
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.queue_limits import POLL_LIMITS, WEBHOOK_LIMITS, QueueLimits

FILE = Path(__file__).parents[2] / "infra" / "queues.yaml"
_SECTION = "\nqueues:\n"


def render_queues_file(text: str) -> str:
    """The text of infra/queues.yaml with its `queues` and `services` of the job types."""
    head = text.partition(_SECTION)[0]
    defaults = yaml.safe_load(head)["defaults"]["rateLimits"]
    queues = "".join(f"{line}\n" for line in _render_queues(defaults))
    services = "".join(f"{line}\n" for line in _render_services())
    return f"{head}{_SECTION}{queues}\nservices:\n{services}"


def _render_queues(defaults: dict[str, Any]) -> Iterator[str]:
    limits = {queue_of_type(name): job_type.queue for name, job_type in JOB_TYPES.items()}
    limits |= {POLL_QUEUE: POLL_LIMITS, WEBHOOK_QUEUE: WEBHOOK_LIMITS}
    for queue, own in limits.items():
        different = _render_limits(own, defaults)
        yield f"  {queue}: " + (f"{{rateLimits: {{{different}}}}}" if different else "{}")


def _render_services() -> Iterator[str]:
    for service, media in (("task-processor", False), ("media-processor", True)):
        yield f"  {service}:"
        for name, job_type in JOB_TYPES.items():
            if job_type.works_on_media is media:
                yield f"    - {queue_of_type(name)}"
        if not media:
            yield f"    - {POLL_QUEUE}"
            yield f"    - {WEBHOOK_QUEUE}"


def _render_limits(limits: QueueLimits, defaults: dict[str, Any]) -> str:
    fields = {
        "maxDispatchesPerSecond": limits.dispatches_per_second,
        "maxConcurrentDispatches": limits.concurrent_dispatches,
    }
    own = {name: value for name, value in fields.items() if value != defaults[name]}
    return ", ".join(f"{name}: {value:g}" for name, value in own.items())


def main() -> None:
    """Write the file, or with --check exit with status 1 when it is out of date."""
    text = FILE.read_text("utf-8")
    rendered = render_queues_file(text)
    if sys.argv[1:] == ["--check"]:
        if rendered != text:
            sys.exit(
                "infra/queues.yaml is not what the job types declare: run scripts/declare-queues"
            )
        return
    FILE.write_text(rendered, "utf-8")


if __name__ == "__main__":
    main()
