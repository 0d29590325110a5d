"""Tables of tools that do what confd does, beside confd: as measured in the same run, or as told."""
from .measured import median, ninetieth
from .report import SUBJECT, Table, section, verdict

PEER = "confd"

# What was measured for confd 0.41 (abtreece/confd, Go 1.27) with keys and templates of the same form, on two
# shared cores of an AMD EPYC. It stands beside waypost where CONFD_BIN is not given. README.md tells more.
TOLD = f"{PEER} 0.41, told"
TOLD_ONCE = {what: {"wall p50 ms": wall, "CPU ms": cpu, "peak RSS MiB": peak} for what, wall, cpu, peak in [
    ("env, 1", 25.0, 21.9, 24.9), ("file, 1", 23.6, 22.9, 24.2), ("etcd, 10", 28.4, 26.6, 27.7),
    ("etcd, 1,000", 40.8, 33.8, 29.1), ("etcd, 10,000", 72.3, 54.4, 37.0),
    ("etcd, 50,000", 242.8, 152.1, 66.7)]}
TOLD_WATCHING = {what: {"RSS MiB": now, "peak MiB": peak} for what, now, peak in [
    ("etcd, 10", 29.3, 29.3), ("etcd, 10,000", 37.6, 37.6), ("etcd, 50,000", 51.1, 60.5)]}
TOLD_SIZE = {"without symbols": {"MiB": 38.7}}


def first_file(place, rows):
    figures = [(what, name, {"wall p50 ms": median(walls) * 1000, "p90": ninetieth(walls) * 1000,
                             "CPU ms": median(cpus) * 1000, "peak RSS MiB": median(peaks)})
               for what, name, times, peaks in rows for walls, cpus in [list(zip(*times))]]
    title = f"One file, from the process's start to its end: {place.name}"
    return beside(title, "keys from", figures, TOLD_ONCE, {"wall p50 ms": "time", "peak RSS MiB": "peak"})


def watching(place, rows):
    figures = [(what, name, {"RSS MiB": median(now), "peak MiB": median(peaks)})
               for what, name, memory in rows for now, peaks in [list(zip(*memory))]]
    title = f"Memory of a process that watches, after the first file: {place.name}"
    return beside(title, "keys from", figures, TOLD_WATCHING, {"RSS MiB": "RSS"})


def sizes(rows):
    figures = [("without symbols", name, {"MiB": size}) for name, size in rows]
    return beside("The binary", "", figures, TOLD_SIZE, {"MiB": "size"})


def beside(title, first, rows, told, asked):
    """Figures of each tool; those in `asked`, with their short names, are to be at most confd's."""
    columns, verdicts = list(rows[0][2]), []
    table = Table(first, "tool", *columns, *(f"{short} ÷ {PEER}" for short in asked.values()))
    rows = rows if any(name == PEER for _, name, _ in rows) else list(with_told(rows, told))
    bases = {what: figures for what, name, figures in rows if name in (PEER, TOLD)}
    for what, name, figures in rows:
        base = bases.get(what, figures)
        ratios = {short: figures[each] / base[each] for each, short in asked.items() if base is not figures}
        table.add(what, name, *(f"{figures[each]:.1f}" if each in figures else "" for each in columns),
                  *(f"{ratios[short]:.2f}" if ratios else "" for short in asked.values()))
        if name == SUBJECT:
            verdicts += [verdict(f"{what}, {short}: {name} ÷ {PEER}", ratios[short], 1) for short in ratios]
    return section(title, table, verdicts)


def with_told(rows, told):
    """With a row of what is told after the last of each case."""
    for at, row in enumerate(rows):
        what = row[0]
        yield row
        if what in told and what not in [later for later, _, _ in rows[at + 1:]]:
            yield what, TOLD, told[what]
