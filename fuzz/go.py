#!/usr/bin/env python3
"""Renders random templates with Go's text/template and with waypost, and lists where the two differ.

  go.py [--seed N] [--cases N]

ORACLE_BIN and CONFORMANCE_BIN name the two programs: `cargo xtask fuzz --go` builds and sets them. The templates are
plausible, so that most of them render: values of a type go where that type is wanted, but for one in ten. What Go
versions since 1.19, Debian's, have changed is left out: range over an integer, `else with`, printf's zeros for
strings and beside a minus, and what becomes of ill-formed UTF-8 when it is split by "".
"""
import argparse
import base64
import json
import os
import random
import subprocess
import sys

KEYS = {"/srv/a": "10.0.0.1:80", "/srv/b": "10.0.0.2:80", "/n": "2", "/e": "", "/text": "a<b>&'\"\\ \té世\u2028",
        "/json": '{"a":1,"b":[1,"x",null,{"c":true}],"d":{"e":"f"},"n":-1.5e10,"z":null,"s":""}'}
STRINGS = ['"a"', '"abc"', '""', '"é世"', '`r\\n`', '"a\\tb\\"<&>"', '"%d"', '"10"', '(getv "/n")', '(getv "/text")',
           '(getv "/e")', '"\\xff\\u200b"']
INTS = ["0", "1", "2", "3", "-1", "-7", "0x1F", "'a'", "9223372036854775807", "-9223372036854775808", "1_000"]
FLOATS = ["1.5", "0.0", "-0.25", "1e6", "1e20", "2.5", "1e-7", "123456.75", "0x1p-2", "1.0"]
LISTS = ["(list)", "(list 1 2 3)", '(list "b" nil 1.5 true)', '(list (list 1) (dict "k" "v"))', "(seq 1 3)",
         "(seq 3 -1)", '(split "a,b,c" ",")', '(gets "/srv/*")', '(getvs "/srv/*")', '(gets "/none/*")',
         '(lsdir "/")', '$j.b']
MAPS = ['(dict)', '(dict "a" 1 "b" (list 1))', '(json (getv "/json"))', '(dict "x" nil "é" "y")', "$j", "$j.d"]
OTHERS = ["nil", "$j.z", "$j.none", "$j.none.more", ".", "$", ".Key", "(get \"/srv/a\")", '(get "/srv/a").Value', "1i"]
SEPARATORS = ['","', '"a"', '"."', '"世"', '"<&"', "1"]
VERBS = "vvvvdsqxXtTeEfFgGcUbo"


