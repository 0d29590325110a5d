"""What was measured on a lane, and the few statistics that are quoted."""
import statistics


class Measured:
    """Times in seconds of single changes, and CPU seconds a change, turn by turn."""

    def __init__(self, memory):
        self.memory = memory  # MiB, before the first change
        self.turns, self.tool_cpu, self.etcd_cpu = [], [], []

    def add(self, times, tool_cpu, etcd_cpu):
        self.turns.append(times)
        self.tool_cpu.append(tool_cpu)
        self.etcd_cpu.append(etcd_cpu)

    def file(self):
        return [file for turn in self.turns for file, _ in turn]

    def reload(self):
        return [reload for turn in self.turns for _, reload in turn]

    def reload_by_turn(self):
        return [statistics.median(reload for _, reload in turn) for turn in self.turns]


median = statistics.median


def ninetieth(values):
    return sorted(values)[round(0.9 * (len(values) - 1))]


def ratio(measured, base):
    return median(measured.reload()) / median(base.reload())


def ratio_by_round(measured, base):
    """The quartiles of the ratio within each round: how far the ratio can be trusted."""
    return ratios_by_round(measured.reload_by_turn(), base.reload_by_turn())


def ratios_by_round(values, base):
    """The same of any values, one a round."""
    ratios = [a / b for a, b in zip(values, base)]
    if len(ratios) < 2:
        return ratios * 2
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, high
