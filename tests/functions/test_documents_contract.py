"""The five design documents, word for word: what they show is read out of their own text and run.

Each fenced block, route, piece of inline code, statement with a number and description of a job
type is run by the test that `COVERED` names, or is in `NOT_LITERAL` with the reason why it is not
taken literally. A part of a document that is in neither fails.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from functions import documents_text as documents
from simulation.world import ROOT, World
from taskreel.jobtypes import JOB_TYPES

#: The files of tests that are named for a document, and this one.
_OF_DOCUMENTS = [Path(__file__), *sorted(Path(__file__).parent.glob("test_document_?.py"))]
FENCES = documents.fences()
ROUTES = documents.routes()
CODES = documents.inline_codes()
STATEMENTS = documents.numbered_statements()
DESCRIPTIONS = documents.type_descriptions()

#: Part of a document → the test that runs it; one outside of `_OF_DOCUMENTS` with its path.
COVERED: dict[str, str] = {
    "1 2. Local Development Setup": "deploy/test_documents_commands.py::"
    "test_the_setup_scripts_run_in_the_order_of_the_document",
    "1 3. Create Cloud Tasks Queues": "deploy/test_documents_commands.py::"
    "test_the_setup_scripts_run_in_the_order_of_the_document",
    "1 4. Environment Variables": "unit/test_documented_variables.py::"
    "test_the_functions_start_with_the_documented_variables_alone",
    "1 Image Generation": "test_a_request_of_document_1_is_accepted_verbatim",
    "1 Video Generation": "test_a_request_of_document_1_is_accepted_verbatim",
    "1 Image Upscale": "test_a_request_of_document_1_is_accepted_verbatim",
    "1 Batch Generation": "test_a_request_of_document_1_is_accepted_verbatim",
    "1 Get Job Status": "test_a_job_is_read_by_its_id_alone",
    "1 Get User Jobs": "test_the_list_takes_a_job_id_as_its_cursor",
    "1 WebSocket Updates": "test_an_update_has_the_documented_fields",
    "1 Debug Commands": "deploy/test_documents_commands.py::"
    "test_the_debug_commands_run_as_they_are_printed",
    "2 Creating a Video Generation Job": "test_the_video_of_document_2_is_accepted_verbatim",
    "2 Creating a Delayed Job": "test_the_flow_requests_of_document_2_are_accepted_verbatim",
    "2 Creating a Recurring Job": "test_the_flow_requests_of_document_2_are_accepted_verbatim",
    "2 Queue Configuration": "test_the_default_retries_and_leases_are_those_of_document_2",
    "2 Concurrent Limits": "test_every_limit_of_document_2_names_a_job_type",
    "3 Queue Configuration": "test_every_documented_queue_exists",
    "3 Job Types": "test_a_job_of_document_3_completes",
    "3 Queue Service": "test_attempts_and_backoff_are_those_of_document_3",
    "3 Job Processors": "test_a_job_of_document_3_completes",
    "3 Job Processors #2": "test_a_job_of_document_3_completes",
    "3 Queue Jobs Collection": "test_every_status_of_document_3_is_understood",
    "3 Usage Examples": "test_a_script_starts_with_the_documented_message",
    "3 Usage Examples #2": "test_a_job_that_does_not_exist_has_the_documented_error",
    "5 Movie Creation Queue": "test_the_queues_of_document_5_are_declared",
    "5 Story Generation Queue": "test_the_queues_of_document_5_are_declared",
    "5 Image Generation Queue": "test_the_queues_of_document_5_are_declared",
    "5 Video Generation Queue": "test_the_queues_of_document_5_are_declared",
    "5 1. Movie Creation": "test_a_movie_in_its_wrapper_is_accepted",
    "5 2. Story Generation": "test_a_story_in_its_wrapper_completes",
    "5 3. Image Generation": "test_the_pictures_of_a_given_story_are_made",
    "5 4. Video Generation": "test_a_clip_is_made_of_each_picture_of_a_given_story",
    "5 Job Failures": "test_a_failure_has_the_documented_error",
    "5 Queue Metrics": "test_the_statistics_of_a_queue_have_the_documented_fields",
}
COVERED |= {
    f"1 {name}-queue": "test_every_documented_queue_exists"
    for name in ("image-generation", "video-generation", "image-upscale", "batch-generation")
}
COVERED |= {
    key: "test_document_1_states_the_limits_of_each_queue"
    for key in STATEMENTS
    if key.startswith(("1 Max", "1 Jobs are retried"))
}
COVERED |= {
    key: "test_a_request_of_document_1_is_accepted_verbatim"
    for key in STATEMENTS
    if "credit" in key
}
COVERED |= {f"2 {name}": "test_every_job_type_is_known_in_either_spelling" for name in JOB_TYPES}
COVERED |= {
    key: "test_every_documented_route_exists"
    for key, code in CODES.items()
    if code.startswith(("GET /", "POST /", "DELETE /"))
}
COVERED |= {
    key: "e2e/test_every_type.py::test_a_type_runs_end_to_end_and_its_files_open"
    for key in DESCRIPTIONS
    if not key.startswith("2 video-generation: ")
}
COVERED["4 PORT"] = "unit/local/test_documented_dev_variables.py::test_dev_listens_on_port"

_REDIS = (
    "Document 1 replaces Redis by Cloud Tasks and Firestore (its section Migration from BullMQ)."
)
_NODE = "A part of a Node program; the route or job that it serves is run by another test."
#: Part of a document, with wildcards → the reason why it is not run literally.
NOT_LITERAL: dict[str, str] = {
    "? *REDIS_*": _REDIS,
    "3 Environment Setup": _REDIS,
    "3 Queue Monitoring": _NODE,
    "3 Worker Process*": _NODE + " Cloud Tasks calls the processor: there is no worker to start.",
    "4 NODE_ENV": _NODE,
    "4 .env": "Settings are environment variables; scripts/setup-local-auth.sh writes a file.",
    "4 FIREBASE_CONFIG": "Document 1 connects by application default credentials.",
    "4 Data Flow": "A diagram: its steps are run by test_a_movie_says_which_step_it_is_at.",
    "2 video-generation: *": "In document 1, the primary one, a video-generation is one clip of a "
    "prompt for 5 credits. With scenes it makes a clip of each, bought and retried by itself, as "
    "document 5 has it; the finished film from a script, with voice and music, is movie-creation.",
    "1 TaskProcessorController": "The name of a class; Taskreel's is web/tasks.py.",
}

# ── No part is missing ──────────────────────────────────────────────────────────────────────────


def find_reason(key: str) -> str | None:
    return next((why for row, why in NOT_LITERAL.items() if fnmatchcase(key, row)), None)


@pytest.mark.parametrize("key", [*FENCES, *CODES, *STATEMENTS, *DESCRIPTIONS])
def test_every_part_of_the_documents_is_run_or_explained(key: str) -> None:
    test = COVERED.get(key)
    assert test or find_reason(key), f"{key!r} is neither in COVERED nor in NOT_LITERAL"
    assert not (test and find_reason(key)), f"{key!r} is in COVERED and in NOT_LITERAL"


def test_no_row_of_the_tables_is_without_its_part() -> None:
    parts = {*FENCES, *CODES, *STATEMENTS, *DESCRIPTIONS}
    names = {f"2 {name}" for name in JOB_TYPES}  # those of our own need no word in document 2
    assert set(COVERED) - parts - names == set()
    assert [row for row in NOT_LITERAL if not any(fnmatchcase(key, row) for key in parts)] == []


@pytest.mark.parametrize("test", sorted(set(COVERED.values())))
def test_every_test_that_a_table_names_exists(test: str) -> None:
    file, _, name = test.rpartition("::")
    paths = [ROOT / "tests" / file] if file else _OF_DOCUMENTS
    text = "".join([path.read_text("utf-8") for path in paths])
    assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), test


# ── Routes ────────────────────────────────────────────────────────────────────────────────────────


_SERVED_ROUTES: set[str] = {"POST /api/jobs/{}"}


async def list_served_routes(world: World) -> set[str]:
    """`METHOD /path` with nameless parameters, job types in the place of one.

    Every world serves the same document, which takes most of a second: it is read once.
    """
    if len(_SERVED_ROUTES) == 1:
        document = (await world.api.get("/api/openapi.json")).json()
        _SERVED_ROUTES.update(
            f"{method.upper()} {blank_names(path)}"
            for path, methods in document["paths"].items()
            for method in methods
        )
    return _SERVED_ROUTES


def blank_names(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


@pytest.mark.parametrize("route", sorted(ROUTES))
async def test_every_documented_route_exists(route: str, world: World) -> None:
    served = await list_served_routes(world)
    assert blank_names(route) in served
