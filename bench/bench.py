#!/usr/bin/env python3
"""Measures waypost beside a bare etcd watch (and a peer), in one run, taking turns. README.md says how.

  bench.py              all of the below, one after another
  bench.py latency      from sending a put to the reload having run, by the number of keys
  bench.py others       ten keys alone, beside many that are not theirs, and beside such that change
  bench.py burst        many puts at once
"""
import argparse
import os
import random
import signal
import sys
from contextlib import ExitStack
from tempfile import TemporaryDirectory

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig import report, tools  # noqa: E402
from rig.lane import NO_OTHERS, Lane, Others  # noqa: E402
from rig.measured import Measured  # noqa: E402

CHANGES_A_TURN = 10
OTHERS_CHANGED = 20  # between two changes of one's own


class Place:
    """Where the tools' files go; etcd's data is on a tmpfs in any case."""

    def __init__(self, name, directory, fsync):
        self.name, self.directory, self.fsync = name, directory, fsync


class Lanes(ExitStack):
    """The lanes of one measurement, in fresh directories; all ends and goes when it is over."""

    def __init__(self, place, tmpfs):
        super().__init__()
        self.place, self.lanes = place, []
        self.files, self.etcds = (self.enter_context(TemporaryDirectory(prefix="waypost-bench-", dir=parent))
                                  for parent in (place.directory, tmpfs))

    def add(self, tool, name, keys, others=NO_OTHERS):
        say(f"{self.place.name}: {name}, {keys:,} keys")
        files, etcd = f"{self.files}/{len(self.lanes)}", f"{self.etcds}/{len(self.lanes)}"
        for directory in (files, etcd):
            os.makedirs(directory)
        self.lanes.append(Lane(tool, name, keys, files, etcd, self.place.fsync, others, self))
        return self.lanes[-1]


def take_turns(lanes, changes):
    """Single changes, some on each lane in each round; the first round only warms up."""
    measured = {lane: Measured(lane.tool.memory()) for lane in lanes}
    order = random.Random(1)
    rounds = max(1, changes // CHANGES_A_TURN)
    for number in range(rounds + 1):
        for lane in order.sample(lanes, len(lanes)):
            turn = lane.turn(CHANGES_A_TURN)
            if number > 0:
                measured[lane].add(*turn)
        say(f"round {number} of {rounds}", end="\r" if number < rounds else "\n")
    return measured


def latency(args, place):
    with Lanes(place, args.tmpfs) as lanes:
        rows = [(keys, lanes.add(tool, name, keys)) for keys in args.keys for name, tool in args.tools]
        measured = take_turns(lanes.lanes, args.changes)
        return report.latency(place, [(keys, lane.name, measured[lane]) for keys, lane in rows])


def others(args, place):
    arrangements = [("alone", NO_OTHERS), ("beside", Others(max(args.keys))),
                    ("beside, changing", Others(max(args.keys), OTHERS_CHANGED))]
    with Lanes(place, args.tmpfs) as lanes:
        rows = [(what, lanes.add(tool, name, 10, others))
                for name, tool in args.tools for what, others in arrangements]
        measured = take_turns(lanes.lanes, args.changes)
        rows = [(what, lane.name, measured[lane]) for what, lane in rows]
        return report.others(max(args.keys), OTHERS_CHANGED, rows)


def burst(args, place):
    with Lanes(place, args.tmpfs) as lanes:
        for name, tool in args.tools:
            lanes.add(tool, name, args.burst_keys)
        bursts = {lane: [] for lane in lanes.lanes}
        for number in range(args.bursts):
            for lane in lanes.lanes:
                say(f"burst {number + 1} of {args.bursts}: {lane.name}")
                bursts[lane].append(lane.burst(args.burst_puts))
        return report.burst(args.burst_puts, args.burst_keys, [(lane.name, done) for lane, done in bursts.items()])


def parse():
    numbers = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["latency", "others", "burst", "all"], default="all")
    parser.add_argument("--tools", type=lambda text: text.split(","), help="default: all whose binary is known")
    parser.add_argument("--keys", type=numbers, default=[10, 1_000, 10_000, 50_000])
    parser.add_argument("--changes", type=int, default=200, help="on each lane")
    parser.add_argument("--places", type=lambda text: text.split(","), default=["tmpfs", "disk"])
    parser.add_argument("--tmpfs", default="/dev/shm", help="a directory on a tmpfs")
    parser.add_argument("--disk", default="/var/tmp", help="a directory on a disk")
    parser.add_argument("--bursts", type=int, default=3)
    parser.add_argument("--burst-puts", type=int, default=2_000)
    parser.add_argument("--burst-keys", type=int, default=1_000)
    args = parser.parse_args()
    args.tools = named(tools.chosen(args.tools))
    return args


def named(chosen):
    """The tools with names for the tables. One that is given twice is measured twice: the difference is noise."""
    names = [tool.name for tool in chosen]
    return [(name if name not in names[:at] else f"{name} again", tool)
            for at, (name, tool) in enumerate(zip(names, chosen))]


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


def main():
    # Told to stop, it ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    args = parse()
    places = {"tmpfs": Place("tmpfs", args.tmpfs, False), "disk": Place("disk", args.disk, True)}
    print(report.machine(args), end="\n\n", flush=True)
    if args.what in ("latency", "all"):
        for place in args.places:
            print(latency(args, places[place]), flush=True)
    if args.what in ("others", "all"):
        print(others(args, places["tmpfs"]), flush=True)
    if args.what in ("burst", "all"):
        print(burst(args, places["tmpfs"]), flush=True)


if __name__ == "__main__":
    main()
