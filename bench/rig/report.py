"""Markdown tables of what was measured, and whether what is asked of waypost holds."""
import os
import platform
import subprocess
import time

from .measured import median, ninetieth, ratio, ratio_by_round

BASE, SUBJECT = "floor", "waypost"

# What is asked: waypost's median by the floor's, at most, by the number of keys, on a tmpfs.
AT_MOST = {10: 1.3, 1_000: 1.3, 10_000: 1.5}
# "Does not grow", "costs the same": what two measurements of one thing may differ by.
SAME = 1.25


def machine(args):
    def file_system(directory):
        return subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True).stdout.strip()

    return (f"# waypost's benchmark, {time.strftime('%Y-%m-%d')}\n\n"
            f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the start; "
            f"{args.tmpfs} is {file_system(args.tmpfs)}, {args.disk} is {file_system(args.disk)}; "
            f"{args.changes} changes a lane.")


def latency(place, rows):
    bases = {keys: measured for keys, name, measured in rows if name == BASE}
    table = Table("keys", "tool", "reload p50 ms", "p90", "file p50 ms", f"÷ {BASE}", "of the rounds",
                  "CPU ms a change", "etcd's CPU ms a change", "RSS MiB idle")
    verdicts = []
    for keys, name, measured in rows:
        base = bases.get(keys)
        quotient, rounds = ("", "") if base in (None, measured) else quotients(measured, base)
        table.add(f"{keys:,}", name, ms(median(measured.reload())), ms(ninetieth(measured.reload())),
                  ms(median(measured.file())), quotient, rounds, ms(median(measured.tool_cpu)),
                  ms(median(measured.etcd_cpu)), f"{measured.memory:.1f}")
        if place.name == "tmpfs" and name == SUBJECT and base and keys in AT_MOST:
            verdicts.append(verdict(f"{keys:,} keys, {SUBJECT} ÷ {BASE}", ratio(measured, base), AT_MOST[keys]))
    ours = [(keys, measured) for keys, name, measured in rows if name == SUBJECT]
    if len(ours) > 1:
        (fewest, first), (most, last) = ours[0], ours[-1]
        grown = median(last.etcd_cpu) / median(first.etcd_cpu)
        verdicts.append(verdict(f"etcd's CPU a change, {most:,} keys ÷ {fewest:,} keys", grown, SAME))
    synced = "file and directory fsynced" if place.fsync else "the floor does not fsync"
    return section(f"From sending a put to the reload having run: {place.name}, {synced}", table, verdicts)


def others(count, changed, rows):
    alone = {name: measured for what, name, measured in rows if what == "alone"}
    table = Table("tool", "ten keys", "reload p50 ms", "p90", "÷ alone", "of the rounds", "CPU ms a change",
                  "÷ alone", "etcd's CPU ms a change")
    verdicts = []
    for what, name, measured in rows:
        base = alone[name]
        cpu = median(measured.tool_cpu) / median(base.tool_cpu)
        quotient, rounds = ("", "") if measured is base else quotients(measured, base)
        table.add(name, what, ms(median(measured.reload())), ms(ninetieth(measured.reload())), quotient, rounds,
                  ms(median(measured.tool_cpu)), "" if measured is base else f"{cpu:.2f}",
                  ms(median(measured.etcd_cpu)))
        if name == SUBJECT and measured is not base:
            verdicts.append(verdict(f"{what}: time ÷ alone", ratio(measured, base), SAME))
            verdicts.append(verdict(f"{what}: CPU ÷ alone", cpu, SAME))
    title = f"Ten keys beside {count:,} others; `changing`: {changed} others are put before each change"
    return section(title, table, verdicts)


def burst(puts, keys, rows):
    table = Table("tool", "puts took ms", "writes", "reloads", "right after the last ack ms", "last reload after it ms",
                  "CPU ms")
    for name, bursts in rows:
        def middle(what):
            return median([burst[what] for burst in bursts])
        table.add(name, f"{middle('puts') * 1000:.0f}", f"{middle('writes'):.0f}", f"{middle('reloads'):.0f}",
                  ms(middle("right")), ms(middle("reloaded")), f"{middle('cpu') * 1000:.0f}")
    title = f"{puts:,} puts at once on {keys:,} keys, medians of {len(rows[0][1])}; the file ended right in all"
    return section(title, table, [])


def quotients(measured, base):
    low, high = ratio_by_round(measured, base)
    return f"{ratio(measured, base):.2f}", f"{low:.2f}–{high:.2f}"


def verdict(what, value, bound):
    return f"- {what}: {value:.2f}, at most {bound} is asked: {'holds' if value <= bound else '**DOES NOT HOLD**'}"


def section(title, table, verdicts):
    return "\n".join([f"## {title}", "", table.text(), "", *verdicts, *([""] if verdicts else [])])


def ms(seconds):
    return f"{seconds * 1000:.2f}"


class Table:
    def __init__(self, *header):
        self.rows = [header]

    def add(self, *cells):
        self.rows.append(cells)

    def text(self):
        header, *rows = ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([header, "|---" * len(self.rows[0]) + "|", *rows])
