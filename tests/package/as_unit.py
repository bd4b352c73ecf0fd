#!/usr/bin/python3
"""as_unit.py UNIT - becomes what a systemd unit's ExecStart starts, as nearly as is possible without systemd: its user,
folders, limits, environment, a file system that is read-only elsewhere, no capabilities, and no system calls but those
of SystemCallFilter. Runs as root, in a mount namespace of its own."""
import collections
import ctypes
import os
import pathlib
import pwd
import re
import resource
import shlex
import struct
import subprocess
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAPBSET_DROP, SECCOMP_MODE_FILTER = 38, 22, 24, 2
LOAD, JUMP_EQUAL, RETURN, RET_ALLOW, RET_ERRNO, EPERM = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000, 1


def read_unit(path):
    """The lines of [Service]: {key: [value, ...]}."""
    section, keys = "", collections.defaultdict(list)
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith("["):
            section = line
        elif "=" in line and not line.startswith("#") and section == "[Service]":
            key, value = line.split("=", 1)
            keys[key].append(value)
    return keys


# ---- System calls ----

def sets():
    """{"@process": [names and sets]}, as systemd knows them."""
    found, name = {}, None
    text = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], check=True, capture_output=True,
                          text=True).stdout
    for line in text.splitlines():
        if line.startswith("@"):
            name = line.strip()
            found[name] = []
        elif line.startswith("    ") and not line.strip().startswith("#") and name:
            found[name].append(line.strip())
    return found


def members(word, known):
    if not word.startswith("@"):
        return {word}
    return set().union(*(members(inner, known) for inner in known[word]))


def allowed(lines, known):
    names = members("@default", known)
    for line in lines:
        for word in line.lstrip("~").split():
            names = names - members(word, known) if line.startswith("~") else names | members(word, known)
    return names


def numbers():
    text = subprocess.run(["cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], check=True,
                          capture_output=True, text=True).stdout
    return {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", text, re.M)}


def filter_of(lines):
    """Instructions that refuse what the unit does not allow."""
    number = numbers()
    code = [(LOAD, 0, 0, 0)]
    for name in sorted(allowed(lines, sets()) & number.keys()):
        code += [(JUMP_EQUAL, 0, 1, number[name]), (RETURN, 0, 0, RET_ALLOW)]
    return b"".join(struct.pack("HBBI", *i) for i in code + [(RETURN, 0, 0, RET_ERRNO | EPERM)])


# ---- What the process is ----

def make_folders(keys, user):
    """Those that it may write to."""
    found = []
    for key, place in (("RuntimeDirectory", "/run"), ("StateDirectory", "/var/lib"), ("LogsDirectory", "/var/log")):
        for name in keys[key]:
            folder = pathlib.Path(place, name)
            folder.mkdir(0o755, exist_ok=True)
            os.chown(folder, user.pw_uid, user.pw_gid)
            found.append(str(folder))
    return found


def protect(folders):
    """ProtectSystem=strict and PrivateTmp=true."""
    for folder in folders:
        subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "private", "/tmp"], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", "/"], check=True)


def main():
    keys = read_unit(sys.argv[1])
    user = pwd.getpwnam(keys["User"][0])
    code = filter_of(keys["SystemCallFilter"])
    protect(make_folders(keys, user))
    files = min(int(keys["LimitNOFILE"][0]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, 1024), files))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    for capability in range(64):
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # there are fewer of them
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.umask(int(keys["UMask"][0], 8))
    os.chdir(keys["WorkingDirectory"][0])
    assert prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    program = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(program)))
    words = shlex.split(keys["ExecStart"][0])
    environment = {k: v for k, v in os.environ.items() if k.startswith(("NOTIFY_", "WATCHDOG_", "TERNMQ_"))}
    assert prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(header), 0, 0) == 0
    os.execve(words[0], words, environment)


if __name__ == "__main__":
    main()
