#!/usr/bin/env python3
"""labels.py FILE...: the labels of the operator's metrics in these files, and their values, are those of the source."""

import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent / "src"
# Given by Prometheus, or by the kind of the metric.
FOREIGN = {"pod", "le"}
SELECTOR = re.compile(r"pact_operator_\w+\{([^}]*)\}")
# In JSON the quotes are escaped.
PAIR = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*\\?"([^"\\]*)\\?"')


def main():
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.rs")))
    names = set()
    for path in SOURCE.rglob("metrics.rs"):
        names.update(re.findall(r"^    (\w+): (?:&'static str|String),$", path.read_text(encoding="utf-8"), re.MULTILINE))
    wrong = set()
    for file in sys.argv[1:]:
        for selector in SELECTOR.findall(pathlib.Path(file).read_text(encoding="utf-8")):
            for name, _, values in PAIR.findall(selector):
                if name in FOREIGN:
                    continue
                if name not in names:
                    wrong.add(f"{file}: no metric has the label {name}")
                wrong.update(f'{file}: {name} is never "{value}"' for value in values.split("|") if f'"{value}"' not in code)
    if wrong:
        sys.exit("\n".join(sorted(wrong)))


main()
