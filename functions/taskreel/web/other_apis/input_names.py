"""A failure's text with the names that another service's API has for the inputs of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from taskreel.app.jobs.input_files import label_input
from taskreel.domain.input_limits import find_fields
from taskreel.domain.job import Job
from taskreel.web.other_apis.model_inputs import spell_input

_REFERENCES = ("data:", "http:", "https:", "job:", "upload:")


def explain_failure(
    job: Job, find_name: Callable[[str], str] = spell_input
) -> tuple[str, str | None]:
    """The message of the job's error, and the input that it is about, by the names of the API.

    `find_name` returns them for the paths of our fields. Without an error the message is empty.
    """
    message, about = "" if job.error is None else job.error.message, None
    for url in dict.fromkeys(_list_references(job.payload)):
        name = find_name(next(find_fields(job.payload, url)))
        for text in (label_input(job.payload, url), url):
            if text in message:
                message, about = message.replace(text, name), name
    return message, about


def _list_references(value: Any) -> Iterator[str]:
    """The files that a payload names."""
    if isinstance(value, str):
        if value.startswith(_REFERENCES):
            yield value
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _list_references(one)
