# shellcheck shell=bash
# What the scripts that build the tests' programs have in common: each is built once, from pinned Go modules, into a cache.
# Sourced. What is built lies in a folder that is named by the hash of its pins: changed pins build anew, unchanged ones cost
# nothing. It appears whole or not at all (built aside, then renamed); of two callers at once, the second waits for the first.
#
# PACT_OPERATOR_CACHE    the cache; default: $XDG_CACHE_HOME/pact-operator, else ~/.cache/pact-operator
#
# Who sources it sets `about`, with which its messages begin, and defines:
#   complete   whether what is wanted is there
#   answer     prints where it is, and ends

cache=${PACT_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pact-operator}

say() { printf '%s\n' "$about: $*" >&2; }
die() { say "$*"; exit 1; }
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16; }

# kubernetes_flags VERSION: for the linker; sets `flags`, `major` and `minor`. A Kubernetes program that is not told its version
# calls itself v0.0.0-master, and a chart's kubeVersion refuses it.
kubernetes_flags() {
  IFS=. read -r major minor _ <<<"${1#v}"
  flags="-X k8s.io/component-base/version.gitVersion=$1 -X k8s.io/component-base/version.gitMajor=$major"
  flags="$flags -X k8s.io/component-base/version.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=$1"
}

# build_aside WHAT FOLDER LOCK: sets `building` to a new folder beside FOLDER, with the lock LOCK in hand as descriptor 9, which
# what goes on in the background has to close; answers when somebody else has built WHAT meanwhile.
build_aside() {
  command -v go >/dev/null || die "'go' is missing: install Go 1.26 or later (https://go.dev/dl), it builds $1"
  local beside=${2%/*}/.building.$3
  mkdir -p "${2%/*}"
  if command -v flock >/dev/null; then
    exec 9>"${2%/*}/.lock.$3"
    if ! flock -n 9; then
      say "another process is building $1, waiting"
      flock 9
    fi
    if complete; then answer; fi
    rm -rf "$beside".* # left by one that was killed: nobody else builds it while we hold the lock
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

# beat COMMAND...: until the end, has COMMAND tell every 30 s that it still builds.
beat() {
  (while sleep 30 2>/dev/null; do "$@"; done) 9>&- </dev/null >/dev/null &
  heartbeat=$!
}

# appear FOLDER: what was built aside is there, under its name.
appear() {
  chmod 755 "$building"
  rm -rf "$1" # an earlier one that lost a part
  mv "$building" "$1"
}
