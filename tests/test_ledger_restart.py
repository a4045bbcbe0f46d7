"""The ledger's server restarted and may have forgotten its last seconds: what was due or claimed
may be sent (2).
"""

import pytest
import redis
from conftest import START, an_order, make_ledger, members, recount, turn

from schemas.lane import Lane
from worker.ledger.limits import SUSPICION
from worker.rules import interventions
from worker.rules.answers import (
    Blocked,
    Confirmed,
    Created,
    Line,
    Pending,
    Rejected,
    Unavailable,
    Unknown,
)
from worker.rules.words import CONFIRM, READ, Call, Step

LAST = START - 3600 + 86400 - 30
SETTLE = 40
FINISHED = Confirmed(lines=(Line("1", "finished", True),))
TIMEOUT = Unknown("read timeout", outage=True)
NOT_PASSIVE = Rejected("order_not_passive")


class Server:
    """The run id, which a test changes, and what the append-only file holds: `crash` goes back to
    `sync`.
    """

    def __init__(self, raw):
        self.raw = raw
        self.run = "run-1"
        self.saved = {}

    def __call__(self):
        return self.run

    def sync(self):
        self.saved = {key: self.raw.dump(key) for key in self.raw.keys()}  # noqa: SIM118

    def restart(self):
        self.run = f"run-{int(self.run[4:]) + 1}"

    def crash(self):
        """What was not synced is gone, and the server comes back."""
        self.raw.flushdb()
        for key, value in self.saved.items():
            self.raw.restore(key, 0, value)
        self.restart()


@pytest.fixture
def disk(server, client):
    with redis.Redis.from_url(server.url) as raw:
        yield Server(raw)


@pytest.fixture
def ledger(client, policies, clock, disk):
    made = make_ledger(client, policies, clock, run_id=disk)
    made.open(an_order("first"))
    made.change("relograde", "first", interventions.withdraw)
    return made


def record(ledger, order_id="R1", supplier="relograde"):
    return ledger.load(supplier, order_id).order


def test_the_first_run_makes_no_suspects(ledger):
    """A server that is seen for the first time has forgotten nothing."""
    ledger.open(an_order())
    assert record(ledger).suspect_at is None
    assert turn(ledger, "R1", FINISHED) == "confirmed"


@pytest.mark.parametrize("claimed", [False, True])
def test_what_was_due_or_claimed_counts_as_possibly_sent(ledger, clock, disk, claimed):
    """Read first; only a `created` from a read one settle time later permits a confirm again
    (2).
    """
    ledger.open(an_order())
    if claimed:
        ledger.claim("relograde", "R1")
    disk.restart()
    clock.advance(100)
    restarted = clock()
    assert turn(ledger, "R1", Created()) == "read_created_early"
    order = recount(ledger)["R1"]
    assert (order.suspect_at, order.unresolved, order.attempts) == (restarted, True, 0)
    assert order.due_at == pytest.approx(restarted + SETTLE + 0.01)
    clock.advance(SETTLE)
    assert turn(ledger, "R1", Created()) == "not_due"
    clock.advance(1)
    assert turn(ledger, "R1", Created()) == "read_created"
    assert not recount(ledger)["R1"].unresolved
    assert turn(ledger, "R1", FINISHED) == "confirmed"


def test_what_was_not_due_yet_is_no_suspect(ledger, clock, disk):
    """Nobody can have looked at it."""
    ledger.open(an_order())
    turn(ledger, "R1", Unavailable())
    disk.restart()
    ledger.open(an_order("other"))
    assert record(ledger).suspect_at is None
    clock.advance(9)
    assert ledger.claim("relograde", "R1").order.suspect_at is None


def test_a_call_under_way_during_a_restart_leaves_a_suspect(ledger, clock, disk):
    """The process that made it knows nothing of the restart; a look in between found it out.

    The next look asks.
    """
    ledger.open(an_order())
    claimed, permit = ledger.claim_and_permit("relograde", "R1")
    disk.restart()
    assert ledger.claim("relograde", "R1").result == "busy"
    step = ledger.policies["relograde"].decide(permit.order, permit.call, Unavailable(), clock())
    assert ledger.write(permit.order, step, claim=claimed.claim).result == "written"
    clock.advance(10)
    assert members(ledger, "relograde", "due", "-").keys() == {"R1"}
    ledger.dispatch(Lane("relograde"), 0)
    assert members(ledger, "relograde", "ready", "-", "ask").keys() == {"R1"}
    assert turn(ledger, "R1", Created()) == "read_created_early"
    recount(ledger)


