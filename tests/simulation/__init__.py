"""The worker's own code in a world of virtual time, with a scheduler that crashes, freezes and
interleaves it by seed.

Real: policy, ledger scripts on a real server, executor, doors, dispatcher, outbox and teller.
Simulated: the clock, the broker, both suppliers and the account that pays one, the web app, people,
and what the server's disk keeps. The suppliers' books judge the end. `python -m tests.simulation
--runs 10000` runs it, `python -m tests.simulation.mutants` shows that it can fail.
"""
