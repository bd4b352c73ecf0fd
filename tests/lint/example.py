#!/usr/bin/env python3
"""example.py ROOT BINARY - fails when deploy/ternmq.conf is not what `ternmq --example-config` prints."""
import difflib
import pathlib
import subprocess
import sys

CHECKED_IN = "deploy/ternmq.conf"


def main():
    root, binary = pathlib.Path(sys.argv[1]), sys.argv[2]
    printed = subprocess.run([binary, "--example-config"], check=True, capture_output=True, text=True).stdout
    checked_in = (root / CHECKED_IN).read_text()
    difference = list(difflib.unified_diff(checked_in.splitlines(), printed.splitlines(), CHECKED_IN,
                                           "ternmq --example-config", lineterm=""))
    print("\n".join(difference))
    return bool(difference) or not printed


if __name__ == "__main__":
    sys.exit(main())
