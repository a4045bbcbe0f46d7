"""The same scripts on fakeredis: an application's own tests may use it; the truth is tested on a
real server.
"""

import time
from dataclasses import replace

import fakeredis
import pytest
import redis
from conftest import RETRY, START, an_order, make_ledger, recount, turn
from test_ledger import FINISHED, TIMEOUT, walk

from schemas.lane import Lane
from worker.ledger.messages import Messages
from worker.ledger.outbox import Outbox
from worker.ledger.reads.views import Views
from worker.rules import interventions
from worker.rules.answers import Blocked, Created, Pending, Rejected
from worker.rules.words import Call


class Run:
    def __init__(self):
        self.id = "run-1"

    def __call__(self):
        return self.id


@pytest.fixture
def run():
    return Run()


@pytest.fixture
def ledger(policies, clock, run):
    with fakeredis.FakeRedis(decode_responses=True) as client:
        yield make_ledger(client, policies, clock, run_id=run)


def test_the_way_of_an_order(ledger, clock):
    """Open, dispatch, claim, permit, write: to its end."""
    assert ledger.open(an_order(), details="{}").result == "opened"
    assert ledger.dispatch(Lane("relograde"), 9)[0] == ["R1"]
    assert turn(ledger, "R1", TIMEOUT) == "outcome_unknown"
    clock.advance(50)
    assert turn(ledger, "R1", Created()) == "read_created"
    assert turn(ledger, "R1", Pending()) == "pending"
    assert ledger.hint("relograde", "R1") == "due"
    assert turn(ledger, "R1", FINISHED) == "confirmed"
    assert recount(ledger)["R1"].attempts == 2


def test_a_hold_and_its_probe(ledger, clock):
    """Lanes, too."""
    ledger.open(an_order())
    turn(ledger, "R1", Blocked("unauthorized"))
    assert ledger.dispatch(Lane("relograde"), 9)[0] == []
    clock.advance(RETRY[0])
    assert ledger.dispatch(Lane("relograde"), 9)[0] == ["R1"]
    assert turn(ledger, "R1", Rejected("out_of_stock")) == "dead"
    assert ledger.change("relograde", "R1", interventions.requeue).event == "requeued"
    recount(ledger)


def test_a_restart(ledger, clock, run):
    """A changed run id makes suspects here as well (2)."""
    ledger.open(an_order())
    run.id = "run-2"
    assert turn(ledger, "R1", Created()) == "read_created_early"
    assert recount(ledger)["R1"].suspect_at == START


def test_outcomes_and_messages(ledger, clock):
    """The outbox, refused messages, a mark, a person's hold, and forgetting."""
    outbox = Outbox(ledger.scripts, ("task",), RETRY)
    messages = Messages(ledger.scripts, ("task",), 86400.0)
    ledger.mark_withdrawn("relograde", "R1")
    assert ledger.open(an_order()).result == "withdrawn"
    (first,) = outbox.take("task", 1, 30, 0)
    assert outbox.later(first) == ["later"]
    assert outbox.delivered("relograde", "R1", 1, "task") == "delivered"
    assert messages.refuse("invalid_message", "x", {}, {}) == "message/1"
    assert messages.close("1", "n")
    ledger.hold(Lane("logitrail"), "n")
    ledger.release(Lane("logitrail"))
    outbox.delivered("relograde", "R1", 2, "task")
    clock.advance(31 * 86400)
    for room in ("relograde", "messages"):
        ledger.tend(room)
    assert recount(ledger) == {}
    assert Views(ledger.shelf, (Lane("relograde"),)).stats()["states"]["withdrawn"] == 0


def test_a_walk(ledger, clock):
    """The books are exact here as well."""
    walk(ledger, clock, 7, 40)
    recount(ledger)
    recount(ledger, "logitrail")


def test_a_withdraw_mark_is_refused_after_a_restart(ledger, run):
    """The restarted server may have forgotten a confirm of the order that it opens now."""
    ledger.open(an_order("R1"))
    ledger.mark_withdrawn("relograde", "R2")
    run.id = "run-2"
    assert ledger.open(an_order("R2")).result == "opened"
    record = ledger.load("relograde", "R2").order
    assert record.state == "accepted"
    assert record.suspect_at == START


def test_an_outcome_without_its_text_leaves_the_outbox(ledger, clock):
    """A lost text must not keep the deliveries behind it waiting."""
    ledger.open(an_order())
    turn(ledger, "R1", FINISHED)
    scripts = ledger.scripts
    scripts.client.delete(scripts.key("relograde", "outcomes", "R1"))
    outbox = Outbox(scripts, ("task",), RETRY)
    clock.advance(5)
    taken = outbox.take("task", 10, 30.0, 2.0)
    assert [delivery.body["type"] for delivery in taken] == ["order.accepted"]
    box = scripts.key("relograde", "outbox", "task")
    assert scripts.client.zrange(box, 0, -1) == ["R1|1"]


def test_the_servers_own_clock_and_run_id_are_asked_for(policies):
    """Without those of a test; a server that does not tell its run id is one without restarts."""
    with fakeredis.FakeRedis(decode_responses=True) as client:
        ledger = make_ledger(client, policies, None)
        ledger.scripts._run_id = None
        assert ledger.open(an_order("R1", accepted_at=ledger.time())).result == "opened"
        assert abs(ledger.load("relograde", "R1").now - time.time()) < 60


def test_the_clock_goes_on_between_two_answers(policies):
    """The last answer's time and our own clock spare a question."""
    with fakeredis.FakeRedis(decode_responses=True) as client:
        ledger = make_ledger(client, policies, None)
        ledger.load("relograde", "R1")
        client.time = None  # type: ignore[assignment]
        assert abs(ledger.recent_time() - time.time()) < 60


def test_scripts_that_were_flushed_run_in_their_order(ledger):
    """A claim without its permit would hold the order for a lease, and nobody would step it."""
    ledger.open(an_order("R1"))
    ledger.claim_and_permit("relograde", "R1")
    ledger.open(an_order("R2"))
    ledger.scripts.client.script_flush()
    claimed = ledger.claim("relograde", "missing")
    assert claimed.result == "gone"
    ledger.scripts.client.script_flush()
    ledger.permit(ledger.claim("relograde", "R2"), Call(kind="read"))
    ledger.scripts.client.script_flush()
    ledger.hint("relograde", "R2")
    ledger.open(an_order("R3"))
    ledger.scripts.client.script_flush()
    found = ledger.load("relograde", "R3")
    ledger.permit(replace(found, claim="none"), Call(kind="read"))
    claim, permit = ledger.claim_and_permit("relograde", "R3")
    assert claim.result == "claimed"
    assert permit is not None
    assert permit.result == "permitted"


def test_a_script_that_fails_is_not_passed_over(ledger):
    """The caller hears of it, whatever the others said."""
    ledger.open(an_order("R1"))
    assert ledger.claim_and_permit("relograde", "missing").claimed.result == "gone"
    scripts = ledger.scripts
    scripts.client.delete(scripts.key("relograde", "order", "R1"))
    scripts.client.set(scripts.key("relograde", "order", "R1"), "not a hash")
    with pytest.raises(redis.ResponseError):
        ledger.claim_and_permit("relograde", "R1")
