"""The shortest plan that still breaks the same rule: parts are left out one by one until none can
be.
"""

from tests.simulation.plan import Plan
from tests.simulation.run import Result, Runner

TRIES = 300


def shrink(runner: Runner, plan: Plan, rule: str) -> Plan:
    """Leaves out faults, events, orders and behaviours, again and again, as long as `rule` is still
    broken.
    """
    tries, smaller = 0, True
    while smaller:
        smaller = False
        for part in plan.parts():
            tries += 1
            if tries > TRIES:
                return plan
            poorer = plan.without(part)
            if poorer.orders and rule in {name for name, _ in runner.run(poorer).violations}:
                plan, smaller = poorer, True
                break
    return plan


def explain(runner: Runner, plan: Plan, rule: str) -> str:
    """What happened in the shortest such run, for people."""
    short = shrink(runner, plan, rule)
    result: Result = runner.run(short, tell=True)
    parts = [f"  {item}" for name, item in short.parts() if name in ("orders", "faults", "events")]
    lines = [line[:240] for line in result.history if " take " not in line]
    return "\n".join(
        (
            f"seed {short.seed}, shortest plan ({short.channels}, {short.sync}, "
            f"lossy={short.lossy}):",
            *parts,
            *lines[-80:],
        )
    )
