#!/usr/bin/env python3
"""Measures what a look-up of a service costs an application: in Rust from memory, in PHP under php-fpm from the file that
the agent writes, beside the alternatives; in one run, taking turns. README.md says how."""
import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from tempfile import TemporaryDirectory

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig.etcd import Etcd, text64  # noqa: E402
from rig.fastcgi import Fpm  # noqa: E402
from rig.measured import median, ratios_by_round  # noqa: E402
from rig.process import Process  # noqa: E402
from rig.report import Table, section, verdict  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
KEY, VALUE = "/services/db/1", json.dumps({"address": "127.0.0.1:3306", "port": 3306, "user": "app"})
WAYS = {
    "constant": "include of the agent's file, a constant array",
    "bundle": "the package: `$source->records('db')`",
    "object": "the package: `$source->get('db')->first()`",
    "apcu": "APCu",
    "json": "a JSON file, read and decoded",
    "redis": "Redis, Unix socket, kept",
    "socket": "the agent's socket",
    "etcd": "etcd's JSON gateway, curl",
}
# What is asked: Rust's look-up in nanoseconds, and the package's by the include of a constant, at most.
RUST_NS, BUNDLE = 30, 2


# Requests of one way in a row, and those before them that do not count.
A_TURN, WARM_UP = 25, 5


