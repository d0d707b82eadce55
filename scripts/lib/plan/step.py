"""A step of a plan, and its form for the shell that carries it out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class StepKind(StrEnum):
    """The way the shell carries out a step."""

    #: Run the command, quietly.
    RUN = "run"
    #: Run the command and show its output: it takes minutes.
    SHOW = "show"
    #: Run the command with a secret on its standard input; the first word is the variable's name.
    SECRET = "secret"  # noqa: S105 - a kind, not a password
    #: Run the command with the internal key as a header in a flags file, so that no process list
    #: shows it; the first word is the flag.
    HEADER = "header"
    #: Print the text; nothing is changed.
    WARN = "warn"
    #: Print the text and stop: the script cannot fix this.
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Step:
    """A gcloud command, or a message.

    `why` is the description for the reader; `words` are the arguments of the command.
    """

    kind: StepKind
    why: str
    words: tuple[str, ...] = ()

    def to_shell(self) -> str:
        """Return the step as a line of shell, a call of common.sh's `do_step`."""
        return f"do_step {shlex.join((self.kind, self.why, *self.words))}\n"


def run_step(why: str, *words: str) -> Step:
    """Return a step that runs a gcloud command."""
    return Step(StepKind.RUN, why, ("gcloud", *words))


def show_step(why: str, *words: str) -> Step:
    """Return a step that runs a gcloud command of minutes and shows its output."""
    return Step(StepKind.SHOW, why, ("gcloud", *words))


def warn_step(text: str) -> Step:
    """Return a step that prints a warning."""
    return Step(StepKind.WARN, text)


def fail_step(text: str) -> Step:
    """Return a step that stops the script with a message."""
    return Step(StepKind.FAIL, text)


def warn_near_limit(count: int, limit: int, what: str) -> Iterator[Step]:
    """Yield a warning if `count` is above 90 % of one of Google's limits."""
    if count * 10 > limit * 9:
        yield warn_step(
            f"{count} of at most {limit} {what}; raise the limit at "
            "https://console.cloud.google.com/iam-admin/quotas"
        )
