#!/usr/bin/env python3
"""Writes the table of values in charts/pact-operator/README.md and docs/reference/values.md from the comments of values.yaml.

With --check it writes nothing and fails where they differ.
"""

import sys

from layout import CHART, rows

BEGIN, END = "<!-- values: written by charts/readme.py -->\n", "<!-- end of values -->\n"
PAGES = [CHART / "README.md", CHART.parent.parent / "docs/reference/values.md"]


def main():
    table = "| value | default | |\n|---|---|---|\n"
    table += "".join(f"| `{path}` | `{default or 'see values.yaml'}` | {said} |\n" for path, default, said in rows())
    for page in PAGES:
        text = page.read_text()
        before, _, rest = text.partition(BEGIN)
        wanted = before + BEGIN + table + END + rest.partition(END)[2]
        if "--check" in sys.argv:
            if wanted != text:
                sys.exit(f"{page} is not what values.yaml says: run charts/readme.py")
        else:
            page.write_text(wanted)


main()
