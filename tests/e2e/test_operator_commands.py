"""An operator's work at the command line, on a running stack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.commands import Commands
from functions.test_inputs import png

NOOP = ("prompt=a kite", "options.studio.mode=noop")
FAILING = ("prompt=a storm", "options.studio.mode=fail-permanent")
SLEEPING = ("prompt=a cat", "options.studio.mode=sleep", "options.studio.seconds=60")


@pytest.fixture(scope="module")
def failed(commands: Commands) -> str:
    return commands.submit("image-generation", *FAILING)


def test_fields_are_given_in_every_form(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text('{"prompt": "of the file", "options": {"width": 64}}')
    job = commands.json(
        "submit",
        "image-generation",
        f"@{file}",
        '{"options": {"studio": {"mode": "noop"}}}',
        "options.height=64",
        "prompt=of the word",
    )
    assert job["payload"] == {
        "prompt": "of the word",
        "options": {"width": 64, "height": 64, "studio": {"mode": "noop"}},
    }
    piped = commands.json("submit", "batch-generation", "-", "prompts=a", "prompts=b", stdin="{}")
    assert piped["payload"]["prompts"] == ["a", "b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prompt"], "give key=value"),
        (["@none.json"], "cannot be read"),
        (["[1]"], "must be an object"),
        (["options=1", "options.width=2"], "options has a value already"),
        (["imageUrl=@none.png"], "no such file"),
        ([f"imageUrl=@{__file__}"], "an input is a picture"),
    ],
)
def test_a_request_that_is_not_understood_is_a_wrong_command_line(
    commands: Commands, words: list[str], message: str
) -> None:
    result = commands.run("submit", "image-generation", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_refusal_lists_the_fields_and_is_json_if_that_was_asked_for(commands: Commands) -> None:
    words = ("submit", "image-generation", "prompt=", "sise=1")
    result = commands.run(*words)
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: 2 fields are wrong (422 invalid_request):\n  prompt: ")
    problem = json.loads(commands.run(*words, "--json").stderr)
    assert [one["path"] for one in problem["errors"]] == ["prompt", "sise"]


def test_local_files_are_uploaded_and_used(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(png())
    job = commands.json(
        "submit", "image-upscale", f"imageUrl=@{tmp_path}/cat.png", "scale=2", "--follow"
    )
    assert job["payload"]["imageUrl"].startswith("upload:upl_")
    quoted = commands.json(
        "submit", "image-upscale", f"imageUrl=@{tmp_path}/cat.png", "scale=2", "--dry-run"
    )
    assert quoted["cost"] == 2
    assert job["result"]["artifacts"][0]["width"] == 64
    scenes = (f"scenes[0].imageUrl=@{tmp_path}/cat.png", "scenes[0].duration=1")
    film = commands.json("submit", "video-composition", *scenes, "--dry-run")
    assert film["cost"] == 2


def test_a_dry_run_quotes_and_creates_nothing(commands: Commands) -> None:
    before = commands.text("jobs", "--ids")
    assert commands.json("submit", "video-generation", "prompt=a", "--dry-run")["cost"] == 5
    assert "5 credits" in commands.text("submit", "video-generation", "prompt=a", "--dry-run")
    assert commands.text("jobs", "--ids") == before


def test_jobs_are_filtered_and_paged(commands: Commands, failed: str) -> None:
    done = commands.submit("image-generation", *NOOP)
    assert failed in commands.text("jobs", "--status", "FAILED,EXPIRED", "--ids").split()
    assert done not in commands.text("jobs", "--status", "FAILED", "--ids").split()
    assert commands.text("jobs", "--text", "storm", "--ids").split() == [failed]
    assert commands.json("jobs", "--since", "1h", "--type", "video-assembly")["jobs"] == []
    assert commands.json("jobs", "--until", "1h")["jobs"] == []
    assert commands.json("jobs", "--owner", "somebody")["jobs"] == []
    oldest = commands.json("jobs", "--owner", "dev", "--oldest", "--limit", "1")
    assert oldest["jobs"][0]["jobId"] != done
    cursor = oldest["nextCursor"]
    second = commands.json("jobs", "--owner", "dev", "--oldest", "--limit", "1", "--cursor", cursor)
    assert second["jobs"][0]["createdAt"] > oldest["jobs"][0]["createdAt"]
    assert commands.run("jobs", "--since", "yesterday").exit_code == 2


def test_show_says_why_and_lists_every_attempt(commands: Commands, failed: str) -> None:
    found = commands.json("show", failed)
    assert found["job"]["status"] == "FAILED"
    assert found["reason"] == (
        "It failed: The studio fails permanently, as options.studio asks. Nothing was charged."
    )
    assert [one["code"] for one in found["history"]["failedAttempts"]] == ["studio_failed"]
    text = commands.text("show", failed)
    assert found["reason"] in text
    assert "studio_failed" in text.partition("Timeline")[2]


def test_a_paused_queue_is_the_reason_and_is_cleared(commands: Commands) -> None:
    pause = ("queues", "pause", "audio-synthesis", "--reason", "x")
    asked = commands.run(*pause)
    assert (asked.exit_code, "of any user" in asked.stderr) == (2, True)
    assert commands.json(*pause, "--yes")["paused"] is True
    job = commands.json("submit", "audio-synthesis", "text=Hello")["jobId"]
    assert "audio-synthesis-queue is paused" in commands.json("show", job)["reason"]
    assert "paused" in commands.text("queues")
    refused = commands.run("queues", "clear", "audio-synthesis")
    assert refused.exit_code == 2
    assert "of all users" in refused.stderr
    assert "1 jobs, 1 credits" in refused.stderr
    assert commands.json("queues", "clear", "audio-synthesis", "--dry-run")["cancelled"] == 1
    assert commands.json("queues", "clear", "audio-synthesis", "--yes")["cancelled"] == 1
    assert commands.json("queues", "resume", "audio-synthesis")["paused"] is False
    assert commands.json("show", job)["job"]["status"] == "CANCELLED"


def test_a_running_job_is_cancelled_and_then_deleted(commands: Commands) -> None:
    job = commands.json("submit", "image-generation", *SLEEPING)["jobId"]
    refused = commands.run("delete", job, "--yes")
    assert refused.exit_code == 3
    assert "cancel it before" in refused.stderr
    cancelled = commands.json("cancel", job, "--yes")
    assert [one["status"] for one in cancelled["jobs"]] == ["CANCELLED"]
    again = commands.text("cancel", job)
    assert again == f"{job} had already ended (CANCELLED); nothing was cancelled\n"
    assert commands.run("watch", job).exit_code == 1
    assert commands.text("delete", job, "--yes").startswith(job)
    assert commands.run("show", job).exit_code == 3


def test_failed_jobs_are_redriven_after_a_dry_run(commands: Commands, failed: str) -> None:
    groups = commands.json("dead-letters")["groups"]
    [cause] = [one["fingerprint"] for one in groups if failed in one["jobIds"]]
    planned = commands.json("dead-letters", "redrive", cause, "--dry-run")
    assert (planned["dryRun"], planned["eligible"]) == (True, 1)
    assert commands.run("dead-letters", "redrive", cause).exit_code == 2
    done = commands.json("dead-letters", "redrive", cause, "--yes")
    assert done["jobIds"] == [failed]
    assert commands.run("watch", failed).exit_code == 1
    assert commands.run("dead-letters", "redrive").exit_code == 2
    assert commands.run("dead-letters", "redrive", "3f9a2c71d05b8e64", "--dry-run").exit_code == 3


def test_retry_follows_and_refuses_what_has_not_failed(commands: Commands, failed: str) -> None:
    assert commands.json("retry", failed, "--yes", "--follow", exit_code=1)["jobId"] == failed
    done = commands.submit("image-generation", *NOOP)
    both = commands.run("retry", done, failed, "--yes", "--json")
    assert both.exit_code == 3
    assert [one["jobId"] for one in json.loads(both.stdout)["jobs"]] == [failed]
    assert json.loads(both.stderr)["refused"][0]["jobId"] == done


def test_a_replay_takes_changes_from_words_and_from_an_editor(
    commands: Commands, failed: str, tmp_path: Path
) -> None:
    commands.run("watch", failed)
    made = commands.json("replay", failed, "options.studio.mode=noop", "--follow")
    assert made["replayOf"] == failed
    assert made["payload"]["prompt"] == "a storm"
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/a storm/a calm/; s/fail-permanent/noop/" "$1"\n')
    editor.chmod(0o700)
    edited = commands.run("replay", failed, "--edit", "--json", EDITOR=str(editor))
    assert json.loads(edited.stdout)["payload"]["prompt"] == "a calm"
    assert commands.json("replay", failed, "prompt=b", "--dry-run")["cost"] == 1


def test_a_model_is_stopped_permitted_and_set_to_automatic(commands: Commands) -> None:
    for act, state, by_hand in (
        ("stop", "open", True),
        ("permit", "closed", True),
        ("auto", "closed", False),
    ):
        found = commands.json("providers", act, "bfl", "flux-2-pro", "--reason", "a test")
        assert (found["state"], found["byHand"]) == (state, by_hand)
    assert "flux-2-pro" in commands.text("providers", "list", "bfl")
    assert commands.run("providers", "list", "nobody").exit_code == 2


def test_a_schedule_is_created_paused_run_and_deleted(commands: Commands) -> None:
    made = commands.json(
        "schedules", "create", "0 9 * * MON", "image-generation", *NOOP, "--zone", "Europe/Berlin"
    )
    name = made["recurringJobId"]
    assert made["timeZone"] == "Europe/Berlin"
    assert name in commands.text("schedules")
    assert commands.json("schedules", "pause", name)["state"] == "paused"
    assert commands.json("schedules", "resume", name)["state"] == "active"
    assert commands.json("schedules", "run", name, "--follow")["status"] == "COMPLETED"
    assert "At 09:00" in commands.text("schedules", "show", name)
    assert commands.run("schedules", "delete", name).exit_code == 2
    commands.text("schedules", "delete", name, "--yes")
    assert commands.run("schedules", "show", name).exit_code == 3


def test_credits_are_granted_and_the_ledger_adds_up(commands: Commands) -> None:
    commands.submit("image-generation", *NOOP)
    before = commands.json("credits", "show", "zoe")
    after = commands.json("credits", "grant", "zoe", "40", "--reason", "a gift")
    assert after["granted"] == before["granted"] + 40
    assert "granted = " in commands.text("credits")
    assert commands.json("credits", "ledger")["entries"]
    commands.json("credits", "grant", "zoe", "1", "--key", "k")
    assert commands.json("credits", "grant", "zoe", "1", "--key", "k")["granted"] == (
        after["granted"] + 1
    )


def test_a_user_without_an_account_is_said_to_have_none(commands: Commands) -> None:
    assert "There is no account of 'nosuchuser' yet" in commands.text(
        "credits", "show", "nosuchuser"
    )


def test_every_job_that_a_filter_means_is_cancelled_after_a_dry_run(commands: Commands) -> None:
    for _ in range(2):
        commands.run(
            "submit", "image-generation", *NOOP, "projectId=bulk", "scheduleAt=2030-01-01T00:00:00Z"
        )
    words = ("operations", "start", "cancel", "--project", "bulk")
    assert "cancel: 2 jobs." in commands.text(*words, "--dry-run")
    assert commands.run(*words).exit_code == 2  # a question needs a terminal
    made = commands.json(*words, "--yes")["operationId"]
    assert made in commands.text("operations")
    assert made in commands.text("operations", "show", made)
    assert commands.run("operations", "start", "delete").exit_code == 2
    assert commands.run(*words, "provider=openai").exit_code == 2
    assert commands.json("operations", "abort", made, "--yes")["state"] in {"done", "aborted"}


def test_the_cache_is_purged_after_a_question(commands: Commands) -> None:
    asked = commands.run("cache", "purge", "--all")
    assert (asked.exit_code, "of all users" in asked.stderr) == (2, True)
    for scope in ((), ("--all", "--type", "image-upscale")):
        assert commands.run("cache", "purge", *scope, "--yes").exit_code == 2
    purged = commands.json("cache", "purge", "--type", "image-upscale", "--yes", "--reason", "x")
    assert (purged["jobType"], purged["userId"]) == ("image-upscale", None)
    unknown = commands.run("cache", "purge", "--of-user", "nobody-yet", "--yes")
    assert (unknown.exit_code, "no user nobody-yet" in unknown.stderr) == (3, True)
    assert "result cache purged" in commands.text("audit-log", "--text", "purged")


def test_a_grant_has_a_priority_and_an_end(commands: Commands) -> None:
    words = ("credits", "grant", "amy", "9", "--priority", "3", "--expires", "30d")
    [grant] = commands.json(*words)["grants"]
    assert (grant["left"], grant["priority"]) == (9, 3)
    assert "9 unspent, priority 3, ends in 30 days" in commands.text("credits", "show", "amy")
    assert commands.run("credits", "grant", "amy", "1", "--expires", "soon").exit_code == 2


def test_a_user_without_the_role_is_refused(commands: Commands, failed: str) -> None:
    for words in (
        ["queues", "pause", "image-generation", "--yes"],
        ["cache", "purge", "--all", "--yes"],
        ["credits", "show", "a"],
    ):
        refused = commands.run(*words, "--user", "eve")
        assert refused.exit_code == 3
        assert "forbidden" in refused.stderr
    # Everybody may read their own failures; those of others are not among them.
    assert failed not in commands.text("dead-letters", "--user", "eve")


def test_statistics_and_types_are_shown(commands: Commands, failed: str) -> None:
    assert failed
    found = commands.json("stats")
    assert found["jobs"]["byStatus"]
    assert "FAILED" in commands.text("stats")
    assert commands.json("types", "image-upscale")["jobType"] == "image-upscale"
    text = commands.text("types", "image-upscale")
    assert "imageUrl" in text
    assert "Example: taskreel submit image-upscale" in text
    assert commands.run("types", "sculpture").exit_code == 2


def test_a_users_limit_and_caps_are_set_and_audited(commands: Commands) -> None:
    commands.json("credits", "grant", "max", "5")
    assert commands.json("users", "limit", "max", "7", "--reason", "a launch")["activeJobs"] == 7
    caps = commands.json("users", "caps", "max", "--daily", "30", "--reason", "a trial")
    assert (caps["daily"]["limit"], caps["monthly"]["limit"]) == (30, None)
    shown = commands.json("users", "show", "max")
    assert (shown["limit"]["isOwn"], shown["caps"]["daily"]["limit"]) == (True, 30)
    text = commands.text("users", "show", "max")
    assert "7 (set by an admin)" in text
    assert "of 30" in text
    assert "max" in commands.text("users", "--prefix", "ma")
    assert commands.json("users", "limit", "max", "default")["isOwn"] is False
    assert commands.run("users", "limit", "max", "many").exit_code == 2
    assert commands.json("users", "sums")["users"] >= 1
    assert ", and all projects: " in commands.text("users", "sums")
    assert "a launch" in commands.text("audit-log", "--text", "a launch")


def test_an_account_is_divided_into_shards_and_united(commands: Commands) -> None:
    commands.json("credits", "grant", "mia", "5")
    assert commands.run("users", "shards", "mia", "17").exit_code == 2
    assert commands.run("users", "shards", "mia", "4").exit_code == 3  # without an own limit
    commands.json("users", "limit", "mia", "200")
    divided = commands.text("users", "shards", "mia", "4", "--reason", "a launch")
    assert divided == "mia: new jobs are divided among 4 shards\n"
    heading, row = commands.text("users", "--prefix", "mia").splitlines()
    assert (heading.split()[-1], row.split()[-1]) == ("shards", "4")
    assert commands.text("users", "shards", "mia", "1") == "mia: new jobs go to one document\n"


def test_a_project_has_members_in_roles_and_caps(commands: Commands) -> None:
    project = commands.json("projects", "create", "The lighthouse film")["projectId"]
    assert commands.text("projects", "add", project, "eve", "editor") == (
        "eve is editor in The lighthouse film.\n"
    )
    assert commands.run("projects", "add", project, "eve", "boss").exit_code == 2
    caps = commands.json("projects", "caps", project, "--daily", "9", "--reason", "a trial")
    assert (caps["daily"]["limit"], caps["monthly"]["limit"]) == (9, None)
    limits = commands.json("projects", "limits", project, "--active-jobs", "5", "--credits", "50")
    assert (limits["activeJobs"], limits["total"]["limit"]) == (5, 50)
    # What is not named stays, and a command that names nothing changes nothing.
    limits = commands.json("projects", "limits", project, "--credits", "60")
    assert (limits["activeJobs"], limits["total"]["limit"]) == (5, 60)
    limits = commands.json("projects", "limits", project, "--credits", "50")
    caps = commands.json("projects", "caps", project, "--monthly", "70")
    assert (caps["daily"]["limit"], caps["monthly"]["limit"]) == (9, 70)
    caps = commands.json("projects", "caps", project, "--monthly", "none")
    assert (caps["daily"]["limit"], caps["monthly"]["limit"]) == (9, None)
    for name in ("limits", "caps"):
        assert commands.run("projects", name, project).exit_code == 2
    shown = commands.text("projects", "show", project)
    assert "Spent in all: 0 credits, of 50" in shown
    assert "Jobs at a time: 5" in shown
    assert "your role: admin" in shown
    assert "0 credits, of 9" in shown
    assert commands.text("projects", "members", project).split()[-1] == "eve"
    assert "paid by its members" in shown
    granted = commands.json("projects", "grant", project, "40", "--reason", "a pilot")
    assert (granted["userId"], granted["available"]) == (f"project:{project}", 40)
    assert "40" in commands.text("projects", "credits", project, "--user", "eve")
    assert commands.run("projects", "grant", project, "1", "--user", "eve").exit_code == 3
    assert "paid by its own account" in commands.text("projects", "show", project)
    assert "paid by its members" in commands.text("projects", "payer", project, "members")
    assert "paid by its own account" in commands.text("projects", "payer", project, "project")
    made = commands.json("projects", "keys", "create", project, "render server", "--days", "9")
    assert made["token"].startswith(f"tk_{project}_")
    again = commands.text("projects", "keys", "rotate", project, made["keyId"], "--overlap", "60")
    assert again.splitlines()[-1].startswith(f"tk_{project}_")
    listed = commands.text("projects", "keys", "list", project)
    assert made["keyId"] in listed
    assert "tk_" not in listed
    assert commands.run("projects", "keys", "list", project, "--user", "eve").exit_code == 3
    assert "revoked" in commands.text("projects", "keys", "revoke", project, made["keyId"], "--yes")
    assert made["keyId"] not in commands.text("projects", "keys", "list", project)
    assert project in commands.text("projects", "--user", "eve")
    assert project in commands.text("projects", "list", "--all-users")
    assert commands.run("projects", "list", "--all-users", "--user", "eve").exit_code == 3
    assert commands.run("projects", "owner", project, "eve").exit_code == 2  # no --yes
    assert commands.json("projects", "owner", project, "eve", "--yes")["ownerId"] == "eve"
    removed = commands.json("projects", "remove", project, "dev", "--yes", "--user", "eve")
    assert removed["removed"] is True
    assert commands.json("projects")["projects"] == []
    assert "project member removed: dev" in commands.text("audit-log", "--text", project)


def test_files_are_uploaded_for_several_jobs_listed_and_deleted(
    commands: Commands, tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_bytes(png())
    [made] = commands.json("uploads", "add", str(tmp_path / "cat.png"))["uploads"]
    assert made["reference"] in commands.text("uploads")
    assert commands.run("uploads", "delete", made["reference"]).exit_code == 2
    commands.text("uploads", "delete", made["reference"], "--yes")
    others = [one["reference"] for one in commands.json("uploads")["uploads"]]
    assert made["reference"] not in others
    assert commands.run("uploads", "add", "none.png").exit_code == 2


def test_a_scheduled_job_gets_another_time(commands: Commands) -> None:
    job = commands.json("submit", "image-generation", *NOOP, "scheduleAt=2036-01-01T00:00:00Z")
    name = job["jobId"]
    assert commands.json("reschedule", name, "2h")["status"] == "SCHEDULED"
    assert "starts in" in commands.json("show", name)["reason"]
    assert commands.run("reschedule", name, "soon").exit_code == 2
    commands.json("reschedule", name, "now")
    assert commands.json("watch", name)["status"] == "COMPLETED"


def test_models_and_everybodys_schedules_are_shown(commands: Commands) -> None:
    assert commands.json("providers", "performance", "--days", "1")["days"] is not None
    commands.text("providers", "performance")
    made = commands.json(
        "schedules", "create", "@daily", "image-generation", *NOOP, "--user", "eve"
    )["recurringJobId"]
    assert made not in commands.text("schedules")
    assert made in commands.text("schedules", "--all-users")


def test_a_template_is_saved_run_changed_and_deleted(commands: Commands) -> None:
    words = ("templates", "save", "poster", "image-generation", "options.studio.mode=noop")
    made = commands.json(*words, "prompt=A {{parameters.subject}}", "--default", "subject=kite")
    assert made["version"]["parameters"] == ["subject"]
    assert "poster" in commands.text("templates")
    assert 'subject = "kite"' in commands.text("templates", "show", "poster")
    job = commands.json("templates", "run", "poster", "subject=lamp", "--follow")
    assert (job["status"], job["payload"]["prompt"]) == ("COMPLETED", "A lamp")
    assert commands.json(*words, "prompt=Two")["version"]["version"] == 2
    first = commands.json("templates", "run", "poster", "--version", "1")
    assert first["payload"]["prompt"] == "A kite"
    assert commands.run("templates", "delete", "poster").exit_code == 2
    commands.text("templates", "delete", "poster", "--yes")
    assert commands.run("templates", "show", "poster").exit_code == 3


def test_a_person_is_forgotten_after_a_dry_run(commands: Commands, tmp_path: Path) -> None:
    commands.json("submit", "image-generation", *NOOP, "--follow", "--user", "gone@example.com")
    words = ("forget", "gone@example.com")
    counted = commands.json(*words, "--dry-run")
    assert (counted["removed"]["jobs"], counted["pseudonymised"]["accounts"]) == (1, 1)
    printed = commands.text(*words, "--dry-run")
    assert "Would be removed: 1 job\n" in printed
    assert "Would go on under a pseudonym: 1 account, " in printed
    assert "ledger entr" in printed
    assert commands.run("forget", "gone@example.con", "--yes").exit_code == 3  # mistyped
    assert commands.run(*words).exit_code == 2  # nobody said yes
    report = tmp_path / "report.json"
    text = commands.text(*words, "--reason", "a letter", "--report", str(report), "--yes")
    assert "none names the person" in text
    found = json.loads(report.read_text())
    assert (found["removed"]["jobs"], found["proof"]["found"]) == (1, {})
    assert "gone@example.com" not in commands.text("users")
    assert found["pseudonym"] in commands.text("audit-log", "--text", "erasure")
