"""Where a seccomp profile refuses io_uring, as containers' default profiles do, the broker does not start, and
one line says why and what to do."""
import ctypes
import errno
import struct
import subprocess

import scenario as s
from broker import binary, free_port

IO_URING_SETUP = 425  # the same number on every architecture
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000


def forbid(number):
    """A seccomp filter that lets io_uring_setup fail with this errno; runs in the child before exec."""
    code = b"".join(struct.pack("HBBI", *i) for i in (
        (LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 1, IO_URING_SETUP),
        (RETURN, 0, 0, RET_ERRNO | number), (RETURN, 0, 0, RET_ALLOW)))
    program = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(program)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4

    def install(_keep=program):
        assert prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        assert prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(header), 0, 0) == 0

    return install


def start_without(number):
    return subprocess.run([binary(), "-p", str(free_port())], preexec_fn=forbid(number),
                          capture_output=True, text=True, timeout=20)


@s.scenario
def eperm_and_enosys_are_explained():
    for number in (errno.EPERM, errno.ENOSYS):
        ended = start_without(number)
        assert ended.returncode != 0, ended
        lines = [l for l in ended.stderr.splitlines() if "io_uring" in l]
        assert len(lines) == 1, ended.stderr
        assert "seccomp" in lines[0], lines


s.main()
