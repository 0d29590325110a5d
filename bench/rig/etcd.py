"""An etcd of one's own on free loopback ports, and a connection that puts keys."""
import base64
import http.client
import json
import os
import shutil
import socket
import time

from .process import Process

KEYS_A_TRANSACTION = 100  # etcd allows 128 operations


class Etcd:
    """A single server. Its data is to be on a tmpfs: what a put costs it is then the same for every tool."""

    def __init__(self, directory, end):
        binary = os.environ.get("ETCD_BIN") or shutil.which("etcd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if not binary:
            raise SystemExit("etcd is missing: install it, or set ETCD_BIN")
        os.makedirs(directory)
        port, peer_port = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        peer = f"http://127.0.0.1:{peer_port}"
        self.process = Process(
            [binary, "--name", "bench", "--data-dir", f"{directory}/data", "--log-level", "error",
             "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", f"bench={peer}"],
            log=f"{directory}/log")
        end.callback(self.process.stop)
        self.wait_until_healthy()

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
