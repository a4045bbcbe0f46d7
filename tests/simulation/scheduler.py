"""One action at a time on a virtual clock. An action that must wait hands the loop to another
thread and sleeps.

The loop runs on whichever thread has the baton. A new action is called right there; only when it
pauses does another thread take the loop over, so that the usual case costs no switch. Everything is
decided by times and numbers, never by the operating system, so a run repeats exactly.
"""

import heapq
import threading
from collections.abc import Callable
from typing import Any

from tests.simulation.clock import Clock


class Killed(BaseException):
    """The process is gone: nothing of it runs any more.

    Not an Exception, so that no handler of ours survives it.
    """


class Actor:
    """One action of one worker under way: a message, a bell, a dispatcher's turn, a teller's
    round.
    """

    __slots__ = ("claim", "go", "killed", "message", "name", "order", "run", "unwinding", "worker")

    def __init__(self, name: str, worker: Any, order: str | None, run: Callable[[], None]) -> None:
        self.name = name
        self.worker = worker
        self.order = order
        self.run = run
        self.go: threading.Lock | None = None
        self.killed = False
        self.unwinding = False
        self.claim: str | None = None
        self.message: Any = None
        """What it has not acknowledged to the broker yet."""


class _Driver(threading.Thread):
    """A thread that can have the loop."""

    def __init__(self, scheduler: "Scheduler") -> None:
        super().__init__(daemon=True)
        self.scheduler = scheduler
        self.go = threading.Lock()
        self.go.acquire()

    def run(self) -> None:
        while True:
            self.go.acquire()
            if self.scheduler.closed:
                return
            self.scheduler.loop(self)


class Scheduler:
    """Runs what is due in the order of virtual time; `idle` says what to do, and when, while
    nothing is.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.closed = False
        self.current: Actor | None = None
        self._spares: list[_Driver] = []
        self._done = threading.Lock()
        self._done.acquire()
        self._unwound = threading.Lock()
        self._unwound.acquire()
        self._reset(lambda soonest: None, lambda actor, error: None)

    def _reset(self, idle: Any, crashed: Any) -> None:
        self.idle: Callable[[float | None], tuple[float, Callable[[], Any]] | None] = idle
        self.crashed: Callable[[Actor, Exception], None] = crashed
        self.stopping = False
        self.suspended: dict[Actor, None] = {}
        self._heap: list[tuple[float, int, Any]] = []
        self._number = 0
        self._failure: BaseException | None = None

    def at(self, when: float, what: Any) -> None:
        """At `when`: calls `what`, which may return an Actor to run; or lets a suspended Actor go
        on.
        """
        self._number += 1
        heapq.heappush(self._heap, (when, self._number, what))

    def run(self, begin: Callable[[], None], idle: Any, crashed: Any) -> None:
        """One whole run; returns when nothing is left to do or `stopping` is set."""
        self._reset(idle, crashed)
        begin()
        self._spare().go.release()
        self._done.acquire()
        if self._failure is not None:
            raise self._failure

    def pause(self, until: float) -> None:
        """Called by the running action: lets others run, and goes on at `until`."""
        actor = self.current
        if actor is None:
            return
        if actor.killed:
            raise Killed
        actor.go = actor.go or threading.Lock()
        actor.go.acquire(blocking=False)
        self.suspended[actor] = None
        self.at(until, actor)
        self.current = None
        self._spare().go.release()
        actor.go.acquire()
        self.current = actor
        self.suspended.pop(actor, None)
        if actor.killed:
            raise Killed

    def kill(self, actor: Actor) -> None:
        """Ends an action: a suspended one is unwound at once, the running one raises `Killed` by
        itself.
        """
        actor.killed = True
        if actor not in self.suspended or actor.go is None:
            return
        before, actor.unwinding = self.current, True
        actor.go.release()
        self._unwound.acquire()
        self.current = before

    def close(self) -> None:
        """Ends the threads."""
        self.closed = True
        for spare in self._spares:
            spare.go.release()
            spare.join()

    def loop(self, driver: _Driver) -> None:
        """Runs until the loop is handed to an action that goes on, or all is done."""
        try:
            while not self.stopping:
                step = self._next()
                if step is None:
                    break
                if isinstance(step, Actor) and step in self.suspended:
                    self._spares.append(driver)
                    step.go.release()  # type: ignore[union-attr]
                    return
                if isinstance(step, Actor) and not self._act(step, driver):
                    return
        except BaseException as error:
            self._failure = error
        for actor in list(self.suspended):
            self.kill(actor)
        self._spares.append(driver)
        self._done.release()

    def _next(self) -> Any:
        """The next action to begin or to let go on; None when nothing is left."""
        while not self.stopping:
            soonest = self._heap[0][0] if self._heap else None
            if soonest is not None and soonest <= self.clock.now:
                _, _, what = heapq.heappop(self._heap)
                started = what if isinstance(what, Actor) else what()
                if isinstance(started, Actor) and not started.killed:
                    return started
                continue
            offer = self.idle(soonest)
            if offer is None:
                return None
            when, what = offer
            self.clock.now = max(self.clock.now, when)
            started = what()
            if isinstance(started, Actor):
                return started
        return None

    def _act(self, actor: Actor, driver: _Driver) -> bool:
        """Calls a new action here; False when it was unwound by somebody who has the loop now."""
        self.current = actor
        try:
            actor.run()
        except Killed:
            pass
        except Exception as error:
            self.crashed(actor, error)
        self.current = None
        if not actor.unwinding:
            return True
        self.suspended.pop(actor, None)
        self._spares.append(driver)
        self._unwound.release()
        return False

    def _spare(self) -> _Driver:
        if self._spares:
            return self._spares.pop()
        driver = _Driver(self)
        driver.start()
        return driver
