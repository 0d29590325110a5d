"""A server of one's own on free loopback ports, and a connection that puts keys."""
import base64
import http.client
import json
import os
import shutil
import socket
import time

from .process import Process

KEYS_A_TRANSACTION = 100  # etcd allows 128 operations


class Server:
    """A server of etcd's API on a port and in a directory of its own. Made, it runs; `end` stops it."""

    def __init__(self, directory, end):
        os.makedirs(directory)
        self.data, self.log = f"{directory}/data", f"{directory}/log"
        port, self.peer_port = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        end.callback(lambda: self.process.stop())
        self.start()

    def start(self):
        """Starts it on the data that is there, without waiting for it to answer."""
        self.process = Process(self.argv(), log=self.log)


class Etcd(Server):
    """A single etcd, with its defaults."""

    def __init__(self, directory, end):
        super().__init__(directory, end)
        self.wait_until_healthy()

    def argv(self):
        binary = os.environ.get("ETCD_BIN") or shutil.which("etcd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if not binary:
            raise SystemExit("etcd is missing: install it, or set ETCD_BIN")
        peer = f"http://127.0.0.1:{self.peer_port}"
        return [binary, "--name", "bench", "--data-dir", self.data, "--log-level", "error",
                "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"bench={peer}"]

    def wait_until_healthy(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not self.process.has_ended():
            try:
                connection = http.client.HTTPConnection(self.address, timeout=2)
                connection.request("GET", "/health")
                if b"true" in connection.getresponse().read():
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError(f"etcd does not start: {self.process.last_words()}")

    def load(self, entries):
        """Puts many keys at once."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        puts = [{"request_put": {"key": text64(key), "value": text64(value)}} for key, value in entries.items()]
        for start in range(0, len(puts), KEYS_A_TRANSACTION):
            body = json.dumps({"success": puts[start:start + KEYS_A_TRANSACTION]})
            connection.request("POST", "/v3/kv/txn", body)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"etcd refuses keys: {text[:300]}")
        connection.close()


class Store(Server):
    """waypost's own store, with its defaults."""

    def argv(self):
        binary = os.environ.get("WAYPOST_BIN")
        if not binary:
            raise SystemExit("set WAYPOST_BIN to the binary of waypost")
        return [binary, "store", "--data-dir", self.data, "--listen", self.address]


class Puts:
    """A connection on which several puts may be under way; etcd does them in order."""

    def __init__(self, etcd):
        host, port = etcd.address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def fileno(self):
        return self.socket.fileno()

    def request(self, key, value):
        """The bytes of a put, made beforehand so that the making is not measured."""
        body = json.dumps({"key": text64(key), "value": text64(value)})
        return (f"POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()

    def send(self, requests):
        self.socket.sendall(requests)

    def acknowledged(self):
        """Waits for something to come; gives how many answers that completes."""
        self.received += self.socket.recv(1 << 16) or self.closed()
        count = 0
        while b"\r\n\r\n" in self.received:
            head, rest = self.received.split(b"\r\n\r\n", 1)
            # Go's server gives the length of answers below 2 KiB, and a put's is.
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            if len(rest) < length:
                break
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(f"etcd refuses a put: {rest[:300]}")
            self.received = rest[length:]
            count += 1
        return count

    def put_all(self, requests):
        """Sends the requests and waits for all answers."""
        self.send(b"".join(requests))
        missing = len(requests)
        while missing:
            missing -= self.acknowledged()

    def closed(self):
        raise ConnectionError("etcd closed the connection")

    def close(self):
        self.socket.close()


def text64(text):
    return base64.b64encode(text.encode()).decode()


def free_ports(count):
    """Ports that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