class Maker:
    """Makes one template; what it may use depends on where it is."""

    def __init__(self, seed):
        self.random, self.variables, self.loops, self.defined = random.Random(seed), [], 0, []

    def chance(self, one_in):
        return self.random.randrange(one_in) == 0

    def pick(self, choices):
        return self.random.choice(choices)

    def text(self):
        return self.pick(["", " ", "x", "\n", " a\n  b ", "é", "-", "{ ", "}", "\t|"])

    def action(self, inside):
        left, right = self.pick(["{{", "{{", "{{", "{{- "]), self.pick(["}}", "}}", "}}", " -}}"])
        return left + inside + right

    def template(self):
        body = "{{$j := json (getv \"/json\")}}" + self.block(3)
        return body + "".join(f'{{{{define "{name}"}}}}{text}{{{{end}}}}' for name, text in self.defined)

    def block(self, depth):
        known = len(self.variables)
        made = "".join(self.text() + self.statement(depth) for _ in range(self.random.randrange(1, 4))) + self.text()
        del self.variables[known:]
        return made

    def statement(self, depth):
        kinds = [self.printed, self.printed, self.printed, self.declared, self.assigned]
        if depth > 0:
            kinds += [self.conditional, self.conditional, self.ranged, self.ranged, self.scoped, self.called]
        if self.loops > 0:
            kinds.append(self.left)
        return self.pick(kinds)(depth)

    def printed(self, _):
        return self.action(self.pipeline())

    def declared(self, _):
        name = self.pick(["$a", "$b", "$c"])
        made = self.action(f"{name} := {self.pipeline()}")
        self.variables.append(name)
        return made

    def assigned(self, depth):
        if not self.variables:
            return self.declared(depth)
        return self.action(f"{self.pick(self.variables)} = {self.pipeline()}")

    def conditional(self, depth):
        made = self.action(f"if {self.head()}") + self.block(depth - 1)
        while self.chance(3):
            made += self.action(f"else if {self.head()}") + self.block(depth - 1)
        if self.chance(2):
            made += self.action("else") + self.block(depth - 1)
        return made + self.action("end")

    def ranged(self, depth):
        known = len(self.variables)
        names = self.pick([[], [], ["$v"], ["$i", "$v"]])
        head = ", ".join(names) + (" := " if names else "")
        over = self.pick(LISTS + MAPS)
        self.variables += names
        self.loops += 1
        made = self.action(f"range {head}{over}") + self.block(depth - 1)
        self.loops -= 1
        del self.variables[known:]
        if self.chance(3):
            made += self.action("else") + self.block(depth - 1)
        return made + self.action("end")

    def scoped(self, depth):
        made = self.action(f"with {self.head()}") + self.block(depth - 1)
        if self.chance(2):
            made += self.action("else") + self.block(depth - 1)
        return made + self.action("end")

    def called(self, depth):
        """A template of its own, which sees no variables; `$j` is declared anew in it."""
        name = f"t{len(self.defined)}"
        argument = self.value()
        outer, self.variables, loops, self.loops = self.variables, [], self.loops, 0
        self.defined.append(None)
        body = "{{$j := json (getv \"/json\")}}" + self.block(depth - 1)
        self.variables, self.loops = outer, loops
        at = int(name[1:])
        if self.chance(3):
            self.defined[at] = (f"unused{at}", "")
            return f'{{{{block "{name}" {argument}}}}}{body}{{{{end}}}}'
        self.defined[at] = (name, body)
        return self.action(f'template "{name}" {argument}')

    def left(self, _):
        return self.action(f"if {self.boolean()}") + self.action(self.pick(["break", "continue"])) + self.action("end")

    def head(self):
        return self.pipeline() if self.chance(3) else self.pick([self.boolean, self.value])()

    def pipeline(self):
        made = self.pick([self.value, self.call, self.call])()
        while self.chance(4):
            made += " | " + self.pick(["print", "printf \"%v|%s\" 1", "html", "js", "urlquery", "len", "not", "toUpper",
                                       "printf \"%q\"", "and true", "or \"\"", "eq 1", "index (list 1 2 3)", "println"])
        return made

    def value(self):
        if self.variables and self.chance(3):
            return self.pick(self.variables)
        return self.pick([self.string, self.integer, self.float, self.list, self.map, self.other, self.boolean,
                          lambda: f"({self.call()})"])()

    def or_any(self, make):
        """What is wanted, and one time in twelve something else."""
        return self.value() if self.chance(12) else make()

    def string(self):
        return self.pick(STRINGS)

    def integer(self):
        return self.pick(INTS)

    def float(self):
        return self.pick(FLOATS)

    def list(self):
        return self.pick(LISTS)

    def map(self):
        return self.pick(MAPS)

    def other(self):
        return self.pick(OTHERS)

    def boolean(self):
        return self.pick(["true", "false", f"({self.compared()})", f"(not {self.value_flat()})"])

    def value_flat(self):
        return self.pick(STRINGS + INTS + FLOATS + LISTS + MAPS + OTHERS + self.variables)

    def compared(self):
        same = self.pick([STRINGS, INTS, FLOATS])
        arguments = [self.pick(same) for _ in range(2)]
        name = self.pick(["eq", "eq", "ne", "lt", "le", "gt", "ge"])
        if name == "eq" and self.chance(3):
            arguments.append(self.value_flat())
        if self.chance(6):
            arguments[1] = self.value_flat()
        return f"{name} {' '.join(arguments)}"

    def format(self):
        made = ""
        for _ in range(self.random.randrange(1, 4)):
            flags = self.pick(["", "", "", "#", "+", " ", "-", "+#"])
            width = self.pick(["", "", "", "5", "12", "[1]*", "*"])
            precision = self.pick(["", "", "", ".2", ".0", ".", ".[2]*"])
            index = self.pick(["", "", "", "", "[1]", "[2]", "[9]"])
            made += self.pick(["", "|", "x"]) + "%" + flags + width + precision + index + self.pick(VERBS)
        return f'"{made}"'

    def call(self):
        arguments = lambda count: " ".join(self.value_flat() for _ in range(count))  # noqa: E731
        string, integer = (lambda: self.or_any(self.string)), (lambda: self.or_any(self.integer))
        listed, mapped = (lambda: self.or_any(self.list)), (lambda: self.or_any(self.map))
        some = self.random.randrange(0, 4)
        return self.pick([
            lambda: f"printf {self.format()} {arguments(some)}",
            lambda: f"printf {self.format()} {arguments(some)}",
            lambda: f"{self.pick(['print', 'println', 'html', 'js', 'urlquery'])} {arguments(some)}",
            lambda: f"{self.pick(['html', 'js', 'urlquery'])} {string()}",
            lambda: f"index {listed()} {integer()}",
            lambda: f"index {mapped()} {string()}",
            lambda: f"index {string()} {integer()}",
            lambda: f"slice {self.pick([string, listed])()} {' '.join(self.pick(['0', '1', '2', '3']) for _ in range(some))}",
            lambda: f"len {self.pick([string, listed, mapped])()}",
            self.compared,
            lambda: f"{self.pick(['and', 'or'])} {arguments(some + 1)}",
            lambda: f"not {self.value_flat()}",
            lambda: f"{self.pick(['add', 'sub', 'mul', 'div', 'mod'])} {integer()} {integer()}",
            lambda: f"{self.pick(['toUpper', 'toLower', 'base', 'dir'])} {string()}",
            lambda: f"split {string()} {self.pick(SEPARATORS)}",
            lambda: f"join {listed()} {string()}",
            lambda: f"replace {string()} {string()} {string()} {integer()}",
            lambda: f"list {arguments(some)}",
            lambda: f"dict {string()} {self.value_flat()}",
        ])()


