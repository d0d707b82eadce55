"""Ids: random or hashed, never sequential, so that documents made in sequence are spread out."""

from __future__ import annotations

import hashlib
import re
from random import Random
from typing import NamedTuple
from zlib import crc32

_DELIVERY = "msg_"
_OPERATION = "op_"
#: The beginning of the id of a project's account. No user's id begins with it.
_PROJECT_ACCOUNT = "project:"
#: The beginning of the user id of an API key's callers. No person's id begins with it either.
_KEY_USER = "key:"
#: The beginning of the user whose messages operators' alerts are.
_OPERATORS = "operators:"
#: The beginning of the ids of the further documents of a sharded account.
SHARD_ACCOUNT = "shard:"
#: More documents would make each answer with a balance, and each search for credits, cost more.
MOST_SHARDS = 16
#: No id of a person begins with one of these.
RESERVED_IDS = (_PROJECT_ACCOUNT, _KEY_USER, _OPERATORS, SHARD_ACCOUNT)
#: The rule of `is_user_id` in words.
USER_ID = (
    "1 to 256 characters without a slash, other than `.`, `..`, `__…__` and what begins with "
    f"`{_PROJECT_ACCOUNT}`, `{_KEY_USER}`, `{_OPERATORS}` or `{SHARD_ACCOUNT}`"
)


def is_user_id(text: str) -> bool:
    """Tell if a text may be a user's id.

    It names a document, so Firestore's rules for document ids apply in every store.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        return False  # half of a surrogate pair cannot be stored
    if text.startswith(RESERVED_IDS):
        return False
    return re.fullmatch(r"(?!\.\.?$|__.*__$)[^/]{1,256}", text, re.DOTALL) is not None


def is_owner_id(text: str) -> bool:
    """True for what can be the owner of jobs: a user, or the user that an API key's callers are."""
    return is_user_id(text.removeprefix(_KEY_USER))


def project_account_id(project_id: str) -> str:
    """The id of a project's own account, which stands where else a user's id does."""
    return f"{_PROJECT_ACCOUNT}{project_id}"


def is_project_account(account_id: str) -> bool:
    """True for the id of a project's account."""
    return account_id.startswith(_PROJECT_ACCOUNT)


def project_of_account(account_id: str) -> str | None:
    """The id of the project whose account it is; None for a user's."""
    is_project = is_project_account(account_id)
    return account_id.removeprefix(_PROJECT_ACCOUNT) if is_project else None


def is_account_id(text: str) -> bool:
    """True for what can be the id of an account: a user's, a key's, or a project's."""
    return is_user_id(text.removeprefix(_PROJECT_ACCOUNT).removeprefix(_KEY_USER))


def shard_account_id(user_id: str, shard: int) -> str:
    """The id of a document of a user's account; the first has the user's own id."""
    return f"{SHARD_ACCOUNT}{shard}:{user_id}" if shard else user_id


class KeyOfProject(NamedTuple):
    """An API key, by its project and its id."""

    project_id: str
    key_id: str


def project_key_user_id(project_id: str, key_id: str) -> str:
    """The user that the callers of a project's API key are."""
    return f"{_KEY_USER}{project_id}:{key_id}"


def key_of_user(user_id: str) -> KeyOfProject | None:
    """The API key whose callers are that user; None for a person."""
    if not user_id.startswith(_KEY_USER):
        return None
    # No project's id has a colon.
    project_id, _, key_id = user_id.removeprefix(_KEY_USER).partition(":")
    return KeyOfProject(project_id, key_id)


def find_limit_owner(user_id: str) -> str:
    """The account whose limits and rates a user has: that of the keys of a project is one.

    Else a project would have as many slots as it makes keys.
    """
    if not user_id.startswith(_KEY_USER):
        return user_id
    project_id, _, _ = user_id.removeprefix(_KEY_USER).partition(":")
    return f"{_KEY_USER}{project_id}"


