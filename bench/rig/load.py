"""Runs the load (src/load) against a server, and reads what it says."""
import json
import os
import select
import subprocess
import time

PATIENCE = 60.0  # seconds for a server to answer


class Load:
    """One run of it; it has started when this returns."""

    def __init__(self, url, measurement, **settings):
        binary = os.environ.get("LOAD_BIN")
        if not binary:
            raise SystemExit("set LOAD_BIN to the binary of the load")
        numbers = [f"{name}={number}" for name, number in settings.items() if number is not None]
        self.argv, self.started = [binary, measurement, url, *numbers], time.monotonic()
        self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)

    def line(self, server=None):
        """Waits for its line, as long as the server has not ended; gives what it says and when it came."""
        while server and not server.has_ended() and not select.select([self.child.stdout], [], [], 0.2)[0]:
            if time.monotonic() > self.started + PATIENCE:
                raise RuntimeError(f"no answer for {PATIENCE:.0f} s: {server.last_words()}")
        if server and server.has_ended():
            raise RuntimeError(f"the server ended: {server.last_words()}")
        line = self.child.stdout.readline()
        return (json.loads(line), time.monotonic()) if line else self.failed()

    def finish(self):
        """Waits for its end. It has checked the server by then."""
        if self.child.wait() != 0:
            self.failed()
        self.close()

    def failed(self):
        said = self.child.stderr.read().strip()
        self.stop()
        raise RuntimeError(f"{' '.join(self.argv)}: {said}")

    def stop(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self.close()

    def close(self):
        self.child.stdout.close()
        self.child.stderr.close()


def run(url, measurement, **settings):
    """What it says."""
    load = Load(url, measurement, **settings)
    try:
        said, _ = load.line()
        load.finish()
        return said
    except BaseException:
        load.stop()
        raise