class Arrangement(ExitStack):
    """etcd, Redis, the agent with its socket and file, and php-fpm, in a fresh directory."""

    def __init__(self, tmpfs):
        super().__init__()
        self.directory = self.enter_context(TemporaryDirectory(prefix="waypost-bench-", dir=tmpfs))
        self.services = f"{self.directory}/services.php"
        self.socket, self.redis = f"{self.directory}/api.sock", f"{self.directory}/redis.sock"
        self.etcd = Etcd(f"{self.directory}/etcd", self)
        self.etcd.load({KEY: VALUE})
        self.start_redis()
        self.start_agent()
        self.fpm = self.start_fpm()

    def start(self, name, *argv):
        binary = os.environ.get(f"{name.upper().replace('-', '_')}_BIN") or shutil.which(name)
        if not binary:
            raise SystemExit(f"{name} is missing")
        process = Process([binary, *argv], log=f"{self.directory}/{name}.log")
        self.callback(process.stop)
        return process

    def start_redis(self):
        process = self.start("redis-server", "--port", "0", "--unixsocket", self.redis, "--save", "",
                             "--dir", self.directory)
        wait_for(lambda: os.path.exists(self.redis), process)
        ask = ["redis-cli", "-s", self.redis, "set", "db", VALUE]
        subprocess.run(ask, check=True, stdout=subprocess.DEVNULL)

    def start_agent(self):
        conf = f"{self.directory}/etc"
        os.makedirs(f"{conf}/conf.d")
        with open(f"{conf}/waypost.toml", "w") as file:
            file.write(f'[api]\nsocket = "{self.socket}"\n')
        for form in ("php", "json"):
            with open(f"{conf}/conf.d/{form}.toml", "w") as file:
                file.write(f'[template]\nservices = ["db"]\ndest = "{self.directory}/services.{form}"\n')
        process = self.start("waypost", "run", "--node", self.etcd.url, "--confdir", conf,
                             "--state-dir", f"{self.directory}/state")
        files = [self.services, f"{self.directory}/services.json", self.socket]
        wait_for(lambda: all(os.path.exists(file) for file in files), process)

    def start_fpm(self):
        environment = {"WAYPOST_PHP": f"{HERE}/../clients/symfony/src", "SERVICES": self.services,
                       "SOCKET": self.socket, "REDIS_SOCKET": self.redis, "ETCD": self.etcd.url}
        settings = {"opcache.enable": 1, "opcache.file_update_protection": 0, "apc.enabled": 1}
        return Fpm(f"{self.directory}/fpm", settings, environment, self)

    def in_php(self, requests, again, order):
        """By way, the first look-up of a request and the median of those after it: medians, in nanoseconds.

        The ways take turns after a few requests: a core's clock changes within a second. What the way before left
        in the processor's caches is gone by then.
        """
        answers = {way: [] for way in WAYS}
        for _ in range(requests // A_TURN):
            for way in order.sample(list(WAYS), len(WAYS)):
                turn = [self.fpm.get(f"{HERE}/php/lookup.php", way=way, again=again)
                        for _ in range(WARM_UP + A_TURN)]
                answers[way] += [[int(number) for number in answer.split()] for answer in turn[WARM_UP:]]
        return {way: tuple(map(median, zip(*each))) for way, each in answers.items()}

    def in_rust(self):
        """By way, how long one look-up takes, in nanoseconds."""
        asks, http = os.environ["ASKS_BIN"], f"/v1/services/db"
        body = json.dumps({"key": text64(KEY)})
        return {
            "from memory": number(os.environ["LOOKUP_BIN"]),
            "Redis, Unix socket, kept": number(asks, "2000", f"unix:{self.redis}", "redis", "db"),
            "the agent's socket, kept": number(asks, "2000", f"unix:{self.socket}", "http", "waypost", http),
            "etcd's JSON gateway, kept": number(asks, "1000", self.etcd.address, "http", "etcd", "/v3/kv/range", body),
        }


def number(*command):
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def wait_for(condition, process):
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline or process.has_ended():
            raise RuntimeError(f"it does not start: {process.last_words()}")
        time.sleep(0.01)


def measure(args):
    """What was measured in PHP and in Rust, round by round; the first round only warms up."""
    php, rust, order = {way: [] for way in WAYS}, {}, random.Random(1)
    with Arrangement(args.tmpfs) as arrangement:
        for round_number in range(args.rounds + 1):
            print(f"round {round_number} of {args.rounds}", file=sys.stderr)
            for way, measured in arrangement.in_php(args.requests, args.again, order).items():
                if round_number > 0:
                    php[way].append(measured)
            for way, took in arrangement.in_rust().items():
                if round_number > 0:
                    rust.setdefault(way, []).append(took)
    return php, rust


def report_php(measured):
    base = [first for first, _ in measured["constant"]]
    table = Table("look-up in PHP under php-fpm", "first in a request µs", "÷ constant", "quartiles", "repeated µs")
    quotients = {}
    for way, rounds in measured.items():
        first, repeated = zip(*rounds)
        quotients[way] = median([one / other for one, other in zip(first, base)])
        low, high = ratios_by_round(first, base)
        table.add(WAYS[way], f"{median(first) / 1000:.2f}", f"{quotients[way]:.2f}", f"{low:.2f}–{high:.2f}",
                  f"{median(repeated) / 1000:.2f}")
    verdicts = [verdict("the package ÷ a constant", quotients["bundle"], BUNDLE)]
    return section("A look-up in PHP, opcache on", table, verdicts)


def report_rust(measured):
    table = Table("look-up in Rust", "median ns", "÷ memory")
    for way, rounds in measured.items():
        quotient = median([one / other for one, other in zip(rounds, measured["from memory"])])
        table.add(way, f"{median(rounds):,.1f}", f"{quotient:,.0f}")
    return section("A look-up in Rust", table, [verdict("from memory, ns", median(measured["from memory"]), RUST_NS)])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200, help="of each way in a round")
    parser.add_argument("--again", type=int, default=50, help="look-ups after the first in a request")
    parser.add_argument("--tmpfs", default="/dev/shm", help="a directory on a tmpfs")
    args = parser.parse_args()
    print(f"# waypost's benchmark of look-ups, {time.strftime('%Y-%m-%d')}\n\n"
          f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the start; "
          f"{args.rounds} rounds of {args.requests} requests a way.\n", flush=True)
    php, rust = measure(args)
    print(report_php(php))
    print(report_rust(rust))


if __name__ == "__main__":
    main()