@pytest.mark.parametrize("answer", [Pending(), Rejected("out_of_stock"), FINISHED])
def test_only_what_may_be_confirmed_is_suspected(ledger, disk, answer):
    """A pending, dead or ended order has no confirm to repeat; a requeue does not act before it is
    on disk.
    """
    ledger.open(an_order())
    turn(ledger, "R1", answer)
    ledger.hint("relograde", "R1")
    disk.restart()
    assert record(ledger).suspect_at is None


def test_an_attempt_that_is_known_stays_unresolved_with_the_suspicion(ledger, clock, disk):
    """`created` counts only after both have settled."""
    ledger.open(an_order())
    turn(ledger, "R1", TIMEOUT)
    clock.advance(60)
    disk.restart()
    assert record(ledger).send_by == START + 5
    assert turn(ledger, "R1", Created()) == "read_created_early"


def test_no_withdraw_while_it_may_have_been_sent(ledger, clock, disk):
    """Withdraw refused until a read says that nothing was sent (2)."""
    ledger.open(an_order())
    disk.restart()
    assert ledger.change("relograde", "R1", interventions.withdraw).event == "withdraw_refused"
    clock.advance(SETTLE + 1)
    turn(ledger, "R1", Created())
    assert ledger.change("relograde", "R1", interventions.withdraw).event == "withdrawn"
    recount(ledger)


def test_no_death_by_clock_while_it_may_have_been_sent(ledger, clock, disk):
    """After the last safe moment a suspect is read, and dies only of what a settled read says (2,
    6).
    """
    ledger.open(an_order())
    clock.now = LAST + 10
    disk.restart()
    assert turn(ledger, "R1", TIMEOUT) == "question_failed"
    clock.advance(SETTLE + 1)
    assert turn(ledger, "R1", Created()) == "dead"
    assert recount(ledger)["R1"].reason == "deadline_missed"


def test_a_suspect_that_was_confirmed_is_found(ledger, disk):
    """The forgotten confirm shows: the truth wins (5)."""
    ledger.open(an_order())
    disk.restart()
    assert turn(ledger, "R1", FINISHED) == "confirmed"


def test_not_passive_is_then_an_unknown_outcome_and_bars_nothing(ledger, clock, disk):
    """At Logitrail the question cannot tell a forgotten attempt of ours from somebody else's
    (2).
    """
    ledger.open(an_order("L1", "logitrail"))
    disk.restart()
    assert turn(ledger, "L1", NOT_PASSIVE, "logitrail") == "settling"
    clock.advance(61)
    assert turn(ledger, "L1", NOT_PASSIVE, "logitrail") == "dead"
    order = recount(ledger, "logitrail")["L1"]
    assert (order.reason, order.inference_barred, order.unresolved) == (
        "outcome_unknown",
        False,
        True,
    )


def test_an_attempt_after_that_proves_nothing_either(ledger, clock, disk):
    """It was not passive before that attempt, by our forgotten one or by somebody else: nobody can
    tell (2, 3).
    """
    ledger.open(an_order("L1", "logitrail"))
    disk.restart()
    turn(ledger, "L1", NOT_PASSIVE, "logitrail")
    clock.advance(61)
    turn(ledger, "L1", NOT_PASSIVE, "logitrail")
    ledger.change("logitrail", "L1", interventions.requeue)
    clock.advance(2)
    turn(ledger, "L1", TIMEOUT, "logitrail")
    clock.advance(66)
    assert turn(ledger, "L1", NOT_PASSIVE, "logitrail") == "dead"
    assert recount(ledger, "logitrail")["L1"].reason == "outcome_unknown"


def test_a_permit_from_before_the_restart_is_refused(ledger, disk, clock):
    """Claimed before, permitted after: the order goes back and is suspected (2)."""
    ledger.open(an_order())
    claim = ledger.claim("relograde", "R1")
    disk.restart()
    assert ledger.permit(claim, Call(kind=CONFIRM)).result == "restarted"
    recount(ledger)
    assert record(ledger).suspect_at == START
    assert ledger.permit(ledger.claim("relograde", "R1"), Call(kind=READ)).result == "permitted"


def test_a_permit_of_what_another_has_made_suspect_is_refused(ledger, disk, clock):
    ledger.open(an_order())
    claim = ledger.claim("relograde", an_order().order_id)
    disk.sync()
    disk.crash()
    # Another worker's look makes the order suspect; the claim from before decides without that.
    assert ledger.claim("relograde", an_order().order_id).result == "busy"
    assert ledger.permit(claim, Call(kind=CONFIRM)).result == "restarted"
    assert ledger.load("relograde", an_order().order_id).order.attempts == 0


