"""The fields that are encrypted: prompts, payloads, results, messages, templates, signing keys.

No query filters or orders by them, and no index has them. Each collection has one without which
its documents cannot be read: without the key nothing is taken for empty, and written back so.
"""

from __future__ import annotations

from collections.abc import Mapping

PROTECTED_FIELDS: Mapping[str, frozenset[str]] = {
    "jobs": frozenset(
        {"payload", "result", "units", "steps", "error", "failedAttempts", "progressMessage"}
    ),
    "recurring_jobs": frozenset({"payload", "runs"}),
    "operations": frozenset({"filter", "edit"}),
    "uploads": frozenset({"name", "path"}),
    "webhook_endpoints": frozenset({"signingKeys"}),
    "webhook_deliveries": frozenset({"data", "body", "tries"}),
    "job_templates": frozenset({"versions"}),
    "run_answers": frozenset({"answers"}),
    "dead_letters": frozenset({"message"}),
}
