"""Makes a failing sequence short: drops steps as long as a difference of the same kind remains."""

import time
from dataclasses import replace

RUNS_MAX = 250
SECONDS_MAX = 25.0


def shrink(sequence, difference, run):
    """run(sequence) → differences. Returns the shortest sequence found and its difference."""
    end = time.monotonic() + SECONDS_MAX
    runs = 0
    wanted = difference.kind()
    steps = list(sequence.steps)
    if difference.step >= 0:
        steps = steps[: difference.step + 1]

    def fails(candidate):
        nonlocal runs
        runs += 1
        for found in run(replace(sequence, steps=candidate)):
            if found.kind()[0] == wanted[0]:
                return found
        return None

    found = fails(steps)
    if found is None:
        return sequence, difference  # it does not happen every time
    size = max(1, len(steps) // 2)
    while runs < RUNS_MAX and time.monotonic() < end:
        at = 0
        was_shorter = False
        while at < len(steps) and runs < RUNS_MAX and time.monotonic() < end:
            candidate = steps[:at] + steps[at + size :]
            smaller = fails(candidate) if candidate else None
            if smaller is None:
                at += size
            else:
                steps, found, was_shorter = candidate, smaller, True
        if size == 1 and not was_shorter:
            break
        size = max(1, size // 2)
    return replace(sequence, steps=steps), found
