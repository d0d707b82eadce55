"""Many hours of simulation, in pieces: a log says which seeds are done, on one code state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulation import simulate
from simulation.seed_log import Outcome, SeedLog, WrongLogError, hash_code


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds that were simulated; each is ten hours, and the seed 3 breaks a rule."""
    seeds: list[int] = []

    def run(seed: int, hours: float, **_: Any) -> Outcome:
        seeds.append(seed)
        violation = "rule: it is broken" if seed == 3 else None
        return Outcome(seed, hours, jobs=5, violation=violation, cpu_seconds=1.0)

    monkeypatch.setattr(simulate, "simulate", run)
    return seeds


def test_a_simulation_goes_on_behind_the_seeds_of_its_log(
    tmp_path: Path, simulated: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["--hours", "10", "--seed", "4", "--log", str(tmp_path / "seeds")]
    assert simulate.main([*order, "--seeds", "2"]) == 0
    with (tmp_path / "seeds").open("a") as log:
        log.write('{"code": "broken o')  # its process died there
    capsys.readouterr()
    assert simulate.main([*order, "--total-hours", "45"]) == 0
    assert simulated == [4, 5, 6, 7, 8]
    assert "5 seeds, 50 simulated hours" in capsys.readouterr().out


def test_a_violation_in_the_log_is_reported_again(
    tmp_path: Path, simulated: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["--hours", "10", "--seed", "3", "--log", str(tmp_path / "seeds")]
    assert simulate.main(order) == 1
    capsys.readouterr()
    assert simulate.main(order) == 1
    assert simulated == [3]
    assert "VIOLATION rule: it is broken" in capsys.readouterr().out


def test_hours_of_two_code_states_are_not_added(tmp_path: Path) -> None:
    for name, content in (("one", "a = 1\n"), ("other", "a = 2\n")):
        (tmp_path / name / "functions").mkdir(parents=True)
        (tmp_path / name / "functions" / "job.py").write_text(content)
    assert hash_code(tmp_path / "one") != hash_code(tmp_path / "other")
    SeedLog.open(tmp_path / "seeds", 10.0, root=tmp_path / "one").append(Outcome(1))
    with pytest.raises(WrongLogError, match="one code state"):
        SeedLog.open(tmp_path / "seeds", 10.0, root=tmp_path / "other")
    with pytest.raises(WrongLogError):
        SeedLog.open(tmp_path / "seeds", 20.0, root=tmp_path / "one")
