#!/usr/bin/env python3
"""Measures rendering beside Go's text/template: the same templates, the same keys, the same output; in one run, taking
turns. README.md says how."""
import argparse
import os
import platform
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig.measured import median, ratios_by_round  # noqa: E402
from rig.report import Table, section, verdict  # noqa: E402

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../crates/template/examples/bodies")
BODIES = ["Flat10", "Flat10+50000", "Flat10000", "Rich10000", "Nested100x100", "Nested100x100+50000", "Nested500x20",
          "Getv10000", "Haproxy10000"]

# What is asked: Go's time by ours, at least.
AT_LEAST = {"Flat10000": 3, "Rich10000": 5, "Nested500x20": 50}
# One body's time by another's, at most: keys that a template does not name cost nothing, and Nested's 10,000 keys cost
# by their number and that of their directories, not by the one times the other.
AT_MOST = {("Flat10+50000", "Flat10"): 1.25, ("Nested100x100+50000", "Nested100x100"): 1.25,
           ("Nested500x20", "Nested100x100"): 3}


class Turn:
    """One line of a program: how long a body took, and what it made."""

    def __init__(self, *command):
        _, least, middle, *self.made = output(*command).split()
        self.least, self.middle = int(least), int(middle)
        # Go's program counts as it goes.
        self.allocations = int(self.made.pop()) if len(self.made) > 2 else None


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure(args):
    """For each body the turns, ours and Go's, round by round; the first round only warms up."""
    milliseconds = str(args.milliseconds)
    sides = [lambda name: Turn(os.environ["BODIES_BIN"], milliseconds, name),
             lambda name: Turn(os.environ["GO_BODIES_BIN"], SOURCES, milliseconds, name)]
    turns = {name: [] for name in args.bodies}
    order = random.Random(1)
    for number in range(args.rounds + 1):
        for name in order.sample(args.bodies, len(args.bodies)):
            print(f"round {number} of {args.rounds}: {name}", file=sys.stderr)
            done = {side: sides[side](name) for side in order.sample([0, 1], 2)}
            if done[0].made != done[1].made:
                sys.exit(f"{name}: the outputs differ: waypost's {done[0].made}, Go's {done[1].made}")
            if number > 0:
                turns[name].append((done[0], done[1]))
    return {name: list(zip(*done)) for name, done in turns.items()}


def report(measured):
    table = Table("body", "waypost ns", "Go ns", "Go ÷ waypost", "quartiles", "allocations", "Go's")
    verdicts, ours_ns = [], {}
    for name, (ours, theirs) in measured.items():
        least, others = [turn.least for turn in ours], [turn.least for turn in theirs]
        quotient = median([other / own for own, other in zip(least, others)])
        low, high = ratios_by_round(others, least)
        ours_ns[name] = median(least)
        allocations = output(os.environ["ALLOCATIONS_BIN"], name).split()[1]
        table.add(name, f"{ours_ns[name]:,.0f}", f"{median(others):,.0f}", f"{quotient:.1f}", f"{low:.1f}–{high:.1f}",
                  f"{int(allocations):,}", f"{theirs[0].allocations:,}")
        if name in AT_LEAST:
            verdicts.append(verdict(f"{name}: Go ÷ waypost", quotient, AT_LEAST[name], at_most=False))
    for (name, base), bound in AT_MOST.items():
        if name in ours_ns and base in ours_ns:
            verdicts.append(verdict(f"{name} ÷ {base}", ours_ns[name] / ours_ns[base], bound))
    return section("Rendering beside Go's text/template; every output was the same", table, verdicts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", type=lambda text: text.split(","), default=BODIES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--milliseconds", type=int, default=400, help="of a body in a turn; five renders at least")
    args = parser.parse_args()
    go = output("go", "version").split()[2]
    print(f"# waypost's benchmark of templates, {time.strftime('%Y-%m-%d')}\n\n"
          f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the start; {go}; "
          f"{args.rounds} rounds of {args.milliseconds} ms a body.\n", flush=True)
    print(report(measure(args)))


if __name__ == "__main__":
    main()
