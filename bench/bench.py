#!/usr/bin/env python3
"""Measures waypost beside a bare etcd watch (and a peer), and its store beside etcd: in one run, taking turns.
README.md says how.

  bench.py              latency, others and burst, one after another
  bench.py latency      from sending a put to the reload having run, by the number of keys
  bench.py others       ten keys alone, beside many that are not theirs, and beside such that change
  bench.py burst        many puts at once
  bench.py store        the store beside etcd: puts, reads, watches, memory, disk, start
  bench.py start        in confd's words: time and memory until the first file, and of a process that watches
"""
import argparse
import os
import random
import signal
import sys
from contextlib import ExitStack
from tempfile import TemporaryDirectory

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig import confd, report, start, store, tools  # noqa: E402
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


def beside_etcd(args, place):
    names = [name for name, _ in args.servers]
    for section in store.THROUGHPUT:
        if section.name in args.measures:
            title = f"{section.title.format(keys=args.store_keys)}: {place.name}"
            yield report.servers(title, names, store.throughput(section, args, place.directory, say))
    if store.NEEDS in args.measures:
        title = f"What {args.store_keys:,} keys of 150 bytes need: {place.name}"
        yield report.servers(title, names, store.needed(args, place.directory, say))


def beside_confd(args, place):
    with start.Cases(args, place) as cases:
        yield confd.first_file(place, list(start.to_first_file(args, cases, say)))
        yield confd.watching(place, list(start.watching(args, cases, say)))
    yield confd.sizes(list(start.sizes(args)))


def parse():
    numbers = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    words = lambda text: text.split(",")  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["latency", "others", "burst", "store", "start", "all"],
                        default="all")
    parser.add_argument("--tools", type=words, help="default: all whose binary is known")
    parser.add_argument("--keys", type=numbers, default=[10, 1_000, 10_000, 50_000])
    parser.add_argument("--changes", type=int, default=200, help="on each lane")
    parser.add_argument("--places", type=words, help="default: tmpfs,disk; of store: disk; of start: tmpfs")
    parser.add_argument("--tmpfs", default="/dev/shm", help="a directory on a tmpfs")
    parser.add_argument("--disk", default="/var/tmp", help="a directory on a disk")
    parser.add_argument("--bursts", type=int, default=3)
    parser.add_argument("--burst-puts", type=int, default=2_000)
    parser.add_argument("--burst-keys", type=int, default=1_000)
    parser.add_argument("--servers", type=words, default=["store", "etcd"], help="of store; the last is the base")
    parser.add_argument("--measures", type=words, default=list(store.MEASURES), help="of store")
    parser.add_argument("--store-keys", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5, help="of store")
    parser.add_argument("--seconds", type=int, default=5, help="of store: of puts or gets in a turn")
    parser.add_argument("--fresh", type=int, default=3,
                        help="servers of store, watching processes of start, of which memory is seen")
    parser.add_argument("--runs", type=int, default=30, help="of start: on each lane")
    args = parser.parse_args()
    for given, known in ((args.servers, store.SERVERS), (args.measures, store.MEASURES)):
        for name in set(given) - set(known):
            parser.error(f"{name} is none of {', '.join(known)}")
    chosen = tools.chosen(args.tools)
    if args.what == "start":
        chosen = [tool for tool in chosen if tool.as_confd] or parser.error("no tool does as confd does")
    args.tools = named([(tool.name, tool) for tool in chosen])
    args.servers = named([(name, name) for name in args.servers])
    places = {"store": ["disk"], "start": ["tmpfs"]}
    args.places = args.places or places.get(args.what, ["tmpfs", "disk"])
    return args


def named(chosen):
    """What is measured, with names for the tables. What is given twice is measured twice: the difference is noise."""
    names = [name for name, _ in chosen]
    return [(name if name not in names[:at] else f"{name} again", what) for at, (name, what) in enumerate(chosen)]


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
    for what, measure in (("store", beside_etcd), ("start", beside_confd)):
        for place in args.places if args.what == what else []:
            for table in measure(args, places[place]):
                print(table, flush=True)


if __name__ == "__main__":
    main()