def results(binary, cases):
    done = subprocess.run([binary], input="".join(json.dumps(case) + "\n" for case in cases), check=True,
                          capture_output=True, text=True).stdout
    return [json.loads(line) for line in done.split("\n") if line]


def outcome(result):
    if "output_base64" in result:
        return base64.b64decode(result["output_base64"])
    return result["output"].encode() if "output" in result else result["error"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--cases", type=int, default=20_000)
    args = parser.parse_args()
    cases = [{"name": str(seed), "template": Maker(seed).template(), "keys": KEYS}
             for seed in range(args.seed, args.seed + args.cases)]
    ours, theirs = (results(os.environ[name], cases) for name in ("CONFORMANCE_BIN", "ORACLE_BIN"))
    differing = [(case, own, go) for case, own, go in zip(cases, ours, theirs) if outcome(own) != outcome(go)]
    rendered = sum("error" not in result for result in theirs)
    for case, own, go in sorted(differing, key=lambda found: len(found[0]["template"]))[:20]:
        print(f"{case['template']!r}\n  Go:      {shown(go)}\n  waypost: {shown(own)}\n")
    print(f"seed {args.seed}: {args.cases} templates, of which Go rendered {rendered}; {len(differing)} differ")
    sys.exit(1 if differing else 0)


def shown(result):
    return repr(outcome(result)) + (f" {result['message'].splitlines()[0]}" if "message" in result else "")


if __name__ == "__main__":
    main()
