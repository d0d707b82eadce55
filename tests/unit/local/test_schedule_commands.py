"""Arguments of `taskreel schedules create` that are refused before the API is asked."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from taskreel_local.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (
            ("image-generation", "0 9 * * MON-FRI"),
            'taskreel schedules create "0 9 * * MON-FRI" image-generation',
        ),
        (("image-generation", "@daily"), 'create "@daily" image-generation'),
        # Without quotes the shell divides it, and writes names of files for each star.
        (("0", "9", "README.md", "README.md", "MON", "image-generation"), "between quotes"),
        (("daily", "image-generation"), "CRON is 'daily', which is no cron expression"),
    ],
)
def test_an_expression_in_another_place_or_form_is_explained(
    arguments: tuple[str, ...], advice: str
) -> None:
    told = CliRunner().invoke(main, ["schedules", "create", *arguments, "prompt=a kite"])
    assert told.exit_code == 2
    assert advice in " ".join(told.stderr.split())
