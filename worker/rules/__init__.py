"""What follows from what: pure functions over values. No I/O, clock or random."""
