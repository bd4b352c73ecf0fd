#!/usr/bin/env python3
"""images.py - builds from a trace the folders that a power cut could leave.

    images.py TRACE                the trace, one event a line
    images.py TRACE SEED FOLDER    builds the image of that seed, prints the marks before its cut

What is on the disk after the cut:
 1. What a sync covered that had ended: for fsync the whole file, for an O_DSYNC write or a ranged sync the
    pages it touched.
 2. Of each later write: nothing, all, or some of its sectors or pages. A sector holds one of the contents it
    had in memory since it was last synced, so of two writes to one sector the second may be lost alone, and
    the first only with it or if the second is lost.
 3. One of the sizes the file had since then. What lies inside the size and never came to the disk is zeros.
 4. Of creations, renames and removals without a later fsync of their folder: any, but none without those that
    it needs (earlier ones of the same name, the making of its parents). A created file that was itself synced
    is there, as on ext4.
 5. After a sync that failed, what it should have written is lost or not and no later sync will write it,
    unless its page is written to again: the kernel has marked the pages clean.
"""
import collections
import functools
import os
import pathlib
import random
import struct
import sys

SECTOR, PAGE = 512, 4096
MAGIC = 0x50574331
HEADER = struct.Struct("<IHHQQQQII")
(BIND, WRITE, WRITE_END, TRUNCATE, SYNC, SYNC_END, MKDIR, RENAME, UNLINK, RMDIR, LINK, CLOSE, MARK, MAP, FAULT,
 UNSUPPORTED) = range(1, 17)
NAMES = ("?", "BIND", "WRITE", "WRITE_END", "TRUNCATE", "SYNC", "SYNC_END", "MKDIR", "RENAME", "UNLINK", "RMDIR",
         "LINK", "CLOSE", "MARK", "MAP", "FAULT", "UNSUPPORTED")
CREATED, DIRECTORY, SYNCED, FAILED, RANGE = 1, 2, 4, 8, 16

Event = collections.namedtuple("Event", "kind flags ino offset length ref thread payload")


class TraceError(Exception):
    """The trace, or what it says, is not something that images can be built from."""


def text(payload):
    return bytes(payload).decode("utf-8", "surrogateescape")


@functools.lru_cache(maxsize=4)
def load(trace):
    """All events of a trace, in their order."""
    data = memoryview(pathlib.Path(trace).read_bytes())
    events, at = [], 0
    while at < len(data):
        magic, kind, flags, ino, offset, length, ref, size, thread = HEADER.unpack_from(data, at)
        at += HEADER.size
        if magic != MAGIC or at + size > len(data):
            raise TraceError(f"{trace}: damaged at byte {at - HEADER.size}")
        events.append(Event(kind, flags, ino, offset, length, ref, thread, data[at:at + size]))
        at += size
    return events


# ---- One file -----------------------------------------------------------------------------------

