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


def rendered(entries):
    lines = "".join(f"    server {entries[key]};\n" for key in sorted(entries))
    return f"upstream web {{\n    least_conn;\n{lines}}}\n".encode()


class Setting:
    """What a tool is told: where etcd is, where its own files go, the file to write, the reload to run."""

    def __init__(self, url, directory, destination, reload, fsync):
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
    return [binary, "etcd", "--node", setting.url, "--watch", "--confdir", setting.directory,
            "--log-level", "error"]


def confd_kelsey(binary, setting):
    """The original, kelseyhightower/confd."""
    write_resource(setting)
    return [binary, "-backend", "etcdv3", "-node", setting.url, "-watch", "-confdir", setting.directory,
            "-log-level", "error"]


def write_resource(setting):
    """The same files for waypost and for confd."""
    resource = f'''[template]
prefix = "{PREFIX}"
keys = ["{KEYS}"]
src = "web.tmpl"
dest = "{setting.destination}"
reload_cmd = """{setting.reload}"""
'''
    for name, text in (("conf.d/web.toml", resource), ("templates/web.tmpl", TEMPLATE)):
        path = f"{setting.directory}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)


class Tool:
    def __init__(self, name, variable, start):
        self.name, self.variable, self.start = name, variable, start
        self.binary = os.environ.get(variable)

    def argv(self, setting):
        return self.start(self.binary, setting)


TOOLS = [
    Tool("floor", "FLOOR_BIN", floor),
    Tool("waypost", "WAYPOST_BIN", waypost),
    Tool("confd", "CONFD_BIN", confd),
    Tool("confd-kelsey", "CONFD_KELSEY_BIN", confd_kelsey),
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
