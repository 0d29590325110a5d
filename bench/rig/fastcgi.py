"""php-fpm with a configuration of its own, and requests to it over FastCGI, without a web server between."""
import os
import shutil
import socket
import struct
import time

from .process import Process

BEGIN, END, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7
RESPONDER, KEEP = 1, 1

POOL = '''[global]
error_log = {log}
daemonize = no
[bench]
listen = {socket}
pm = static
pm.max_children = 1
catch_workers_output = yes
{environment}
'''


class Fpm:
    """One child, so that what is cached for a child is cached for the next request."""

    def __init__(self, directory, settings, environment, end):
        os.makedirs(directory)
        self.socket, log, conf = (f"{directory}/{name}" for name in ("socket", "log", "conf"))
        with open(conf, "w") as file:
            variables = "\n".join(f"env[{name}] = {value}" for name, value in environment.items())
            file.write(POOL.format(log=log, socket=self.socket, environment=variables))
        binary = os.environ.get("PHP_FPM_BIN") or shutil.which("php-fpm8.2", path=os.environ["PATH"] + ":/usr/sbin")
        if not binary:
            raise SystemExit("php-fpm8.2 is missing: install it, or set PHP_FPM_BIN")
        flags = [word for name, value in settings.items() for word in ("-d", f"{name}={value}")]
        root = ["-R"] if os.geteuid() == 0 else []
        self.process = Process([binary, "--nodaemonize", *root, "--fpm-config", conf, *flags], log=log)
        end.callback(self.process.stop)
        self.connection = None
        end.callback(self.close)

    def close(self):
        if self.connection:
            self.connection.close()

    def get(self, script, **query):
        """The body of the script's answer."""
        query = "&".join(f"{name}={value}" for name, value in query.items())
        params = {"SCRIPT_FILENAME": script, "SCRIPT_NAME": "/", "REQUEST_METHOD": "GET", "QUERY_STRING": query,
                  "REQUEST_URI": f"/?{query}", "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1"}
        pairs = b"".join(pair(name, value) for name, value in params.items())
        self.connection = self.connection or self.connect()
        self.connection.sendall(record(BEGIN, struct.pack("!HB5x", RESPONDER, KEEP)) + record(PARAMS, pairs)
                                + record(PARAMS, b"") + record(STDIN, b""))
        head, _, body = self.answer().partition(b"\r\n\r\n")
        if b"Status:" in head or not body:
            raise RuntimeError(f"{script}?{query}: {head.decode()} {body.decode()[-600:]}")
        return body.decode()

    def connect(self):
        deadline = time.monotonic() + 10
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(30)
            try:
                connection.connect(self.socket)
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > deadline or self.process.has_ended():
                    raise RuntimeError(f"php-fpm does not start: {self.process.last_words()}") from None
                time.sleep(0.02)

    def answer(self):
        said = b""
        while True:
            kind, length, padding = struct.unpack("!xB2xHBx", self.read(8))
            content = self.read(length + padding)[:length]
            if kind == STDOUT:
                said += content
            elif kind == STDERR:
                raise RuntimeError(content.decode())
            elif kind == END:
                return said

    def read(self, count):
        data = b""
        while len(data) < count:
            data += self.connection.recv(count - len(data)) or self.closed()
        return data

    def closed(self):
        raise ConnectionError(f"php-fpm closed the connection: {self.process.last_words()}")


def record(kind, content):
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def pair(name, value):
    def length(text):
        return bytes([len(text)]) if len(text) < 128 else struct.pack("!I", len(text) | 1 << 31)

    name, value = name.encode(), value.encode()
    return length(name) + length(value) + name + value
