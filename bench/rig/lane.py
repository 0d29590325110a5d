"""A lane: one tool on an etcd of its own. Lanes take turns, so that what else the machine does hits all."""
import os
import random
import select
import time
from contextlib import closing

from .etcd import Etcd, Puts
from .inotify import CLOSED_AFTER_WRITE, MODIFIED, MOVED_HERE, Inotify
from .process import Process
from .tools import KEYS, OTHERS, PREFIX, Setting, rendered

PATIENCE = 60.0  # seconds for anything to happen
BATCH = 64  # puts that may be without an answer in a burst
# Seconds from one change to the next, drawn: nothing falls into step with etcd's own clock, and a slow tool's
# changes come as fast as a quick one's, else etcd would write them to its disk in smaller groups.
PACE = (0.020, 0.032)
REST = 0.004  # seconds that pass before a change in any case


class Others:
    """Keys beside the lane's own that are not its tool's business."""

    def __init__(self, count, changes=0):
        """`count` keys are there; `changes` of them are put before each change of the lane's own."""
        self.count, self.changes = count, changes


NO_OTHERS = Others(0)


class Lane:
    """Keys in an etcd, and a tool that keeps a file in step with them."""

    def __init__(self, tool, name, keys, directory, tmpfs, fsync, others, end):
        """The tool's files go to `directory`; etcd's and the mark that the reload leaves go to `tmpfs`.

        What is started is handed to `end`, a contextlib.ExitStack, so that it ends if a later step fails.
        """
        self.name, self.others, self.drawn = name, others, random.Random(name)
        self.values = (f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}:8000" for n in range(1 << 24))
        self.entries = {f"{PREFIX}{KEYS}/{n:05d}": next(self.values) for n in range(keys)}
        self.keys = list(self.entries)
        self.etcd = Etcd(f"{tmpfs}/etcd", end)
        self.etcd.load({f"{OTHERS}/{n:05d}": "other" for n in range(others.count)})
        self.etcd.load(self.entries)
        self.puts = end.enter_context(closing(Puts(self.etcd)))

        os.makedirs(f"{directory}/out")
        self.destination, self.mark = f"{directory}/out/web.conf", f"{tmpfs}/reloads"
        open(self.mark, "w").close()
        self.inotify = end.enter_context(closing(Inotify()))
        self.inotify.watch(f"{directory}/out", MOVED_HERE | CLOSED_AFTER_WRITE, "file")
        self.inotify.watch(self.mark, MODIFIED, "reload")
        setting = Setting(self.etcd.url, directory, self.destination, f"echo x >> {self.mark}", fsync)
        self.tool = Process(tool.argv(setting), log=f"{tmpfs}/tool.log")
        end.callback(self.tool.stop)
        self.wait_until_right()
        self.wait_until_quiet()

    def change(self):
        """Puts one key; gives seconds from sending it to the file being there, and to the reload having run."""
        key = self.drawn.choice(self.keys)
        self.entries[key] = next(self.values)
        request, awaited = self.puts.request(key, self.entries[key]), f"server {self.entries[key]};".encode()
        sent = time.monotonic()
        self.puts.send(request)
        unacknowledged, replaced = 1, None
        while True:
            ready, _, _ = select.select([self.puts, self.inotify], [], [], self.patience(sent))
            now = time.monotonic()
            if self.puts in ready:
                unacknowledged -= self.puts.acknowledged()
            happened = self.happened() if self.inotify in ready else []
            if "file" in happened:
                replaced = now
            if "reload" in happened and replaced and awaited in self.content():
                break
        if unacknowledged:
            self.puts.acknowledged()
        return replaced - sent, now - sent

    def turn(self, changes):
        """Single changes, each after the last was through: their times, CPU seconds of tool and etcd a change."""
        times, due = [], 0.0
        tool, etcd = self.tool.cpu(), self.etcd.process.cpu()
        for _ in range(changes):
            self.puts.put_all([self.other_put() for _ in range(self.others.changes)])
            time.sleep(max(REST, due - time.monotonic()))
            due = time.monotonic() + self.drawn.uniform(*PACE)
            times.append(self.change())
        time.sleep(max(REST, due - time.monotonic()))
        tool, etcd = self.tool.cpu() - tool, self.etcd.process.cpu() - etcd
        self.require_right_content()
        return times, tool / changes, etcd / changes

    def burst(self, changes):
        """Many puts at once; gives what came of them, times in seconds from the last acknowledgement."""
        keys = [self.drawn.choice(self.keys) for _ in range(changes)]
        values = [next(self.values) for _ in keys]
        self.entries.update(zip(keys, values))
        wanted = rendered(self.entries)
        requests = [self.puts.request(key, value) for key, value in zip(keys, values)]
        writes, reloads_before, cpu = 0, self.reloads(), self.tool.cpu()
        sent = acknowledged = 0
        started = last = time.monotonic()
        right = reloaded = None
        # Until nothing has happened for a while after the file was right.
        while True:
            if sent < changes and sent - acknowledged < BATCH:
                batch = requests[sent:acknowledged + BATCH]
                self.puts.send(b"".join(batch))
                sent += len(batch)
            ready, _, _ = select.select([self.puts, self.inotify], [], [], 0.5 if right else self.patience(last))
            now = time.monotonic()
            if right and not ready:
                break
            if self.puts in ready:
                acknowledged += self.puts.acknowledged()
                last = now
            happened = self.happened() if self.inotify in ready else []
            writes += happened.count("file")
            if acknowledged == changes and not right and self.content() == wanted:
                right = now
            if "reload" in happened:
                reloaded = now
        self.wait_until_quiet()
        self.require_right_content()
        return {"puts": last - started, "right": right - last, "reloaded": reloaded - last, "writes": writes,
                "reloads": self.reloads() - reloads_before, "cpu": self.tool.cpu() - cpu}

    def other_put(self):
        key = f"{OTHERS}/{self.drawn.randrange(self.others.count):05d}"
        return self.puts.request(key, f"other {self.drawn.random()}")

    def happened(self):
        """The labels of what happened: the destination was replaced (`file`), a reload has run (`reload`)."""
        name = os.path.basename(self.destination)
        return [label for label, file in self.inotify.events() if label == "reload" or file == name]

    def content(self):
        with open(self.destination, "rb") as file:
            return file.read()

    def reloads(self):
        return os.path.getsize(self.mark) // len("x\n")

    def patience(self, since):
        left = since + PATIENCE - time.monotonic()
        if left <= 0:
            raise RuntimeError(f"{self.name}: nothing for {PATIENCE:.0f} s: {self.tool.last_words()}")
        return left

    def wait_until_right(self):
        wanted, started = rendered(self.entries), time.monotonic()
        while not os.path.exists(self.destination) or self.content() != wanted:
            if self.tool.has_ended():
                raise RuntimeError(f"{self.name} ended: {self.tool.last_words()}")
            select.select([self.inotify], [], [], min(1.0, self.patience(started)))
            self.inotify.events()

    def wait_until_quiet(self):
        """Until the tool does next to nothing; forgets what happened."""
        self.tool.wait_until_quiet()
        self.inotify.events()

    def require_right_content(self):
        if self.content() != rendered(self.entries):
            raise RuntimeError(f"{self.name}: the file is not what the keys say")
