"""`taskreel login`, `logout`, `profiles`: which API the commands call, and with which token."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from taskreel_local.cli.api_command import print_json
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.profiles import (
    Profile,
    load_profiles,
    profiles_file,
    store_profiles,
)

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _complete_profile(_ctx: object, _parameter: object, incomplete: str) -> list[str]:
    return [name for name in load_profiles().by_name if name.startswith(incomplete)]


@click.command("login")
@click.argument("name", metavar="[PROFILE]", required=False)
@click.option("--url", help="URL of a deployment's API.")
@click.option("--token-stdin", is_flag=True, help="Read the token from the standard input.")
@click.option(
    "--token-command",
    metavar="COMMAND",
    help="Run this for a fresh token each time, for tokens that last an hour.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Instead of --url: the data folder of a stack on this machine.",
)
@click.option("--no-check", is_flag=True, help="Do not try the token.")
@_json
def log_in(name: str | None, data: Path | None, *, as_json: bool, **options: Any) -> None:
    """Store where an API is, and its token, as a profile; use it from now on.

    The token is asked for without showing it. It is stored in a file that you alone can read, and
    is never printed.

    \b
    Examples:
      taskreel login prod --url https://jobs-api-abc.a.run.app
      taskreel login prod --url https://… --token-command "gcloud auth print-identity-token"
      taskreel login local --data .taskreel
    """
    url: str | None = options["url"]
    if (url is None) == (data is None):
        raise click.UsageError("Give --url of a deployment, or --data of a stack on this machine.")
    if data is not None:
        name, profile = name or "local", Profile(data=str(data.absolute()))
    else:
        url = _check_url(url or "")
        name = name or str(urlsplit(url).hostname)
        command = options["token_command"]
        token = None if command else _ask_token(from_stdin=options["token_stdin"])
        profile = Profile(url=url, token=token, token_command=command)
    user = None if options["no_check"] else _find_user(name, profile)
    store_profiles(load_profiles().with_profile(name, profile))
    if as_json:
        print_json({"profile": name, "where": profile.where, "user": user})
    else:
        you = f" You are {user}." if user else ""
        click.echo(f"The commands call {profile.where} now, by the profile {name}.{you}")


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.UsageError(f"{url!r} is not a URL such as https://jobs-api-abc.a.run.app")
    loopback = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.scheme == "http" and not loopback:
        raise click.UsageError(f"{url} is not encrypted: the token could be read on its way")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _ask_token(*, from_stdin: bool) -> str:
    token: str = (
        sys.stdin.read() if from_stdin else click.prompt("Token", hide_input=True, err=True)
    )
    if not token.strip():
        raise click.UsageError("The token is empty.")
    return token.strip()


def _find_user(name: str, profile: Profile) -> str:
    """Try the profile; return the user whose token it has. Raises ClickException."""
    from taskreel_local.cli.api_command import Session, run_in_session
    from taskreel_local.cli.api_target import target_of_profile

    found: list[str] = []
    with Session(lambda: target_of_profile(name, profile, None), as_json=False) as session:
        run_in_session(session, lambda: found.append(session.client.account().user_id))
    return found[0]


@click.command("logout")
@click.argument("name", metavar="PROFILE", shell_complete=_complete_profile)
@_json
def log_out(name: str, *, as_json: bool) -> None:
    """Forget a profile and its token."""
    profiles = load_profiles()
    profiles.find(name)
    store_profiles(profiles.without(name))
    if as_json:
        print_json({"profile": name})
    else:
        click.echo(f"The profile {name} is removed. Its token is valid until it expires.")


@click.group("profiles", cls=GroupWithDefault, default="list")
def profile_commands() -> None:
    """List the profiles of taskreel login, and choose one."""


@profile_commands.command("list")
@_json
def list_profiles(*, as_json: bool) -> None:
    """List the profiles; the current one has a star."""
    profiles = load_profiles()
    rows = [
        {
            "profile": name,
            "current": name == profiles.current,
            "where": one.where,
            "token": "by a command" if one.token_command else "stored" if one.token else "local",
        }
        for name, one in sorted(profiles.by_name.items())
    ]
    if as_json:
        print_json({"profiles": rows, "file": str(profiles_file())})
        return
    from taskreel_local.cli.text_output import make_console, print_table

    cells = [
        ("*" if row["current"] else "", row["profile"], row["token"], row["where"]) for row in rows
    ]
    print_table(
        make_console(sys.stdout),
        ("", "profile", "token", "API"),
        cells,
        nothing="There are no profiles: commands call the stack that was started in this folder.",
    )


@profile_commands.command("use")
@click.argument("name", metavar="PROFILE", shell_complete=_complete_profile)
@_json
def use_profile(name: str, *, as_json: bool) -> None:
    """Use a profile from now on."""
    profiles = load_profiles().using(name)
    store_profiles(profiles)
    where = profiles.find(name).where
    if as_json:
        print_json({"profile": name, "where": where})
    else:
        click.echo(f"The commands call {where} now.")
