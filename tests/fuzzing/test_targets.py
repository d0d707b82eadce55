"""The targets of the fuzzer with few examples: their seeds, and mutations by Hypothesis."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing.targets import TARGETS

#: The functions that read bytes or open media: a module that calls one has a row below.
READERS = frozenset(
    {
        *("loads", "from_json", "b64decode", "urlsafe_b64decode", "parsestr", "parse_qs"),
        *("model_validate_json", "validate_json", "safe_load", "fromisoformat", "strptime"),
        *("open_stream", "open_image", "open_picture", "open_image_header", "detect_kind"),
    }
)
SOURCE = Path(__file__).parents[2] / "functions" / "taskreel"
#: The target that gives bytes to what a module reads.
BY_TARGET: Mapping[str, str] = {
    "adapters/encryption/sealed_fields.py": "sealed",
    "adapters/media/measure_content.py": "script",
    "adapters/providers/fal/webhook.py": "signatures",
    "adapters/providers/provider_webhooks.py": "provider-event",
    "app/jobs/input_files.py": "data-url",
    "app/jobs/queries.py": "cursor",
    "media/analyse.py": "analysis",
    "media/animations.py": "animation",
    "media/audio_io.py": "sound",
    "media/copy_streams.py": "clip",
    "media/frames.py": "clip",
    "media/open_media.py": "picture",
    "media/probe.py": "media",
    "web/http.py": "submission",
    "web/mcp_server.py": "mcp",
    "web/other_apis/form_parts.py": "form",
    "web/other_apis/openai_edits.py": "form",
    # Each opens files by the readers above, and makes others of them.
    "media/animate.py": "picture",
    "media/assemble.py": "clip",
    "media/compose.py": "picture",
    "media/personalize.py": "picture",
    "media/shots.py": "picture",
    "media/stitch.py": "clip",
    "media/upscale.py": "picture",
}
_BODY = "schemathesis sends bodies that are no JSON to every route (openapi_fuzz.py)"
_OWN = "this deployment has written it itself"
_PROVIDER = "a provider's answer: tests/providers has malformed ones of each adapter"
_OPERATOR = "a setting or a file of the operator, who is told what is wrong at the start"
#: Why no target gives bytes to what a module reads.
NOT_FUZZED: Mapping[str, str] = {
    "adapters/encryption/data_keys.py": _OWN,
    "adapters/gcp/cloud_kms.py": _PROVIDER,
    "adapters/gcp/iam_signer.py": _PROVIDER,
    "adapters/local/key_file.py": _OPERATOR,
    "adapters/local/sqlite_tables.py": _OWN,
    "adapters/providers/google/adapter.py": _PROVIDER,
    "adapters/providers/payloads.py": _PROVIDER,
    "adapters/webhook_sender.py": _OWN,
    "app/records/recorder.py": _OWN,
    "client/api_calls.py": "the client's, of its own server",
    "config.py": _OPERATOR,
    "media/worker_process.py": _OWN,
    "rules_setting.py": _OPERATOR,
    "service_building.py": _OPERATOR,
    "web/batch.py": _OWN,
    "web/job_submission.py": _BODY,
    "web/openapi_examples.py": _OWN,
    "web/openapi_problems.py": _OWN,
    "web/other_apis/client_requests.py": _BODY,
    "web/other_apis/fal_files.py": "behind a signature of ours",
    "web/route_parameters.py": _BODY,
}


def list_calls(path: Path) -> set[str]:
    """The names of the functions and methods that a module calls."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls}


def test_every_module_that_reads_bytes_has_its_target_or_its_reason() -> None:
    paths = [path for path in SOURCE.rglob("*.py") if list_calls(path) & READERS]
    reading = {str(path.relative_to(SOURCE)) for path in paths}
    assert reading == BY_TARGET.keys() | NOT_FUZZED.keys()
    assert not BY_TARGET.keys() & NOT_FUZZED.keys()
    assert set(BY_TARGET.values()) <= TARGETS.keys()


@st.composite
def mutate(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed of which a part is cut out, repeated, or replaced by other bytes."""
    seed = draw(st.sampled_from(seeds))
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, len(seed)))
    middle = draw(st.one_of(st.binary(max_size=12), st.just(seed[start:end] * 3), st.just(b"")))
    return seed[:start] + middle + seed[end:]


@pytest.mark.parametrize("name", TARGETS)
def test_no_parser_raises_an_error_that_it_does_not_document(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds:
        target.feed(seed)

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutate(list(target.seeds)))
    def feed(data: bytes) -> None:
        target.feed(data)

    feed()
