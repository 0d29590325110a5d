"""What starts and ends with one file written, and what a process that goes on has in memory then.

All tools do it in confd's words.
"""
import os
import random
import shutil
import subprocess
import time
from contextlib import ExitStack
from tempfile import TemporaryDirectory

from . import once
from .etcd import Etcd
from .process import Process
from .tools import KEYS, PREFIX, TINY, UPSTREAM, Setting, Source, etcd, rendered, write_resource

PEAKS = 5  # further runs, of which the memory is seen
PATIENCE = 60.0  # seconds until a file is right


class Case:
    """Keys in a backend, the file to make of them, and what that is to hold."""

    def __init__(self, name, source, resource, wanted):
        self.name, self.source, self.resource, self.wanted = name, source, resource, wanted


class Lane:
    """A tool on a case, in a directory of its own."""

    def __init__(self, tool, name, case, directory):
        self.tool, self.name, self.case = tool, name, case
        self.directory, self.log = directory, f"{directory}/log"
        self.destination = f"{directory}/out/web.conf"
        self.environment = {**os.environ, "APP_KEY": "hello"}
        write_resource(Setting(None, directory, self.destination), case.resource)

    def argv(self, task):
        return self.tool.as_confd(self.tool.binary, self.directory, task, self.case.source)

    def once(self, measure):
        """A run that finds nothing of an earlier one, as in a container; the file is right after it."""
        self.forget()
        measured = measure(self.argv("--onetime"), self.environment, self.log)
        if not self.is_right():
            raise RuntimeError(f"{self.name}, {self.case.name}: the file is not what the keys say")
        return measured

    def watch(self):
        """MiB that a watching process has resident after the first file, and at the most until then."""
        self.forget()
        process = Process(self.argv("--watch"), self.log)
        try:
            self.wait_until_right(process)
            process.wait_until_quiet()
            return process.memory(), process.memory("VmHWM")
        finally:
            process.stop()

    def forget(self):
        for made in ("out", "state"):
            shutil.rmtree(f"{self.directory}/{made}", ignore_errors=True)
        os.makedirs(os.path.dirname(self.destination))

    def is_right(self):
        try:
            with open(self.destination, "rb") as file:
                return file.read() == self.case.wanted
        except FileNotFoundError:
            return False

    def wait_until_right(self, process):
        deadline = time.monotonic() + PATIENCE
        while not self.is_right():
            if process.has_ended() or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}, {self.case.name}: no file: {process.last_words()}")
            time.sleep(0.02)


class Cases(ExitStack):
    """The cases, with an etcd for each number of keys; all ends and goes when it is over."""

    def __init__(self, args, place):
        super().__init__()
        try:
            self.files, self.etcds = (
                self.enter_context(TemporaryDirectory(prefix="waypost-bench-", dir=parent))
                for parent in (place.directory, args.tmpfs))
            self.local = list(self.without_network())
            self.remote = [self.in_etcd(keys) for keys in args.keys]
        except BaseException:
            self.close()
            raise

    def without_network(self):
        data = f"{self.files}/data.yaml"
        with open(data, "w") as file:
            file.write("app:\n  key: hello\n")
        for name, source in ("env", Source("env", "env")), ("file", Source("file", "file", "--file", data)):
            yield Case(f"{name}, 1", source, TINY, b"k = hello\n")

    def in_etcd(self, keys):
        entries = {f"{PREFIX}{KEYS}/{n:05d}": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}:8000"
                   for n in range(keys)}
        server = Etcd(f"{self.etcds}/{keys}", self)
        server.load(entries)
        return Case(f"etcd, {keys:,}", etcd(server.url), UPSTREAM, rendered(entries))

    def lanes(self, case, chosen):
        for name, tool in chosen:
            directory = f"{self.files}/{case.name}/{name}"
            os.makedirs(directory, exist_ok=True)
            yield Lane(tool, name, case, directory)


def to_first_file(args, cases, say):
    """(case, tool, [(wall, CPU) seconds of each run], [MiB of some more runs]), the tools in turns."""
    order = random.Random(1)
    for case in [*cases.local, *cases.remote]:
        lanes = list(cases.lanes(case, args.tools))
        times, peaks = ({lane: [] for lane in lanes} for _ in range(2))
        # The first round finds nothing in the page cache, and does not count.
        for number in range(args.runs + 1):
            for lane in order.sample(lanes, len(lanes)):
                measured = lane.once(once.run)
                if number:
                    times[lane].append(measured)
        for _ in range(PEAKS):
            for lane in lanes:
                peaks[lane].append(lane.once(once.peak))
        say(f"{case.name}: done")
        yield from ((case.name, lane.name, times[lane], peaks[lane]) for lane in lanes)


def watching(args, cases, say):
    """(case, tool, [MiB now and at the most]) of fresh processes, one at a time."""
    for case in cases.remote:
        for lane in cases.lanes(case, args.tools):
            say(f"{lane.name} watches {case.name} keys")
            yield case.name, lane.name, [lane.watch() for _ in range(args.fresh)]


def sizes(args):
    """(tool, MiB of its binary without symbols)."""
    for name, tool in args.tools:
        with TemporaryDirectory() as directory:
            bare = f"{directory}/bare"
            subprocess.run(["strip", "-o", bare, tool.binary], check=True)
            yield name, os.path.getsize(bare) / 2**20
