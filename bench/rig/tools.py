"""The tools that are compared: how each is started, and the files it wants."""
import os

# The keys are /bench/web/00000 and so on; those of others begin like them, and are not below them.
PREFIX, KEYS = "/bench", "/web"
OTHERS = "/bench/web-other"

# What every tool's file is to hold, byte for byte; the floor has it built in (src/main.rs).
TEMPLATE = '''upstream web {
    least_conn;
{{- range gets "/web/*"}}
    server {{.Value}};
{{- end}}
}
'''


class Resource:
    """What conf.d says of a file, apart from where it goes, and its template."""

    def __init__(self, prefix, keys, template):
        self.prefix, self.keys, self.template = prefix, keys, template


UPSTREAM = Resource(PREFIX, KEYS, TEMPLATE)
# One key: from a backend without a network, next to nothing is left but the start.
TINY = Resource("/", "/app/key", 'k = {{getv "/app/key"}}\n')


def rendered(entries):
    lines = "".join(f"    server {entries[key]};\n" for key in sorted(entries))
    return f"upstream web {{\n    least_conn;\n{lines}}}\n".encode()


class Setting:
    """What a tool is told: where etcd is, where its own files go, the file to write, the reload to run."""

    def __init__(self, url, directory, destination, reload=None, fsync=False):
        self.url, self.directory = url, directory
        self.destination, self.reload, self.fsync = destination, reload, fsync


def floor(binary, setting):
    fsync = ["--fsync"] if setting.fsync else []
    return [binary, *fsync, setting.url, f"{PREFIX}{KEYS}/", setting.destination, setting.reload]


def waypost(binary, setting):
    write_resource(setting)
    return [binary, "run", "--node", setting.url, "--confdir", setting.directory,
            "--state-dir", f"{setting.directory}/state"]


def confd(binary, setting):
    """The maintained fork, abtreece/confd."""
    write_resource(setting)
    return confd_in_its_words(binary, setting.directory, "--watch", etcd(setting.url))


def confd_kelsey(binary, setting):
    """The original, kelseyhightower/confd."""
    write_resource(setting)
    return confd_kelsey_in_its_words(binary, setting.directory, "--watch", etcd(setting.url))


class Source:
    """A backend as confd's words name it: those of 0.16, those of 0.41, and its flags in both."""

    def __init__(self, old, new, *flags):
        self.old, self.new, self.flags = old, new, flags


def etcd(url):
    return Source("etcdv3", "etcd", "--node", url)


def waypost_as_confd(binary, directory, task, source):
    return [binary, "confd", task, "--backend", source.old, *source.flags, "--confdir", directory,
            "--state-dir", f"{directory}/state"]


def confd_in_its_words(binary, directory, task, source):
    return [binary, source.new, *source.flags, task, "--confdir", directory, "--log-level", "error"]


def confd_kelsey_in_its_words(binary, directory, task, source):
    return [binary, task, "--backend", source.old, *source.flags, "--confdir", directory,
            "--log-level", "error"]


def write_resource(setting, what=UPSTREAM):
    """The same files for waypost and for confd."""
    reload = f'reload_cmd = """{setting.reload}"""\n' if setting.reload else ""
    resource = f'''[template]
prefix = "{what.prefix}"
keys = ["{what.keys}"]
src = "web.tmpl"
dest = "{setting.destination}"
{reload}'''
    for name, text in (("conf.d/web.toml", resource), ("templates/web.tmpl", what.template)):
        path = f"{setting.directory}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)


class Tool:
    """`start` begins to watch etcd; `as_confd` does a task of confd's, which not every tool can."""

    def __init__(self, name, variable, start, as_confd=None):
        self.name, self.variable, self.start, self.as_confd = name, variable, start, as_confd
        self.binary = os.environ.get(variable)

    def argv(self, setting):
        return self.start(self.binary, setting)


TOOLS = [
    Tool("floor", "FLOOR_BIN", floor),
    Tool("waypost", "WAYPOST_BIN", waypost, waypost_as_confd),
    Tool("confd", "CONFD_BIN", confd, confd_in_its_words),
    Tool("confd-kelsey", "CONFD_KELSEY_BIN", confd_kelsey, confd_kelsey_in_its_words),
]


def chosen(names):
    """The tools of these names; without names, all whose binary is known."""
    if not names:
        return [tool for tool in TOOLS if tool.binary]
    tools = []
    for name in names:
        tool = next((tool for tool in TOOLS if tool.name == name), None)
        if tool is None:
            raise SystemExit(f"no tool is called {name}; there are {', '.join(tool.name for tool in TOOLS)}")
        if not tool.binary:
            raise SystemExit(f"set {tool.variable} to the binary of {name}")
        tools.append(tool)
    return tools
