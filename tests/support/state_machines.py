"""Running Hypothesis's state machines, each example on a shop of its own."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def run(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> None:
    """Run so many examples of so many steps, the same ones every time."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],  # an example is short enough to be read
            suppress_health_check=list(HealthCheck),
        ),
    )


def folder_in_memory() -> Path:
    """Make a folder for one example: in memory where that can be, as there are thousands."""
    memory = Path("/dev/shm")
    return Path(mkdtemp(dir=memory if memory.is_dir() else None))
