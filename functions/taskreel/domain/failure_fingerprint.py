"""Fingerprints of failures: equal for failures of the same kind, whatever job they happened to."""

from __future__ import annotations

import hashlib
import re

from taskreel.domain.job import Job

#: The parts of a message that differ between failures of one kind: ids, numbers, quoted words.
_PARTICULAR = re.compile(r"\"[^\"]*\"|'[^']*'|\b\w*\d[\w.:-]*")


def fingerprint_failure(job: Job) -> str:
    """A digest of the failed job's type, providers, step, and its error without particulars."""
    error = job.error
    parts = [job.job_type, job.served_by or ""]
    if error is not None:
        parts += [error.code, error.step or "", _PARTICULAR.sub("#", error.message)]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
