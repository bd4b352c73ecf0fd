"""Where a seccomp profile refuses io_uring, as containers' default profiles do, the broker serves with epoll, and one
line says why and what to do; with `io uring` it does not start. `io epoll` never asks for io_uring."""
import ctypes
import errno
import os
import struct
import subprocess
import sys

import mqtt
import scenario as s
from broker import Broker, binary, free_port

IO_URING_SETUP = 425  # the same number on every architecture
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
RET_ALLOW, RET_ERRNO, RET_KILL = 0x7FFF0000, 0x00050000, 0x80000000
KILL = 0  # instead of an errno


def forbid(number):
    """From here on io_uring_setup fails with this errno, by a seccomp filter, or ends the process (KILL)."""
    answer = RET_ERRNO | number if number else RET_KILL
    code = b"".join(struct.pack("HBBI", *i) for i in (
        (LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 1, IO_URING_SETUP), (RETURN, 0, 0, answer), (RETURN, 0, 0, RET_ALLOW)))
    program = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(program)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    assert prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(header), 0, 0) == 0


if len(sys.argv) > 2 and sys.argv[1] == "--forbid":  # in the broker's place, before it
    forbid(int(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])


def without(number):
    return [sys.executable, __file__, "--forbid", str(number)]


def is_allowed_here():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(IO_URING_SETUP, 0, None)  # never makes one: the pointer is bad
    return ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS, errno.EACCES)


def told(broker):
    """What $SYS says that the broker uses."""
    c = mqtt.Client(broker.address).open("sys", mqtt.V311)
    c.sub("$SYS/broker/io/backend")
    return c.msg().payload.decode()


def serves(broker):
    a = mqtt.Client(broker.address).open("a")
    a.sub("t/#", qos=2)
    b = mqtt.Client(broker.address).open("b", mqtt.V311)
    for i in range(50):
        b.pub(f"t/{i}", bytes([i]) * (i * 997 + 1), i % 3)
        a.msg(bytes([i]) * (i * 997 + 1))


@s.scenario
def auto_serves_with_epoll_and_tells_why():
    for number, reason in ((errno.EPERM, "forbidden here (EPERM)"), (errno.ENOSYS, "forbidden here (ENOSYS)"),
                           (errno.EINVAL, "too old")):
        with Broker("sys_interval 1", under=without(number), env={"TERNMQ_IO": "auto"}) as broker:
            serves(broker)
            assert told(broker) == "epoll"
            lines = [l for l in broker.log().splitlines() if "io_uring" in l]
            assert len(lines) == 1 and "Warning: " in lines[0] and reason in lines[0], broker.log()
            assert lines[0].endswith("; epoll serves instead"), lines
            if number != errno.EINVAL:
                assert "seccomp profile" in lines[0] and "kernel.io_uring_disabled=0" in lines[0], lines
            broker.wait_log("running, .*, epoll$")


@s.scenario
def uring_refuses_to_start():
    for number in (errno.EPERM, errno.ENOSYS):
        ended = subprocess.run([*without(number), binary(), "-p", str(free_port())], capture_output=True, text=True,
                               env={**os.environ, "TERNMQ_IO": "uring"}, timeout=20)
        assert ended.returncode == 1, ended
        lines = [l for l in ended.stderr.splitlines() if "io_uring" in l]
        assert len(lines) == 1 and lines[0].startswith("Error: "), ended.stderr
        assert "seccomp" in lines[0], lines


@s.scenario
def epoll_does_not_ask():
    with Broker("io epoll\nsys_interval 1", under=without(KILL), env={"TERNMQ_IO": "epoll"}) as broker:
        serves(broker)
        assert told(broker) == "epoll"
        assert "io_uring" not in broker.log() and "Warning: io" not in broker.log(), broker.log()


@s.scenario
def auto_is_io_uring_where_it_is_allowed():
    with Broker("io auto\nsys_interval 1", env={"TERNMQ_IO": "auto"}) as broker:
        serves(broker)
        assert told(broker) == ("io_uring" if is_allowed_here() else "epoll"), broker.log()


def cpu_s(broker):
    with open(f"/proc/{broker.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@s.scenario
def whoever_is_not_read_costs_nothing():
    """Each waits in its socket, with bytes: the rates hold the clients."""
    for io in ("epoll", "auto"):
        with Broker("max_messages_in_rate 5\nmax_packet_size 200000", env={"TERNMQ_IO": io}) as broker:
            clients = [mqtt.Client(broker.address).open(f"c{i}", mqtt.V311) for i in range(10)]
            for c in clients:
                c.send(*[mqtt.publish("t", b"x" * 500, version=mqtt.V311)] * 100)
            s.time.sleep(0.5)
            before = cpu_s(broker)
            s.time.sleep(2)
            assert cpu_s(broker) - before < 0.3, (io, cpu_s(broker) - before)


s.main()