class Op:
    """A write of data at start; data None: zeros up to end, by a truncation."""
    __slots__ = ("seq", "start", "end", "data", "doomed")

    def __init__(self, seq, start, end, data):
        self.seq, self.start, self.end, self.data, self.doomed = seq, start, end, data, False

    def apply(self, content, low, high):
        """The part of it that lies in [low, high) goes into content, which begins at low of the file."""
        first, last = max(self.start, low), min(self.end, high)
        if first < last:
            part = bytes(last - first) if self.data is None else \
                self.data[first - self.start:last - self.start]
            content[first - low:last - low] = part

    def units(self, unit):
        return range(self.start // unit, (self.end - 1) // unit + 1) if self.end > self.start else range(0)

    def pieces(self):
        """The same, cut at page borders."""
        for page in self.units(PAGE):
            start, end = max(self.start, page * PAGE), min(self.end, (page + 1) * PAGE)
            data = None if self.data is None else self.data[start - self.start:end - self.start]
            yield Op(self.seq, start, end, data)


class File:
    def __init__(self, content=b""):
        self.disk = bytearray(content)   # what is surely there
        self.size = len(content)         # as the program sees it
        self.pending = []                # Ops since, oldest first
        self.sizes = []                  # (seq, size) since
        self.ranged = {}                 # page -> seq: up to there it is surely on the disk, too
        self.ranged_size = -1            # seq: up to there the size is

    def write(self, seq, offset, data):
        self.pending.append(Op(seq, offset, offset + len(data), data))
        if offset + len(data) > self.size:
            self.resize(seq, offset + len(data))

    def truncate(self, seq, size):
        if size < self.size:
            self.pending.append(Op(seq, size, self.size, None))
        self.resize(seq, size)

    def resize(self, seq, size):
        self.size = size
        self.sizes.append((seq, size))

    def sync(self, before):
        """What was written before that event is on the disk, but for what an earlier failure doomed."""
        redone, stay = set(), []
        if any(op.doomed for op in self.pending):
            redone = {page for op in self.pending if op.seq < before and not op.doomed for page in op.units(PAGE)}
        for op in self.pending:
            if op.seq >= before or op.doomed and op.start // PAGE not in redone:
                stay.append(op)
                continue
            if len(self.disk) < op.end:
                self.disk.extend(bytes(op.end - len(self.disk)))
            op.apply(self.disk, 0, op.end)
        self.pending = stay
        size = next((size for seq, size in reversed(self.sizes) if seq < before), None)
        if size is not None:
            self.set_disk_size(size)
        self.sizes = [entry for entry in self.sizes if entry[0] >= before]
        self.ranged = {page: seq for page, seq in self.ranged.items() if seq >= before}

    def set_disk_size(self, size):
        del self.disk[size:]
        self.disk.extend(bytes(size - len(self.disk)))

    def sync_range(self, before, offset, length):
        for page in range(offset // PAGE, (offset + max(length, 1) - 1) // PAGE + 1):
            self.ranged[page] = max(self.ranged.get(page, -1), before)
        self.ranged_size = max(self.ranged_size, before)

    def sync_failed(self, before, offset=0, length=None):
        pending = []
        for op in self.pending:
            if op.seq >= before or op.doomed or op.data is None or (
                    length is not None and (op.start >= offset + length or offset >= op.end)):
                pending.append(op)
                continue
            for piece in op.pieces():
                piece.doomed = self.ranged.get(piece.start // PAGE, -1) <= op.seq
                pending.append(piece)
        self.pending = pending

    def latest(self):
        """As the program sees it."""
        content = bytearray(self.disk) + bytes(max([0] + [op.end - len(self.disk) for op in self.pending]))
        for op in self.pending:
            op.apply(content, 0, op.end)
        del content[self.size:]
        return bytes(content + bytes(self.size - len(content)))

    def image(self, fates):
        """As it may be on the disk."""
        reached = {}                     # sector -> the last op that came to the disk there
        last = -1
        for n, op in enumerate(self.pending):
            if op.data is None:
                continue
            fate = fates.of_write()
            for sector in op.units(SECTOR):
                if self.ranged.get(sector * SECTOR // PAGE, -1) > op.seq or fate(sector):
                    reached[sector] = n
                    last = max(last, op.seq)
        known = sum(seq < self.ranged_size for seq, _ in self.sizes)
        size_seq, size = fates.of_size([(-1, len(self.disk))] + self.sizes, known, last)
        for n, op in enumerate(self.pending):
            if op.data is None and op.seq <= size_seq:
                for sector in op.units(SECTOR):
                    reached[sector] = max(reached.get(sector, -1), n)
        return self.assemble(reached, size)

    def assemble(self, reached, size):
        content = bytearray(self.disk)
        content.extend(bytes(max(0, size - len(content))))
        touching = collections.defaultdict(list)
        for n, op in enumerate(self.pending):
            for sector in op.units(SECTOR):
                if n <= reached.get(sector, -1):
                    touching[sector].append(op)
        for sector, ops in touching.items():
            low, high = sector * SECTOR, min((sector + 1) * SECTOR, size)
            if low < high:
                part = content[low:high]
                for op in ops:
                    op.apply(part, low, high)
                content[low:high] = part
        del content[size:]
        return content


class Fates:
    """What becomes of the writes without a sync. Each image has its own habits, so that both the nearly complete
    and the nearly empty ones come up: with one coin for all, "only one page is missing" would never be seen."""

    def __init__(self, rng):
        self.rng = rng
        self.lost = rng.choice((0.0, 0.03, 0.3, 0.5, 0.9, 1.0))
        self.torn = rng.choice((0.0, 0.1, 0.5))

    def of_write(self):
        """A function: does this sector of the write come to the disk?"""
        rng = self.rng
        if rng.random() < self.torn:
            unit = rng.choice((SECTOR, PAGE))
            coins = {}
            return lambda sector: coins.setdefault(sector * SECTOR // unit, rng.random() < 0.5)
        kept = rng.random() >= self.lost
        return lambda sector: kept

    def of_size(self, sizes, known, last):
        """One of them, not older than known; half of the time the one that the writes which came to the disk
        had made."""
        if self.rng.random() < 0.5:
            return max((entry for entry in sizes[known:] if entry[0] <= last), default=sizes[known],
                       key=lambda entry: entry[0])
        return self.rng.choice(sizes[known:])

    def of_names(self, count):
        """Which of so many operations happened: a prefix as in a journal, or any."""
        if self.rng.random() < 0.5:
            happened = self.rng.randint(0, count)
            return [n < happened for n in range(count)]
        return [self.rng.random() >= self.lost for _ in range(count)]


# ---- The folder ----------------------------------------------------------------------------------

class Folder:
    """A directory's identity, which renames do not change."""


def parent(path):
    return path.rpartition("/")[0]


def ancestors(path):
    while path := parent(path):
        yield path


class NameOp:
    __slots__ = ("seq", "kind", "names", "node", "parents", "durable")

    def __init__(self, seq, kind, names, node, parents):
        self.seq, self.kind, self.names, self.node, self.parents = seq, kind, names, node, parents
        self.durable = False

    def apply(self, tree):
        first = self.names[0]
        if self.kind in (BIND, MKDIR):
            tree[first] = self.node
        elif self.kind in (UNLINK, RMDIR):
            tree.pop(first, None)
        elif first in tree:
            second = self.names[1]
            if self.kind == LINK:
                tree[second] = tree[first]
                return
            for path in [p for p in tree if p == first or p.startswith(first + "/")]:
                tree[second + path[len(first):]] = tree.pop(path)


class Disk:
    """The folder as the events up to the cut made it, and how much of it is surely on the disk."""

    def __init__(self, base=None):
        self.before = {"": Folder()}     # path -> File or Folder, before the first event
        self.by_ino = {}
        self.syncs = {}                  # ref -> the SYNC or synced WRITE and its place
        self.name_ops = []
        self.marks = []
        self.problems = []               # (what, path)
        if base:
            for path in sorted(pathlib.Path(base).rglob("*")):
                name = path.relative_to(base).as_posix()
                self.before[name] = Folder() if path.is_dir() else File(path.read_bytes())
        self.tree = dict(self.before)    # as the program sees it

    def play(self, events):
        for seq, event in enumerate(events):
            handler = self.HANDLERS.get(event.kind)
            if handler:
                handler(self, seq, event)
        return self

    def name_op(self, seq, kind, names, node=None):
        op = NameOp(seq, kind, names, node, [self.tree.get(parent(name)) for name in names])
        self.name_ops.append(op)
        op.apply(self.tree)

    def bind(self, seq, event):
        path = text(event.payload)
        if not event.flags & CREATED and path in self.tree:
            self.by_ino[event.ino] = self.tree[path]
        elif not event.flags & CREATED and event.ino in self.by_ino:
            pass                         # a file that has no name any more
        elif event.flags & DIRECTORY:
            raise TraceError(f"the folder {path} came from nowhere")
        else:
            self.by_ino[event.ino] = File()
            self.name_op(seq, BIND, (path,), self.by_ino[event.ino])

    def path_of(self, ino):
        node = self.by_ino.get(ino)
        return next((path for path, other in self.tree.items() if other is node), f"inode {ino}")

    def write(self, seq, event):
        self.by_ino[event.ino].write(seq, event.offset, event.payload)
        if event.flags & SYNCED:
            self.syncs[event.ref] = (seq, event)

    def truncate(self, seq, event):
        self.by_ino[event.ino].truncate(seq, event.offset)

    def sync(self, seq, event):
        self.syncs[event.ref] = (seq, event)

    def write_end(self, _, event):
        seq, write = self.syncs.pop(event.ref)
        file = self.by_ino[write.ino]
        if event.flags & FAILED:
            file.sync_failed(seq + 1, write.offset, write.length)
        else:
            file.sync_range(seq + 1, write.offset, write.length)

    def sync_end(self, _, event):
        seq, sync = self.syncs.pop(event.ref)
        nodes = [self.by_ino[sync.ino]] if sync.ino else set(self.by_ino.values()) | set(self.tree.values())
        for node in nodes:
            if isinstance(node, Folder):
                if not event.flags & FAILED:
                    self.names_synced(seq, lambda op, node=node: node in op.parents)
            elif event.flags & FAILED:
                node.sync_failed(seq)
            elif sync.flags & RANGE:
                node.sync_range(seq, sync.offset, sync.length)
            else:
                node.sync(seq)
                self.names_synced(seq, lambda op, node=node: op.kind == BIND and op.node is node)

    def names_synced(self, before, which):
        for op in self.name_ops:
            if op.seq < before and which(op):
                op.durable = True

    def mkdir(self, seq, event):
        self.name_op(seq, MKDIR, (text(event.payload),), Folder())

    def remove(self, seq, event):
        self.name_op(seq, event.kind, (text(event.payload),))

    def two_names(self, seq, event):
        self.name_op(seq, event.kind, tuple(text(event.payload).split("\0")))

    def mark(self, _, event):
        self.marks.append(text(event.payload))

    def map(self, _, event):
        self.problems.append(("is mapped writable, which the trace cannot follow", self.path_of(event.ino)))

    def unsupported(self, _, event):
        self.problems.append((f"unsupported: {text(event.payload)}", ""))

    HANDLERS = {BIND: bind, WRITE: write, WRITE_END: write_end, TRUNCATE: truncate, SYNC: sync,
                SYNC_END: sync_end, MKDIR: mkdir, RMDIR: remove, UNLINK: remove, RENAME: two_names,
                LINK: two_names, MARK: mark, MAP: map, UNSUPPORTED: unsupported}

    def tree_image(self, fates):
        """The names that may be on the disk."""
        open_ops = [op for op in self.name_ops if not op.durable]
        happened = dict(zip(map(id, open_ops), fates.of_names(len(open_ops))))
        needed, chosen = set(), []
        for op in reversed(self.name_ops):
            if op.durable or happened[id(op)] or not needed.isdisjoint(op.names):
                chosen.append(op)
                for name in op.names:
                    needed.add(name)
                    needed.update(ancestors(name))
        tree = dict(self.before)
        for op in reversed(chosen):
            op.apply(tree)
        return tree


# ---- What others call ------------------------------------------------------------------------------

def _rng(seed, what):
    return random.Random(f"{what} {seed}")


def cut_of(trace, seed):
    """How many events had happened when the power went: anywhere, or, half of the time, right after a mark, when
    as much as ever was promised."""
    events, rng = load(trace), _rng(seed, "cut")
    marks = [n for n, event in enumerate(events) if event.kind == MARK]
    if marks and rng.random() < 0.5:
        return rng.choice(marks) + 1
    return rng.randint(0, len(events))


def build(trace, folder_out, seed, base=None, cut=None):
    """Fills folder_out, which need not exist, with one image; returns the marks made before the cut. base: a folder
    that holds what was on the disk before the first event."""
    disk = Disk(base).play(load(trace)[:cut_of(trace, seed) if cut is None else cut])
    fates = Fates(_rng(seed, "fates"))
    tree, contents = disk.tree_image(fates), {}
    os.makedirs(folder_out, exist_ok=True)
    for path, node in sorted(tree.items()):
        if path and not isinstance(tree.get(parent(path)), Folder):
            continue
        target = os.path.join(folder_out, path)
        if isinstance(node, Folder):
            os.makedirs(target, exist_ok=True)
            continue
        if id(node) not in contents:
            contents[id(node)] = node.image(fates)
        with open(target, "wb") as out:
            out.write(contents[id(node)])
    return disk.marks


def final(trace, base=None):
    """The folder if nothing had happened to the power: path -> bytes, None for a folder. And what the trace could not
    follow, as (what, path)."""
    disk = Disk(base).play(load(trace))
    tree = {path: node.latest() if isinstance(node, File) else None for path, node in disk.tree.items() if path}
    return tree, disk.problems


def main():
    if len(sys.argv) == 4:
        print("\n".join(build(sys.argv[1], sys.argv[3], sys.argv[2])))
        return
    for n, e in enumerate(load(sys.argv[1])):
        note = text(e.payload) if e.kind not in (WRITE,) else f"{len(e.payload)} bytes"
        print(f"{n:6} thread {e.thread} {NAMES[e.kind]:9} ino {e.ino} at {e.offset} length {e.length} "
              f"flags {e.flags} {note!r}")


if __name__ == "__main__":
    main()
