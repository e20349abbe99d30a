#!/usr/bin/env python3
"""commands.py HELM: renders the chart with each command that installs it in the READMEs and the book, and with each of their
blocks of values (those that begin with `# values.yaml`): the values are there, and make what they should."""

import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMAND = re.compile(r"^ +(helm upgrade --install pact-operator (?:.*\\\n)*.*)$", re.MULTILINE)
VALUES = re.compile(r"^```yaml\n(# values\.yaml\n.*?)^```$", re.MULTILINE | re.DOTALL)
CHART = ["pact-operator", "charts/pact-operator", "--namespace", "pact-operator"]


def render(helm, words, page, text):
    """What helm makes of it; ends the program where helm refuses."""
    said = subprocess.run([helm, "template", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        sys.exit(f"{page}: {text}\n{said.stderr}")
    return said.stdout


def main():
    (helm,) = sys.argv[1:]
    commands = values = 0
    pages = [ROOT / "README.md", ROOT / "charts/pact-operator/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    plain = render(helm, CHART, "charts", "without values")
    for page in pages:
        text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT)
        for command in COMMAND.findall(text):
            words = shlex.split(command.replace("\\\n", " "))[len("helm upgrade --install".split()):]
            words.remove("--wait")
            made = render(helm, words, name, command)
            # The schema of our own kinds is the API server's to check; a set-up without objects would be a slip of --set.
            wanted = [kind for value, kind in (("broker.", "PactBroker"), ("environments.", "PactEnvironment"))
                      if value in command]
            for kind in wanted:
                if f"\nkind: {kind}\n" not in made:
                    sys.exit(f"{name}: {command}\nmakes no {kind}")
            commands += 1
        for block in VALUES.findall(text):
            with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
                file.write(block)
                file.flush()
                if render(helm, [*CHART, "--values", file.name], name, block) == plain:
                    sys.exit(f"{name}: these values change nothing:\n{block}")
            values += 1
    if commands < 8 or values < 3:
        sys.exit(f"only {commands} commands and {values} blocks of values were found")
    print(f"chart: {commands} commands and {values} blocks of values of the READMEs and the book render")


main()
