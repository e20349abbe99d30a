#!/usr/bin/env python3
"""Writes the table of values in charts/pact-operator/README.md from the comments of values.yaml.

With --check it writes nothing and fails where the two differ.
"""

import sys

from layout import CHART, rows

BEGIN, END = "<!-- values: written by charts/readme.py -->\n", "<!-- end of values -->\n"


def main():
    table = "| value | default | |\n|---|---|---|\n"
    table += "".join(f"| `{path}` | `{default or 'see values.yaml'}` | {said} |\n" for path, default, said in rows())
    readme = CHART / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    wanted = before + BEGIN + table + END + rest.partition(END)[2]
    if "--check" in sys.argv:
        if wanted != readme.read_text():
            sys.exit("charts/pact-operator/README.md is not what values.yaml says: run charts/readme.py")
    else:
        readme.write_text(wanted)


main()
