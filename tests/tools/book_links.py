#!/usr/bin/env python3
"""book_links.py FOLDER: each link within the built book leads to one of its pages and to an anchor there. (What links lead
to in the repository is tested with its pages: src/cli/documentation_tests/links.rs.)"""

import functools
import html
import pathlib
import re
import sys
import urllib.parse

# Not pages: everything at once, the list of contents, and what is shown for a page that is missing.
NOT_PAGES = {"print.html", "toc.html", "404.html"}


@functools.cache
def anchors(page):
    return set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    wrong, seen = [], 0
    for page in sorted(folder.rglob("*.html")):
        if page.name in NOT_PAGES:
            continue
        content = re.search(r"<main>(.*?)</main>", page.read_text(encoding="utf-8"), re.DOTALL)
        for link in re.findall(r'href="([^"]+)"', content[1] if content else ""):
            path, _, anchor = urllib.parse.unquote(html.unescape(link)).partition("#")
            if ":" in path:
                continue
            seen += 1
            target = (page.parent / path).resolve() if path else page
            if not target.is_file():
                wrong.append(f"{page.relative_to(folder)}: {link} is not there")
            elif anchor and target.suffix == ".html" and anchor not in anchors(target):
                wrong.append(f"{page.relative_to(folder)}: {link} names no heading")
    if wrong:
        sys.exit("\n".join(wrong))
    if seen < 500:
        sys.exit(f"only {seen} links were found")
    print(f"book: {seen} links within it lead somewhere")


main()
