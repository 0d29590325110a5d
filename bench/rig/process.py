"""A child process: started, measured, ended."""
import os
import subprocess
import time


class Process:
    def __init__(self, argv, log):
        with open(log, "ab") as output:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.log = log

    def cpu(self):
        """Seconds of CPU time that all its threads have used, without its children's."""
        # clock_getcpuclockid(3): the clock of another process is named by its inverted id.
        return time.clock_gettime_ns((~self.child.pid << 3) | 2) / 1e9

    def wait_until_quiet(self):
        """Until it has used next to no CPU time for a while."""
        before, now = 0.0, self.cpu()
        while now - before > 0.01:
            time.sleep(0.3)
            before, now = now, self.cpu()

    def memory(self, field="VmRSS"):
        """MiB resident now; with VmHWM, at the most so far."""
        with open(f"/proc/{self.child.pid}/status") as status:
            line = next(line for line in status if line.startswith(field))
        return int(line.split()[1]) / 1024

    def share(self, field="Pss"):
        """MiB of memory, that which others map too counted in parts; with Anonymous, without mapped files."""
        with open(f"/proc/{self.child.pid}/smaps_rollup") as rollup:
            line = next(line for line in rollup if line.startswith(f"{field}:"))
        return int(line.split()[1]) / 1024

    def last_words(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-600:].strip() or "nothing in its log"

    def has_ended(self):
        return self.child.poll() is not None

    def stop(self):
        if self.has_ended():
            return
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        """Ends it without a word of warning."""
        self.child.kill()
        self.child.wait()
