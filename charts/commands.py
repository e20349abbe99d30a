#!/usr/bin/env python3
"""commands.py HELM: every command that installs the chart in the READMEs, rendered: values of that name exist."""

import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMAND = re.compile(r"^ +(helm upgrade --install pact-operator (?:.*\\\n)*.*)$", re.MULTILINE)


def main():
    (helm,) = sys.argv[1:]
    found = 0
    for name in ("README.md", "charts/pact-operator/README.md"):
        for command in COMMAND.findall((ROOT / name).read_text(encoding="utf-8")):
            words = shlex.split(command.replace("\\\n", " "))[len("helm upgrade --install".split()):]
            words.remove("--wait")
            said = subprocess.run([helm, "template", *words], cwd=ROOT, capture_output=True, text=True, check=False)
            if said.returncode != 0:
                sys.exit(f"{name}: {command}\n{said.stderr}")
            # The schema of our own kinds is the API server's to check; a set-up without objects would be a slip of --set.
            wanted = [kind for value, kind in (("broker.", "PactBroker"), ("environments.", "PactEnvironment"))
                      if value in command]
            for kind in wanted:
                if f"\nkind: {kind}\n" not in said.stdout:
                    sys.exit(f"{name}: {command}\nmakes no {kind}")
            found += 1
    if found < 3:
        sys.exit(f"only {found} commands were found in the READMEs")
    print(f"chart: {found} commands of the READMEs render")


main()
