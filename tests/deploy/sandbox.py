#!/usr/bin/python3
"""sandbox.py - runs a program under a seccomp profile in the form that container runtimes take.

  sandbox.py PROFILE PROGRAM [ARGUMENT...]           a call that is not allowed fails, as in a container
  sandbox.py --strict PROFILE PROGRAM [ARGUMENT...]  it ends the program (SIGSYS): nothing can go unnoticed
"""
import json
import os
import sys

import seccomp  # Debian's python3-seccomp

OPERATORS = {"SCMP_CMP_EQ": seccomp.EQ, "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ}


def only(what, known):
    unknown = set(what) - set(known)
    if unknown:
        sys.exit(f"sandbox.py: the profile has what is not known here: {unknown}")
    return what


def action(name, errno):
    if name == "SCMP_ACT_ALLOW":
        return seccomp.ALLOW
    if name == "SCMP_ACT_ERRNO":
        return seccomp.ERRNO(errno)
    sys.exit(f"sandbox.py: {name}")


def argument(arg):
    only(arg, ("index", "op", "value", "valueTwo"))
    operator = OPERATORS[arg["op"]]
    if operator == seccomp.MASKED_EQ:
        return seccomp.Arg(arg["index"], operator, arg["value"], arg["valueTwo"])
    return seccomp.Arg(arg["index"], operator, arg["value"])


def load(path, strict):
    with open(path, encoding="utf-8") as file:
        profile = only(json.load(file), ("defaultAction", "defaultErrnoRet", "architectures", "syscalls"))
    default = action(profile["defaultAction"], profile["defaultErrnoRet"])
    program = seccomp.SyscallFilter(seccomp.KILL_PROCESS if strict else default)
    for group in profile["syscalls"]:
        only(group, ("names", "action", "errnoRet", "args"))
        act = action(group["action"], group.get("errnoRet", 1))
        if not strict and act == default:
            continue  # said to be told apart, and no rule
        for name in group["names"]:
            number = seccomp.resolve_syscall(seccomp.Arch(), name)
            if number == -1:
                sys.exit(f"sandbox.py: no system call {name}")
            if number >= 0:  # less: another architecture's
                program.add_rule(act, name, *map(argument, group.get("args", ())))
    program.load()


if __name__ == "__main__":
    words = sys.argv[1:]
    is_strict = words[:1] == ["--strict"]
    file_name, *command = words[is_strict:]
    load(file_name, is_strict)
    os.execv(command[0], command)
