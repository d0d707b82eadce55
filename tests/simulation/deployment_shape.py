"""The parameters of a simulated deployment that its seed draws beside the faults."""

from __future__ import annotations

import json
from dataclasses import dataclass

from simulation.tape import Tape


@dataclass
class Shape:
    """The parameters of a seed beside its faults."""

    instances: int
    #: The mean number of seconds between two faults of the environment.
    fault_seconds: float
    limits: str

    @classmethod
    def draw(cls, tape: Tape) -> Shape:
        """Choose how many instances there are, how calm it is, and how little room."""
        window = 1 + tape.draw(4)
        limits = {
            "tiers": {
                "free": {"activeJobs": 1 + tape.draw(2), "priority": "low"},
                "pro": {"activeJobs": 2 + tape.draw(4), "priority": "normal"},
            },
            "prioritySeconds": {"high": 300, "normal": 60, "low": 0},
            "defaultWindow": 50,
            "windows": {"image-generation": window, "batch-generation": window},
            "writes": {"perMinute": 6000, "burst": 2000},
            "reads": {"perMinute": 60000, "burst": 10000},
            "refusals": {"perMinute": 60, "burst": 60},
        }
        return cls(
            instances=2 + tape.draw(2),
            fault_seconds=(60.0, 200.0, 600.0, 1800.0)[tape.draw(4)],
            limits=json.dumps(limits),
        )
