#!/usr/bin/env python3
"""Writes the table of values in charts/pact-operator/README.md from the comments of values.yaml.

With --check it writes nothing and fails where the two differ. It reads the layout that values.yaml keeps, not all of YAML:
two spaces for each level, and every value that is set at once (a scalar, a list or map in one line) has a comment above.
"""

import pathlib
import sys

CHART = pathlib.Path(__file__).parent / "pact-operator"
BEGIN, END = "<!-- values: written by charts/readme.py -->\n", "<!-- end of values -->\n"


def rows():
    """One row for each value: its path, its default, what its comment says."""
    path, comment, told = [], [], None
    for number, line in enumerate((CHART / "values.yaml").read_text().splitlines(), 1):
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.lstrip("# "))
            continue
        if text:
            key, _, default = text.partition(":")
            path = path[: (len(line) - len(line.lstrip())) // 2] + [key.strip('"')]
            name = ".".join(path)
            if comment:
                told = name
                yield name, default.strip() or "see values.yaml", " ".join(comment)
            elif default and not (told and name.startswith(told + ".")):
                sys.exit(f"values.yaml:{number}: {name} has no comment")
        comment = []


def main():
    table = "| value | default | |\n|---|---|---|\n"
    table += "".join(f"| `{path}` | `{default}` | {said} |\n" for path, default, said in rows())
    readme = CHART / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    wanted = before + BEGIN + table + END + rest.partition(END)[2]
    if "--check" in sys.argv:
        if wanted != readme.read_text():
            sys.exit("charts/pact-operator/README.md is not what values.yaml says: run charts/readme.py")
    else:
        readme.write_text(wanted)


main()
