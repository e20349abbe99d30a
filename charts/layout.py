"""Reads values.yaml: the layout that it keeps, not all of YAML.

Two spaces for each level, and every value that is set at once (a scalar, a list or map in one line) has a comment above.
"""

import pathlib
import sys

CHART = pathlib.Path(__file__).parent / "pact-operator"


def rows():
    """One row for each value that has a comment: its path, its default ("" for a map of values), what the comment says."""
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
                yield name, default.strip(), " ".join(comment)
            elif default and not (told and name.startswith(told + ".")):
                sys.exit(f"values.yaml:{number}: {name} has no comment")
        comment = []


def leaves():
    """The path and the default of each value that is not a map of others."""
    told = [(path, default) for path, default, _ in rows()]
    return [(path, default) for path, default in told if not any(other.startswith(path + ".") for other, _ in told)]
