#!/usr/bin/env python3
"""toy_files.py - the harness's second toy: plain files instead of LMDB.

    toy_files.py write MODE FOLDER
    toy_files.py check FOLDER

careful, careless: one file is replaced again and again; careful syncs the new file, renames it and syncs the
    folder, careless only renames.
rewriting, stubborn: records are appended to a file with a sync for each. When a sync fails, rewriting writes the
    record again before it syncs again, stubborn only syncs again, which the kernel answers with success.
anything: every call that the shim knows, in a random order, then a sync of all.
mapping, sneaking: change a file in ways that the shim cannot see, which the harness must notice."""
import ctypes
import hashlib
import mmap
import os
import pathlib
import random
import sys

VERSIONS, RECORD = 60, 8192


def mark(line):
    marks = os.open(os.environ.get("POWERCUT_MARK", "/dev/null"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(marks, line.encode() + b"\n")
    os.close(marks)


def body_of(number, size):
    """Any number of bytes that begin with the number and end with a checksum."""
    body = (b"%d\n" % number).ljust(size - 32, b"x")
    return body + hashlib.sha256(body).digest()


def number_in(data):
    """None if the bytes are not what body_of made."""
    if len(data) < 33 or hashlib.sha256(data[:-32]).digest() != data[-32:]:
        return None
    return int(data.partition(b"\n")[0])


def replace(folder, careful):
    directory = os.open(folder, os.O_RDONLY)
    for version in range(1, VERSIONS + 1):
        if version > 1:                      # from here on the one before may go
            mark(f"drop {version - 1}")
        new = os.open("state.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(new, body_of(version, 40 + version * 997 % 9000))
        if careful:
            os.fsync(new)
        os.close(new)
        os.rename("state.new", "state")
        if careful:
            os.fsync(directory)
        if version > 1:
            mark(f"gone {version - 1}")
        mark(str(version))


def append(stubborn):
    log = os.open("log", os.O_WRONLY | os.O_CREAT, 0o600)
    for number in range(VERSIONS):
        os.pwrite(log, body_of(number, RECORD), number * RECORD)
        try:
            os.fdatasync(log)
        except OSError:
            if not stubborn:
                os.pwrite(log, body_of(number, RECORD), number * RECORD)
            os.fdatasync(log)
        mark(str(number))


def change_one(rng, name, directory):
    """One of the calls that change what a file holds, through one of the ways to open it."""
    flags = os.O_RDWR | os.O_CREAT | rng.choice((0, 0, os.O_TRUNC, os.O_APPEND, os.O_DSYNC, os.O_SYNC))
    fd = os.open(name, flags, 0o600, dir_fd=rng.choice((None, directory)))
    copy = os.dup(fd)
    data, offset = rng.randbytes(rng.randrange(1, 9000)), rng.randrange(20000)
    rng.choice((lambda: os.write(copy, data), lambda: os.writev(fd, [data, b"", data[:7]]),
                lambda: os.pwrite(fd, data, offset), lambda: os.pwritev(copy, [data, data[:9]], offset, os.RWF_DSYNC),
                lambda: os.ftruncate(fd, offset), lambda: os.truncate(name, offset),
                lambda: os.posix_fallocate(fd, offset, len(data)),
                lambda: os.fsync(copy), lambda: os.fdatasync(fd)))()
    os.close(fd)
    os.close(copy)


def anything(folder):
    rng = random.Random(int(os.environ.get("POWERCUT_RUN", "0")))
    directory = os.open(folder, os.O_RDONLY)
    os.mkdir("a", dir_fd=directory)
    os.mkdir(f"{folder}/b")
    files = [f"{part}{n}" for part in ("", "a/", "b/") for n in range(3)]
    for _ in range(500):
        name, other = (rng.choice(("", "./", f"{folder}/", f"{folder}/a/../")) + file for file in rng.sample(files, 2))
        change_one(rng, name, directory)
        fate = rng.random()
        if fate < 0.1:
            os.rename(name, other)
        elif fate < 0.15:
            os.unlink(name)
        elif fate < 0.2:
            os.unlink(other) if os.path.exists(other) else None
            os.link(name, other)
        elif fate < 0.25:
            os.rename("a", "c")
            os.mkdir("d")
            os.rmdir("d", dir_fd=directory)
            os.rename("c", f"{folder}/a/")
    for path in ("a", "b", ".", *filter(os.path.exists, files)):
        sync_path(path)
    state = os.open("sum", os.O_WRONLY | os.O_CREAT | os.O_DSYNC, 0o600)
    os.write(state, sum_of(folder))
    os.close(state)
    sync_path("sum")
    mark("all")


def sync_path(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def sum_of(folder):
    digest = hashlib.sha256()
    for path in sorted(p for p in pathlib.Path(folder).rglob("*") if p.name != "sum"):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(b"/" if path.is_dir() else hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def unseen(mapped):
    """Writes that the shim cannot record."""
    fd = os.open("file", os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(fd, bytes(4096), 0)
    if mapped:
        with mmap.mmap(fd, 4096) as view:
            view[:5] = b"12345"
    else:
        libc = ctypes.CDLL(None)
        libc.fopen.restype = ctypes.c_void_p
        stream = ctypes.c_void_p(libc.fopen(b"file", b"r+"))
        libc.fputs(b"12345", stream)
        libc.fclose(stream)
    mark("1")


def read(path):
    try:
        return pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        return b""


def check(folder):
    log, state = read(f"{folder}/log"), f"{folder}/state"
    if os.path.exists(state):
        version = number_in(read(state))
        if version is None:
            return 1
        print("have", version)
    for at in range(0, len(log), RECORD):
        if number_in(log[at:at + RECORD]) == at // RECORD:
            print("have", at // RECORD)
    if read(f"{folder}/sum") == sum_of(folder):
        print("have all")
    return 0


def main():
    if sys.argv[1] == "check":
        return check(sys.argv[2])
    mode, folder = sys.argv[2:]
    os.chdir(folder)
    {"careful": lambda: replace(folder, True), "careless": lambda: replace(folder, False),
     "rewriting": lambda: append(False), "stubborn": lambda: append(True), "anything": lambda: anything(folder),
     "mapping": lambda: unseen(True), "sneaking": lambda: unseen(False)}[mode]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
