"""Servers of etcd's API side by side: what they do in a second, and what they need for it.

A turn gives figures by their name and unit. Those a second are to be many, all others few.
"""
import os
import random
import time
from contextlib import ExitStack
from tempfile import TemporaryDirectory

from . import load
from .etcd import Etcd, Store

SERVERS = {"store": Store, "etcd": Etcd}

WATCHES, CONNECTIONS = 1_000, 8
STARTS = 3  # of each kind, of each fresh server
SETTLED = 2.0  # seconds without a request, after which the memory counts


class Lane:
    """One server, fresh, with the keys in it; `name` is its name in the tables."""

    def __init__(self, name, kind, directory, keys, end):
        self.name, self.keys = name, keys
        self.server = SERVERS[kind](directory, end)
        self.first_answer(0)
        self.load("fill")

    def load(self, measurement, **settings):
        """A run of the load on it: what that says, with the server's CPU seconds as `server`."""
        cpu = self.server.process.cpu()
        said = load.run(self.server.url, measurement, keys=self.keys, **settings)
        return {**said, "server": self.server.process.cpu() - cpu}

    def first_answer(self, keys):
        """Waits for an answer with as many keys; gives the time when it came."""
        asking = load.Load(self.server.url, "first", keys=keys)
        try:
            _, at = asking.line(self.server.process)
            asking.finish()
            return at
        except BaseException:
            asking.stop()
            raise

    def start_again(self, end):
        """Ends the server by `end` and starts it; gives seconds until it answers."""
        end()
        os.sync()
        started = time.monotonic()
        self.server.start()
        return self.first_answer(self.keys) - started

    def stop(self):
        self.server.process.stop()

    def kill(self):
        self.server.process.kill()

    def disk(self):
        """MiB of the blocks that its data takes, those set apart included."""
        files = (os.path.join(at, name) for at, _, names in os.walk(self.server.data) for name in names)
        return sum(os.stat(file).st_blocks for file in files) * 512 / 2**20


class Section:
    """One table: `arrangements` take their turns in each round."""

    started_again = False  # after the keys were loaded


class Puts(Section):
    """Puts by clients that wait for each answer."""

    name = "puts"
    title = "Puts of 150 bytes over {keys:,} keys"
    arrangements = {"1 client": (1, 1, None), "64 clients": (64, 64, None),
                    "64 clients on one connection": (64, 1, None),
                    f"64 clients, {WATCHES:,} watches of other keys": (64, 64, WATCHES)}

    def turn(self, lane, what, seconds):
        clients, connections, watches = self.arrangements[what]
        said = lane.load("puts", clients=clients, connections=connections, watches=watches, seconds=seconds)
        return {("puts", "1/s"): said["rate"], **latencies(said), **costs(said)}


class Reads(Section):
    """All keys in one answer, and single keys."""

    name = "reads"
    title = "Reads, {keys:,} keys of 150 bytes"
    # etcd 3.4 copies its buffer of writes for each read, all of it that was ever in use between two commits
    # (mvcc/backend/tx_buffer.go). Loading the keys makes it large; reads of that etcd take four times as long.
    started_again = True
    arrangements = {"all keys in one range": None, "1 client": (1, 1), "64 clients": (64, 64)}

    def turn(self, lane, what, seconds):
        if what == "all keys in one range":
            said = lane.load("range", times=5)
            return {("range", "ms"): said["p50"] * 1e3, ("server's CPU a range", "ms"): said["server"] / 5 * 1e3}
        clients, connections = self.arrangements[what]
        said = lane.load("gets", clients=clients, connections=connections, seconds=seconds)
        return {("gets", "1/s"): said["rate"], **latencies(said), **costs(said)}


