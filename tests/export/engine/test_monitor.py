from __future__ import annotations

from export.engine.monitor import Phases


def recorded() -> tuple[Phases, list[int]]:
    seen: list[int] = []
    return Phases(seen.append), seen


def test_phases_within_phases_share_a_step() -> None:
    phases, seen = recorded()
    phases.start("build", None, 2)
    phases.start("optimise", "build", 5)
    phases.step("optimise", 0)
    assert seen == [10]  # a fifth of a half
    phases.step("optimise", 4)
    phases.finish("optimise")
    assert seen[-1] == 50
    phases.step("build", 0)
    phases.start("write", "build", 1)
    phases.step("write", 0)
    phases.step("build", 1)
    assert seen == [10, 50, 100]


def test_the_bar_never_shrinks() -> None:
    phases, seen = recorded()
    phases.start("build", None, 2)
    phases.step("build", 0)
    phases.start("again", "build", 10)
    phases.step("again", 0)
    phases.start("build", None, 100)  # a second build, as TensorRT may do for several profiles
    phases.step("build", 0)
    assert seen == sorted(set(seen))


def test_oddities_do_no_harm() -> None:
    """Unknown phases, more steps than were announced, a phase that is its own parent."""
    phases, seen = recorded()
    phases.step("unknown", 3)
    phases.finish("never started")
    phases.start("loop", "loop", 0)
    for step in range(5):
        phases.step("loop", step)
    assert max(seen, default=0) <= 100
