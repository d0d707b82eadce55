"""One thing to do, and how it travels to the shell that does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

# Neither occurs in an argument, and unlike a tab the first is not white space to bash: empty fields survive.
FIELD = "\x1f"
RECORD = "\x1e"


class Kind(StrEnum):
    """How the shell treats a step."""

    #: Run the command, quietly.
    RUN = "run"
    #: Run the command and show what it says: it takes minutes.
    SHOW = "show"
    #: Run the command with a secret's value on its standard input; the first word is the variable's name.
    SECRET = "secret"  # noqa: S105 - a kind, not a password
    #: Run the command with the internal key as a header, out of sight; the first word is the flag that takes it.
    HEADER = "header"
    #: Say it; nothing is changed.
    WARN = "warn"
    #: Say it and stop: the script cannot mend this.
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Step:
    """`why` is for the reader; `words` is a gcloud command, one argument each."""

    kind: Kind
    why: str
    words: tuple[str, ...] = ()

    def record(self) -> str:
        """The step as the shell reads it."""
        return FIELD.join((self.kind, self.why, *self.words)) + RECORD


def run(why: str, *words: str) -> Step:
    """A plain gcloud command."""
    return Step(Kind.RUN, why, ("gcloud", *words))


def warn(text: str) -> Step:
    """Something the reader should know."""
    return Step(Kind.WARN, text)


def fail(text: str) -> Step:
    """Something only the reader can mend."""
    return Step(Kind.FAIL, text)


def near(count: int, limit: int, what: str) -> Iterator[Step]:
    """A limit of Google's that the project is about to reach."""
    if count * 10 > limit * 9:
        yield warn(
            f"{count} of at most {limit} {what}; more: https://console.cloud.google.com/iam-admin/quotas"
        )