def is_shared_by_keys(account_id: str) -> bool:
    """True for the account with the limits of all API keys of a project."""
    key = key_of_user(account_id)
    return key is not None and not key.key_id


def random_id(random: Random) -> str:
    """26 lower-case letters and digits (128 random bits)."""
    return _encode_base32(random.randbytes(16))


def random_job_id(random: Random) -> str:
    """`job_` and a random id."""
    return f"job_{random_id(random)}"


def random_recurring_job_id(random: Random) -> str:
    """`rec_` and a random id."""
    return f"rec_{random_id(random)}"


def keyed_recurring_job_id(user_id: str, idempotency_key: str) -> str:
    """The fixed id of a recurring job with an idempotency key: the same one is made once."""
    return f"rec_{keyed_job_id(user_id, idempotency_key).removeprefix('job_')}"


def random_delivery_id(random: Random) -> str:
    """`msg_` and a random id: of a webhook's delivery."""
    return f"{_DELIVERY}{random_id(random)}"


def hashed_delivery_id(*parts: str) -> str:
    """The fixed id of a webhook's delivery: the same event is delivered under one id."""
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    return f"{_DELIVERY}{_encode_base32(digest[:16])}"


def is_delivery_id(text: str) -> bool:
    """True for the id of a webhook's delivery, which has tasks as a job has."""
    return text.startswith(_DELIVERY)


def random_operation_id(random: Random) -> str:
    """`op_` and a random id: of a bulk operation."""
    return f"{_OPERATION}{random_id(random)}"


def is_operation_id(text: str) -> bool:
    """True for the id of a bulk operation, which has tasks as a job has."""
    return text.startswith(_OPERATION)


def random_key_id(random: Random) -> str:
    """`key_` and a random id: of a project's API key."""
    return f"key_{random_id(random)}"


def random_upload_id(random: Random) -> str:
    """`upl_` and a random id."""
    return f"upl_{random_id(random)}"


def random_endpoint_id(random: Random) -> str:
    """`whe_` and a random id."""
    return f"whe_{random_id(random)}"


def own_endpoint_id(user_id: str) -> str:
    """The fixed id of the endpoint with the keys of the webhooks that a user's jobs name."""
    return f"whe_{keyed_job_id(user_id, 'webhookUrl').removeprefix('job_')}"


def child_job_id(parent_id: str, round_: int, step: str, index: int) -> str:
    """The fixed id of a pipeline's job: creating the job twice creates it once."""
    return keyed_job_id(parent_id, f"{round_}.{step}.{index}")


def keyed_job_id(user_id: str, idempotency_key: str) -> str:
    """The fixed job id of a user's idempotency key: the job itself records the key."""
    # Each part is hashed by itself, so that no character of one can shift the border between them.
    parts = [hashlib.sha256(part.encode()).digest() for part in (user_id, idempotency_key)]
    digest = hashlib.sha256(b"".join(parts)).digest()
    return f"job_{_encode_base32(digest[:16])}"


def keyed_upload_id(user_id: str, idempotency_key: str, number: int) -> str:
    """The fixed id of a file in a request with an idempotency key: sent twice, it is one upload."""
    return f"upl_{keyed_job_id(user_id, f'{idempotency_key}.{number}').removeprefix('job_')}"


def keyed_grant_id(giver: str, idempotency_key: str) -> str:
    """The fixed id of a grant with an idempotency key: the same grant is made once."""
    return keyed_job_id(giver, idempotency_key).removeprefix("job_")


def find_wake_shard(id_: str, shards: int) -> int:
    """The `wakeShard` of a document, of so many: always the same, and each as often as another."""
    return crc32(id_.encode()) % shards


#: RFC 4648's base 32 in lower case, two characters for each number of ten bits.
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]


def _encode_base32(data: bytes) -> str:
    """26 characters for 16 bytes. The standard library's own takes ten times as long."""
    number = int.from_bytes(data) << 2  # 130 bits are thirteen pairs
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
