"""The errors that every provider's adapter raises, with texts that a user may see."""

from __future__ import annotations

import re
from typing import Any

from taskreel.domain.errors import PermanentError, TemporaryError

#: Parts that a user must not see: addresses, keys and account names, long opaque words.
PRIVATE_TEXT = re.compile(
    r"""https?://\S+ | data:\S+ | [\w.+-]+@[\w-]+\.[\w.-]+ | \b(?:Bearer|Basic)\s+\S+
    | \b(?:sk|pk|key|r8|org|proj|user|acct|req)[-_][\w*.-]{4,}
    | [\w+/=*-]{28,} | \b\d{1,3}(?:\.\d{1,3}){3}\b""",
    re.VERBOSE | re.IGNORECASE,
)


class AmbiguousError(PermanentError):
    """A paid create was sent and no answer came: it may be running. An operator resolves it."""

    code = "ambiguous_create"


class OperationFailedError(TemporaryError):
    """The operation ended without a result: the next attempt starts a new one, not resumes it."""

    code = "operation_failed"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message, code=code, **details, ended=True)


def moderation_error(provider: str, **details: Any) -> PermanentError:
    """The provider's moderation rejected the request or its result; no retry changes that."""
    return PermanentError(
        f"{provider} refused the request: its content moderation rejected it",
        code="moderation",
        **details,
    )


def operation_failed_error(provider: str, reason: Any, **details: Any) -> OperationFailedError:
    """The provider gave the operation up, for a reason in its own words (perhaps empty)."""
    text = sanitise_text(str(reason or "no reason given"))
    details = {"answer": str(reason or ""), **details}
    return OperationFailedError(f"{provider} failed: {text}", provider=provider, **details)


def rejected_error(provider: str, reason: Any, **details: Any) -> PermanentError:
    """The provider refused the request itself, for a reason in its own words (perhaps empty)."""
    text = sanitise_text(str(reason or "no reason given"))
    return PermanentError(
        f"{provider} rejected the request: {text}", code="provider_rejected", **details
    )


#: Users read these. That the account is out of money, or its key wrong, is the operators' matter:
#: the code tells them, and the log has the provider's own words.
_UNUSABLE = "cannot be used by this deployment at present: its operators must check the"
NO_CREDIT = f"{_UNUSABLE} account there"
KEY_REFUSED = f"{_UNUSABLE} API key for it"


def no_credit_error(provider: str) -> PermanentError:
    """The account at the provider needs more money; waiting does not help."""
    return PermanentError(
        f"{provider} {NO_CREDIT}",
        code="provider_out_of_credit",
        provider=provider,
    )


def cancelled_error(provider: str, work: str) -> PermanentError:
    """The operation was stopped at the provider; `work` names it, such as "the clip"."""
    return PermanentError(f"{work} was cancelled at {provider}", code="provider_cancelled")


def truncated_error(provider: str) -> PermanentError:
    """The provider ended a text before it was complete."""
    return PermanentError(
        f"{provider} cut the text off at its length limit; raise maxTokens",
        code="output_truncated",
    )


def no_output_error(provider: str) -> OperationFailedError:
    """The provider reports success but returned no result."""
    return OperationFailedError(
        f"{provider} reported success but returned no result", code="no_output", provider=provider
    )


def sanitise_text(text: str, limit: int = 200) -> str:
    """A provider's text for a user: one line, without keys, addresses or account names."""
    line = " ".join(PRIVATE_TEXT.sub("…", text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