def test_a_server_that_syncs_every_write_makes_no_suspects(ledger, disk):
    """It forgets nothing."""
    ledger.scripts.server.synced = True
    ledger.open(an_order())
    disk.restart()
    assert turn(ledger, "R1", FINISHED) == "confirmed"
    ledger.open(an_order("R2"))
    assert record(ledger, "R2").suspect_at is None


@pytest.mark.parametrize(
    ("after", "suspected"), [(0, True), (SUSPICION - 1, True), (SUSPICION, False)]
)
def test_an_order_accepted_soon_after_a_restart_is_a_suspect(ledger, clock, disk, after, suspected):
    """Its first acceptance, and a confirm, may be among what the server forgot."""
    disk.restart()
    ledger.open(an_order("other"))
    clock.advance(after)
    ledger.open(an_order())
    assert record(ledger).suspect_at == (START if suspected else None)


def test_two_restarts_are_two_suspicions(ledger, clock, disk):
    """The second counts from the second."""
    ledger.open(an_order())
    disk.restart()
    assert record(ledger).suspect_at == START
    clock.advance(10)
    disk.restart()
    assert record(ledger).suspect_at == START + 10


@pytest.mark.real_server
def test_a_forgotten_confirm_is_never_repeated_without_a_read(ledger, clock, disk):
    """Claim, intent and answer are gone with the crash: the order is as it was when due, and
    suspected (2, 3).
    """
    ledger.open(an_order())
    disk.sync()
    turn(ledger, "R1", TIMEOUT)
    disk.crash()
    kinds = []
    turn(ledger, "R1", lambda permit: kinds.append(permit.call.kind) or TIMEOUT)
    assert kinds == [READ]


def test_an_intent_forgotten_during_its_call_is_not_followed_by_another_confirm(
    ledger, clock, disk
):
    """The claim was synced, the intent was not, and the answer, a timeout, was written after the
    crash (2, 3).
    """
    ledger.open(an_order())

    def crash(permit):
        disk.crash()
        record(ledger, "first")  # Anybody's look at anything is the first to see the restart.
        clock.advance(30)
        return TIMEOUT

    claim = ledger.claim("relograde", "R1")
    disk.sync()
    permit = ledger.permit(claim, Call(kind=CONFIRM))
    step = ledger.policies["relograde"].decide(permit.order, permit.call, crash(permit), clock())
    ledger.write(permit.order, step, claim=claim.claim, sent_at=START)
    kinds = []
    clock.advance(10)
    turn(ledger, "R1", lambda permit: kinds.append(permit.call.kind) or TIMEOUT)
    assert kinds == [READ]
    assert record(ledger).unresolved


def test_an_answer_outlives_the_restart(ledger, clock, disk):
    """The claim was synced: what the supplier answered meanwhile is written all the same."""
    ledger.open(an_order())
    claim = ledger.claim("relograde", "R1")
    permit = ledger.permit(claim, Call(kind=CONFIRM))
    disk.sync()
    disk.crash()
    step = ledger.policies["relograde"].decide(permit.order, permit.call, FINISHED, clock())
    assert ledger.write(permit.order, step, claim=claim.claim).result == "written"
    assert recount(ledger)["R1"].state == "confirmed"


def test_a_withdraw_decided_before_the_restart_is_decided_again(ledger, disk):
    """Loaded, then sent by another, then all of that forgotten: the version is the old one again
    (2).
    """
    ledger.open(an_order())
    loaded = record(ledger)
    disk.sync()
    turn(ledger, "R1", TIMEOUT)
    disk.crash()
    assert ledger.write(loaded, interventions.withdraw(loaded, START)).result == "stale"


@pytest.mark.real_server
def test_a_mark_does_not_withdraw_a_suspect(ledger, disk):
    """Accepted, sent, forgotten; withdrawn while unknown; repeated: it may have been sent, so it
    stays (2).
    """
    disk.sync()
    ledger.open(an_order())
    turn(ledger, "R1", TIMEOUT)
    disk.crash()
    ledger.mark_withdrawn("relograde", "R1")
    ledger.open(an_order())
    assert record(ledger).state == "accepted"