class FanOut(Section):
    """Puts of keys that many watch."""

    name = "watches"
    title = f"A put seen by {WATCHES:,} watches over {CONNECTIONS} connections; a burst is 500 puts"
    arrangements = {"all on 8 streams": 8, f"{WATCHES:,} streams": WATCHES}
    singles, burst = 300, 500

    def turn(self, lane, what, _seconds):
        said = lane.load("watch", watches=WATCHES, streams=self.arrangements[what], connections=CONNECTIONS,
                         singles=self.singles, burst=self.burst)
        events = (self.singles + self.burst) * WATCHES
        return {("until the last has it, p50", "ms"): said["p50"] * 1e3,
                ("until the last has it, p99", "ms"): said["p99"] * 1e3,
                ("events in a burst", "1/s"): said["rate"],
                **share(said), ("server's CPU an event", "µs"): said["server"] / events * 1e6}


THROUGHPUT = [Puts(), Reads(), FanOut()]
NEEDS = "needs"
MEASURES = [*(section.name for section in THROUGHPUT), NEEDS]


def latencies(said):
    return {("p50", "ms"): said["p50"] * 1e3, ("p99", "ms"): said["p99"] * 1e3}


def costs(said):
    return {("server's CPU a request", "µs"): said["server"] / said["count"] * 1e6,
            **share(said)}


def share(said):
    return {("load's share of a CPU", "%"): said["share"] * 100}


def needs(lane, puts):
    """Memory and disk of a fresh server with the keys, then after as many puts; then how fast it starts."""
    lane.load("range", times=1)
    yield "the keys loaded and read once", footprint(lane)
    lane.load("puts", clients=64, connections=64, count=puts)
    lane.load("range", times=1)
    yield f"{puts:,} puts later", footprint(lane)
    for _ in range(STARTS):
        yield "start until the first answer", {("after a stop", "ms"): lane.start_again(lane.stop) * 1e3,
                                               ("after kill -9", "ms"): lane.start_again(lane.kill) * 1e3}


def footprint(lane):
    time.sleep(SETTLED)
    process = lane.server.process
    return {("RSS", "MiB"): process.memory(), ("PSS", "MiB"): process.share(),
            ("of it not a mapped file's", "MiB"): process.share("Anonymous"),
            ("RSS at the most", "MiB"): process.memory("VmHWM"), ("disk", "MiB"): lane.disk()}


class Table(dict):
    """For each arrangement and figure: the values of each lane, round by round."""

    def add(self, what, lane, figures):
        for figure, value in figures.items():
            self.setdefault((what, *figure), {}).setdefault(lane.name, []).append(value)


class Lanes(ExitStack):
    """A fresh server each, in directories that go when it is over."""

    def __init__(self, servers, directory, keys, say):
        super().__init__()
        self.lanes = []
        try:
            parent = self.enter_context(TemporaryDirectory(prefix="waypost-bench-", dir=directory))
            for number, (name, kind) in enumerate(servers):
                say(f"{name}: {keys:,} keys")
                self.lanes.append(Lane(name, kind, f"{parent}/{number}", keys, self))
        except BaseException:
            self.close()
            raise


def throughput(section, args, directory, say):
    """Turns on each lane in each round, in an order drawn for each; a shorter first round does not count."""
    table, order = Table(), random.Random(1)
    with Lanes(args.servers, directory, args.store_keys, say) as lanes:
        for lane in lanes.lanes if section.started_again else []:
            lane.start_again(lane.stop)
        for number in range(args.rounds + 1):
            for what in section.arrangements:
                for lane in order.sample(lanes.lanes, len(lanes.lanes)):
                    # What one has left to be written is not to be waited for by another.
                    os.sync()
                    figures = section.turn(lane, what, args.seconds if number else 1)
                    if number:
                        table.add(what, lane, figures)
            say(f"round {number} of {args.rounds}", end="\r" if number < args.rounds else "\n")
    return table


def needed(args, directory, say):
    """Fresh servers for each round, of which one runs at a time."""
    table, order = Table(), random.Random(1)
    for _ in range(args.fresh):
        for server in order.sample(args.servers, len(args.servers)):
            with Lanes([server], directory, args.store_keys, say) as lanes:
                lane, = lanes.lanes
                for what, figures in needs(lane, 2 * args.store_keys):
                    table.add(what, lane, figures)
    return table
