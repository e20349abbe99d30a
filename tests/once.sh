# shellcheck shell=bash
# Functions for the scripts that build the tests' programs: each is built once, from pinned Go modules (or a crate), into a cache.
# To be sourced. A built program lies in a folder that is named by the hash of its pins: changed pins build anew, unchanged
# ones cost nothing. The folder appears whole or not at all (built aside, then renamed); of two callers at once, the second
# waits for the first.
#
# PACT_OPERATOR_CACHE    the cache; default: $XDG_CACHE_HOME/pact-operator, else ~/.cache/pact-operator
#
# A script that sources it sets `about`, the beginning of its messages, and defines:
#   complete   whether what is wanted is there
#   answer     prints where it is, and ends

cache=${PACT_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pact-operator}

say() { printf '%s\n' "$about: $*" >&2; }
die() { say "$*"; exit 1; }
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16; }

# kubernetes_flags VERSION: for the linker; sets `flags`, `major` and `minor`. A Kubernetes program without these flags
# reports the version v0.0.0-master, which a chart's kubeVersion refuses.
kubernetes_flags() {
  IFS=. read -r major minor _ <<<"${1#v}"
  flags="-X k8s.io/component-base/version.gitVersion=$1 -X k8s.io/component-base/version.gitMajor=$major"
  flags="$flags -X k8s.io/component-base/version.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=$1"
}

# A script that builds with something else than Go sets `builder`, and looks itself whether that is there.
# build_aside WHAT FOLDER LOCK: sets `building` to a new folder beside FOLDER, and holds the lock LOCK as descriptor 9,
# which background processes have to close. Answers if another process has built WHAT meanwhile.
build_aside() {
  if [ "${builder:-go}" = go ]; then
    command -v go >/dev/null || die "'go' is missing: install Go 1.26 or later (https://go.dev/dl), it builds $1"
  fi
  local beside=${2%/*}/.building.$3
  mkdir -p "${2%/*}"
  if command -v flock >/dev/null; then
    exec 9>"${2%/*}/.lock.$3"
    if ! flock -n 9; then
      say "another process is building $1, waiting"
      flock 9
    fi
    if complete; then answer; fi
    rm -rf "$beside".* # left by a killed build: no other process builds while this one holds the lock
  fi
  building=$(mktemp -d "$beside.XXXXXX")
  heartbeat=
  started=$SECONDS
  trap abandon EXIT
  trap 'exit 130' INT TERM
}

abandon() {
  if [ -n "$heartbeat" ]; then kill "$heartbeat" 2>/dev/null || true; fi
  rm -rf "$building"
}

# beat COMMAND...: until the end, runs COMMAND every 30 s, which reports that the build goes on.
beat() {
  (while sleep 30 2>/dev/null; do "$@"; done) 9>&- </dev/null >/dev/null &
  heartbeat=$!
}

# appear FOLDER: gives what was built aside its final name.
appear() {
  chmod 755 "$building"
  rm -rf "$1" # an earlier one that lost a part
  mv "$building" "$1"
}