@pytest.mark.parametrize(("synced", "waits"), [(False, 2.0), (True, 0.0)])
def test_what_is_brought_forward_waits_until_a_restart_cannot_forget_it(
    ledger, clock, synced, waits
):
    """A hint and a requeue: or both would be forgotten with the confirm that they led to, and none
    be suspected (2).
    """
    ledger.scripts.server.synced = synced
    ledger.open(an_order("hinted", "logitrail"))
    ledger.open(an_order("requeued", "logitrail"))
    turn(ledger, "hinted", Unavailable(), "logitrail")
    turn(ledger, "requeued", Rejected("invalid_request"), "logitrail")
    clock.advance(2)
    turn(ledger, "hinted", Unavailable(), "logitrail")
    ledger.hint("logitrail", "hinted")
    ledger.change("logitrail", "requeued", interventions.requeue)
    for order_id in ("hinted", "requeued"):
        assert record(ledger, order_id, "logitrail").due_at == clock() + waits
        assert ledger.claim("logitrail", order_id).result == ("not_due" if waits else "claimed")
    clock.advance(waits)
    assert set(ledger.dispatch(Lane("logitrail"), 9)[0]) == (
        {"hinted", "requeued"} if waits else set()
    )
    recount(ledger, "logitrail")


def test_a_second_hint_does_not_make_it_later(ledger, clock):
    """Hints may come more often than every two seconds."""
    ledger.open(an_order())
    turn(ledger, "R1", Unavailable())
    clock.advance(1)
    ledger.hint("relograde", "R1")
    assert record(ledger).due_at == START + 2
    clock.advance(1)
    ledger.hint("relograde", "R1")
    assert record(ledger).due_at == START + 2
    assert turn(ledger, "R1", FINISHED) == "confirmed"


@pytest.mark.parametrize("forward", ["hint", "requeue"])
def test_what_was_brought_forward_and_forgotten_has_sent_nothing(ledger, clock, disk, forward):
    """The same again after the crash is the first confirm, not the second (3)."""
    sent = []

    def bring_forward():
        if forward == "hint":
            ledger.hint("logitrail", "L1")
        else:
            ledger.change("logitrail", "L1", interventions.requeue)

    def ask():
        return turn(
            ledger, "L1", lambda permit: sent.append(permit.call.kind) or TIMEOUT, "logitrail"
        )

    ledger.tend("logitrail")
    ledger.open(an_order("L1", "logitrail"))
    turn(
        ledger,
        "L1",
        Unavailable() if forward == "hint" else Rejected("invalid_request"),
        "logitrail",
    )
    disk.sync()
    bring_forward()
    assert ask() == "not_due"
    disk.crash()
    ledger.tend("logitrail")
    clock.advance(1)
    bring_forward()
    clock.advance(2)
    assert ask() == "outcome_unknown"
    assert sent == [CONFIRM]


@pytest.mark.parametrize("why", ["hold", "budget"])
def test_a_suspect_past_its_deadline_waits_for_hold_and_budget_in_peace(
    client, policies, clock, disk, why
):
    """Only a read can kill it, so its bell is not rung again and again while no read is
    permitted.
    """
    ledger = make_ledger(client, policies, clock, run_id=disk, calls_per_minute=1)
    ledger.open(an_order())
    clock.now = LAST + 10
    ledger.scripts.client.zadd(ledger.scripts.key("relograde", "calls", "-"), {"x": clock() + 50})
    if why == "hold":
        ledger.hold(Lane("relograde"), "n")
    disk.restart()
    rung = 0
    for _ in range(5):
        for order_id in ledger.dispatch(Lane("relograde"), 9)[0]:
            rung += 1
            turn(ledger, order_id, TIMEOUT)
    assert rung <= 1


def test_a_blocked_question_leaves_the_suspicion(ledger, disk):
    """It was not answered."""
    ledger.open(an_order())
    disk.restart()
    turn(ledger, "R1", Blocked("unauthorized"))
    assert record(ledger).suspect_at == START


@pytest.mark.real_server
def test_the_servers_own_run_id_and_clock_are_used(client, policies, server):
    """Without a test's clock and run id the scripts take them from the server."""
    ledger = make_ledger(client, policies, None, run_id=lambda: None)
    ledger.scripts._run_id = None
    ledger.open(
        an_order(
            accepted_at=ledger.time(), created_at=ledger.time(), deadline_at=ledger.time() + 86400
        )
    )
    assert (
        client.hget(ledger.scripts.key("relograde", "server"), "run_id")
        == client.info("server")["run_id"]
    )
    order = record(ledger)
    assert abs(order.accepted_at - ledger.time()) < 60
    assert members(ledger, "relograde", "ready", "-", "confirm")
    step = Step(order=order, event="x")
    assert ledger.write(order, step).result == "written"
