"""Tells when files were replaced or written: the part of inotify(7) that is needed."""
import ctypes
import os
import struct

MODIFIED, CLOSED_AFTER_WRITE, MOVED_HERE = 0x2, 0x8, 0x80

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class Inotify:
    """What happened to the watched paths since the last look."""

    def __init__(self):
        self.descriptor = checked(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self.labels = {}

    def fileno(self):
        return self.descriptor

    def watch(self, path, mask, label):
        self.labels[checked(libc.inotify_add_watch(self.descriptor, path.encode(), mask))] = label

    def events(self):
        """(label, name of the file within a watched directory) of each event that waits."""
        found = []
        while True:
            try:
                data = os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                return found
            while data:
                watch, _mask, _cookie, length = struct.unpack_from("iIII", data)
                found.append((self.labels[watch], data[16:16 + length].rstrip(b"\0").decode()))
                data = data[16 + length:]

    def close(self):
        os.close(self.descriptor)
