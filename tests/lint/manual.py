#!/usr/bin/env python3
"""manual.py BUILD - fails when an option, command or key is missing in a manual page, or man complains of one."""
import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys

OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
COMMAND = re.compile(r"^  (?:(retained|ban|log|config|explain|trace|topics) ([a-z|]+)|([a-z]+))", re.M)


def printed(build, program, *args):
    return subprocess.run([build / program, *args], check=True, capture_output=True, text=True).stdout


def page(build, name):
    """As its reader finds it: words without the marks of fonts."""
    text = gzip.decompress((build / "man" / f"{name}.gz").read_bytes()).decode()
    return re.sub(r"\\f[BIR]|\\\(..", "", text.replace("\\-", "-"))


def missing(text, names, what):
    if not names:
        yield f"{what}: none found, so nothing was compared"
    for name in sorted(names):
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
            yield f"{what}: {name} is missing"


def keys_missing(build):
    help_text = printed(build, "ternmq", "--help")
    keys = set(re.findall(r"^  ([a-z]\w+)", help_text[help_text.index("\nKeys "):], re.M))
    text = "\n".join(re.findall(r"^\.TP\n(.*)$", page(build, "ternmq.conf.5"), re.M))  # each has an entry of its own
    yield from missing(text, keys, "ternmq.conf.5")


def ctl_missing(build):
    help_text = printed(build, "ternmqctl", "--help")
    commands = {f"{group} {word}".strip() for group, words, alone in COMMAND.findall(help_text)
                for word in (words or alone).split("|")} - {"ternmqctl"}
    text = page(build, "ternmqctl.1")
    yield from missing(text, {f"ternmqctl {command}" for command in commands}, "ternmqctl.1")
    helps = [printed(build, "ternmqctl", *command.split(), "--help") for command in commands]
    yield from missing(text, set(OPTION.findall("".join(helps))), "ternmqctl.1, of commands")


def complaints(build, name):
    """What man says of it, and mandoc where it is."""
    file = str(build / "man" / f"{name}.gz")
    env = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}
    checks = [["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", file]]
    checks += [["mandoc", "-T", "lint", "-W", "warning", file]] if shutil.which("mandoc") else []
    for command in checks if shutil.which("man") else []:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        said = done.stderr + (done.stdout if command[0] == "mandoc" else "")
        if said or done.returncode:
            yield f"{name}: {command[0]}: {said or done.returncode}"


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    problems = [*keys_missing(build), *ctl_missing(build)]
    for program, name in (("ternmq", "ternmq.8"), ("ternmq-passwd", "ternmq-passwd.1"), ("ternmq-bench", "ternmq-bench.1"),
                          ("ternmqctl", "ternmqctl.1")):
        options = set(OPTION.findall(printed(build, program, "--help").split("\nKeys ")[0]))
        problems += missing(page(build, name), options, name)
    for name in ("ternmq.8", "ternmq.conf.5", "ternmqctl.1", "ternmq-passwd.1", "ternmq-bench.1"):
        problems += complaints(build, name)
    print("\n".join(problems))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
