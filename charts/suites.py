#!/usr/bin/env python3
"""Runs the chart's suites (pact-operator/tests, and umbrella/tests for the chart as a part of another one) and judges them:

- every value of values.yaml is set to something else than its default in at least one test;
- every value that a test sets is noticed by that test: without it, the test fails.

It reads the layout that the suites keep, not all of YAML: a test begins with `- it:`, and what it sets is in its own `set:`.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from layout import CHART, leaves

UMBRELLA = CHART.parent / "umbrella"
# The parent's, for all of its charts: nothing of ours may change by it.
WITHOUT_EFFECT = {"global"}


class Test:
    """One test of a suite, as lines of text."""

    def __init__(self, suite, lines):
        self.suite, self.lines = suite, lines
        self.name = lines[0].partition("- it:")[2].strip()
        self.refused = any("failedTemplate" in line for line in lines)

    def entries(self):
        """Each value that it sets: its path, the text of it, and the numbers of its first line and of the first after it."""
        inside, first = False, None
        for number, line in enumerate(self.lines + ["    end:"]):
            if first is not None and not line.startswith(" " * 7):
                path, text = re.fullmatch(r" {6}([^\s:]+): ?(.*)", self.lines[first]).groups()
                yield path.removeprefix("pact-operator."), text, first, number
                first = None
            if re.match(r" {4}\S", line):
                inside = line == "    set:"
            elif inside and line.strip():
                first = number if re.match(r" {6}\S", line) else first

    def without(self, first, after, name):
        """The test under another name, without the entry of these lines."""
        left = [f"  - it: '{name}'"] + self.lines[1:first] + self.lines[after:]
        only = [line for line in left if not re.fullmatch(r" {4}set:", line)]
        return only if len(list(self.entries())) == 1 else left


def read(suite):
    """What a suite says of all its tests, and the tests."""
    lines = suite.read_text().splitlines()
    begins = [number for number, line in enumerate(lines) if line.startswith("  - it:")]
    head = lines[: begins[0]]
    for number, line in enumerate(lines, 1):
        if re.match(r"(    )?values:|set:|    set: *\S|    set: ", line):
            sys.exit(f"{suite}:{number}: a test says what it sets in a `set:` of its own, one value a line")
    return head, [Test(suite, lines[a:b]) for a, b in zip(begins, begins[1:] + [None])]


def run(program, chart, *more):
    return subprocess.run([program, "--strict", "--with-subchart=false", *more, str(chart)], capture_output=True, text=True)


def unnoticed(program, chart, suites):
    """What the tests set without noticing it. `chart` is a copy; its suites are replaced by tests that lack one value each."""
    tests = chart / "tests"
    shutil.rmtree(tests, ignore_errors=True)
    tests.mkdir()
    lacking = {}
    for suite in suites:
        head, whole = read(suite)
        text = list(head)
        for test in whole:
            for path, _, first, after in test.entries():
                if path not in WITHOUT_EFFECT:
                    name = f"lacks {len(lacking)}"
                    lacking[name] = f"{suite.name}: '{test.name}' sets {path}, and passes without it"
                    text += test.without(first, after, name)
        if len(text) > len(head):
            (tests / suite.name).write_text("\n".join(text) + "\n")
    report = chart / "report.xml"
    said = run(program, chart, "--output-type=JUnit", f"--output-file={report}")
    results = {case.get("name"): len(case) > 0 for case in xml.etree.ElementTree.parse(report).iter("testcase")}
    if results.keys() != lacking.keys():
        sys.exit(f"not every test that lacks a value was run:\n{said.stdout}{said.stderr}")
    return [lacking[name] for name, failed in results.items() if not failed], len(lacking)


def main():
    build = CHART.parent.parent / "tests/tools/build.sh"
    program = subprocess.run([build, "helm-unittest"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]
    with tempfile.TemporaryDirectory() as folder:
        alone, umbrella = pathlib.Path(folder, "pact-operator"), pathlib.Path(folder, "umbrella")
        shutil.copytree(CHART, alone)
        shutil.copytree(UMBRELLA, umbrella)
        shutil.copytree(CHART, umbrella / "charts" / "pact-operator")
        wrong, count, toggled = [], 0, set()
        for chart, source in (alone, CHART), (umbrella, UMBRELLA):
            said = run(program, chart)
            if said.returncode != 0:
                sys.exit(said.stdout + said.stderr)
            suites = sorted((source / "tests").glob("*_test.yaml"))
            for test in (test for suite in suites for test in read(suite)[1] if not test.refused):
                for path, text, _, _ in test.entries():
                    toggled |= {
                        leaf
                        for leaf, default in leaves()
                        if path.startswith(leaf + ".") or (path == leaf and text != default)
                    }
            passed, all_of_them = unnoticed(program, chart, suites)
            wrong += passed
            count += all_of_them
        wrong += [f"values.yaml: no test sets {leaf} to anything but its default" for leaf, _ in leaves() if leaf not in toggled]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"chart: the suites pass; all {len(toggled)} values are set, and each of {count} settings is noticed")


main()
