"""stopped.py - one thread of a process that stands still, as if it hung."""
import ctypes
import os
import pathlib


class Stopped:
    """While it is open, the thread of that name does nothing. It takes the right to trace the process."""
    SEIZE, INTERRUPT, DETACH, ALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, pid, name):
        threads = {(t / "comm").read_text().strip(): int(t.name) for t in pathlib.Path(f"/proc/{pid}/task").iterdir()}
        self.tid = threads[name]
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long] * 4

    def _ptrace(self, request):
        assert self.libc.ptrace(request, self.tid, 0, 0) == 0, f"ptrace: {os.strerror(ctypes.get_errno())}"

    def __enter__(self):
        self._ptrace(self.SEIZE)
        self._ptrace(self.INTERRUPT)
        os.waitpid(self.tid, self.ALL)
        return self

    def __exit__(self, *_):
        self._ptrace(self.DETACH)
