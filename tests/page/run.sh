#!/usr/bin/env bash
# Looks at the page of `pact-operator matrix` in a real browser, with 5 and with 200 applications, as wide as a phone and as a
# desk, dark and light: axe finds no violation, nothing is asked of anybody, the keyboard is enough, and it is printed whole.
# Leaves a picture of each in PAGE_PICTURES (target/page), to look at.
#
# Needs Chromium (CHROMIUM names its program), node and npm. It is no part of `make test`: what it finds rarely changes.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() { # skip WHY: nothing was looked at, and nobody should take it for a success
  echo "page: SKIPPED, nothing was looked at: $1" >&2
  exit 3
}
chromium=${CHROMIUM:-}
for name in chromium chromium-browser google-chrome; do
  if [ -z "$chromium" ]; then chromium=$(command -v "$name" || true); fi
done
[ -n "$chromium" ] || skip "there is no Chromium; install it (apt-get install chromium), or set CHROMIUM to its program"
command -v npm >/dev/null || skip "there is no npm, which installs axe-core and puppeteer-core; install Node.js 20 or later"

tools=${XDG_CACHE_HOME:-$HOME/.cache}/pact-operator/page
mkdir -p "$tools"
for file in package.json package-lock.json look.mjs; do cp "tests/page/$file" "$tools/"; done
npm ci --prefix "$tools" --no-audit --no-fund --loglevel=error >&2

pictures=${PAGE_PICTURES:-target/page}
mkdir -p "$pictures"
pictures=$(cd "$pictures" && pwd)
for count in 5 200; do
  ${CARGO:-cargo} run --locked --quiet --example page -- "$count" >"$pictures/$count.html"
done
node "$tools/look.mjs" "$chromium" "$pictures"
