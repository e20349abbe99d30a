#!/usr/bin/env bash
# Builds mdbook, which builds the book of docs/, from its crate, once, into the cache that build.sh uses (see tests/once.sh).
#
#   tests/tools/mdbook.sh      prints progress on stderr, and as the last line of stdout the path of the program
#
# Without the server and the watcher, which no check needs, and without optimisation: it takes a minute of one core. The crate
# brings its own Cargo.lock (--locked), so its dependencies are pinned, too.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
about=tools
. "$here/../once.sh"

version=0.5.4
name=mdbook-$version
folder=$cache/tools/$name

complete() { [ -x "$folder/mdbook" ]; }
answer() { printf '%s\n' "$folder/mdbook"; exit 0; }
if complete; then answer; fi

command -v cargo >/dev/null || die "'cargo' is missing: install Rust (https://rustup.rs), it builds mdbook"
builder=cargo
build_aside mdbook "$folder" "$name"
say "building mdbook $version from source, once, into $folder"
still() { say "still building mdbook, $((SECONDS - started)) s"; }
beat still
(
  # Away from the repository, whose .cargo/config.toml is about its own build.
  cd "$building"
  CARGO_TARGET_DIR=$building/target CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_STRIP=symbols cargo install mdbook \
    --version "=$version" --locked --debug --no-default-features --features search --root "$building/root"
) >&2 9>&-
mv "$building/root/bin/mdbook" "$building/mdbook"
rm -rf "$building/root" "$building/target"
appear "$folder"
say "built mdbook in $((SECONDS - started)) s"
answer
