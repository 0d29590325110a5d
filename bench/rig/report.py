"""Markdown tables of what was measured, and whether what is asked of waypost holds."""
import os
import platform
import subprocess
import time

from .measured import median, ninetieth, ratio, ratio_by_round, ratios_by_round

BASE, SUBJECT = "floor", "waypost"

# What is asked: waypost's median by the floor's, at most, by the number of keys, on a tmpfs.
AT_MOST = {10: 1.3, 1_000: 1.3, 10_000: 1.5}
# Of the store, beside etcd: at least its throughput, at most its memory.
STORE = "store"
ASKED_OF_STORE = {("puts", "1/s"), ("gets", "1/s"), ("range", "ms"), ("events in a burst", "1/s"), ("RSS", "MiB")}
# "Does not grow", "costs the same": what two measurements of one thing may differ by.
SAME = 1.25


def machine(args):
    def file_system(directory):
        return subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True).stdout.strip()

    rounds = {"store": f"{args.rounds} rounds of {args.seconds} s",
              "start": f"{args.runs} runs"}.get(args.what, f"{args.changes} changes a lane")
    return (f"# waypost's benchmark, {time.strftime('%Y-%m-%d')}\n\n"
            f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the start; "
            f"{args.tmpfs} is {file_system(args.tmpfs)}, {args.disk} is {file_system(args.disk)}; "
            f"{rounds}.")


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


def servers(title, names, table):
    """Two or more servers, each beside the last of them."""
    *subjects, base = names
    columns = [column for name in subjects for column in (name, f"÷ {base}", "quartiles")]
    text, verdicts = Table("", "figure", *columns, base), []
    for (what, figure, unit), lanes in table.items():
        cells = []
        for name in subjects:
            # Of the rounds, not of the medians: what else the machine does changes more from round to round
            # than within one.
            quotient = median([mine / theirs for mine, theirs in zip(lanes[name], lanes[base])])
            low, high = ratios_by_round(lanes[name], lanes[base])
            cells += [spread(lanes[name]), f"{quotient:.2f}", f"{low:.2f}–{high:.2f}"]
            if name == STORE and (figure, unit) in ASKED_OF_STORE:
                verdicts.append(verdict(f"{figure}, {what}: {STORE} ÷ {base}", quotient, 1, unit != "1/s"))
        text.add(what, f"{figure}, {unit}", *cells, spread(lanes[base]))
    return section(title, text, verdicts)


def spread(values):
    """The median, and the least and the most."""
    digits = 0 if median(values) >= 100 else 1 if median(values) >= 10 else 2
    middle, low, high = (f"{value:,.{digits}f}" for value in (median(values), min(values), max(values)))
    return f"{middle} ({low}–{high})"


def quotients(measured, base):
    low, high = ratio_by_round(measured, base)
    return f"{ratio(measured, base):.2f}", f"{low:.2f}–{high:.2f}"


def verdict(what, value, bound, at_most=True):
    holds = value <= bound if at_most else value >= bound
    asked = f"at {'most' if at_most else 'least'} {bound} is asked"
    return f"- {what}: {value:.2f}, {asked}: {'holds' if holds else '**DOES NOT HOLD**'}"


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
