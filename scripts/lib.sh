# shellcheck shell=bash
# Shared by the scripts of the build and the lab: messages, root rights, locks, stamps, logged steps.
# Source it first; it sets strict mode and the paths below.

set -Eeuo pipefail
umask 022
export LC_ALL=C.UTF-8

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
build=$repo/build
# shellcheck disable=SC2034  # these are for the scripts that source this file
root=$build/root            # the Debian root: compiler, QEMU and guest are all this one tree
# shellcheck disable=SC2034
suite=trixie
# Where the root sees the repository.
# shellcheck disable=SC2034
inside=/halod

# Variables that mean something to these scripts; they survive sudo and enter the root.
settings=(KDIR KERNEL DEBIAN_MIRROR ACCEL VM_TIMEOUT VM_MEMORY VM_CPUS TERM COLUMNS LINES NO_COLOR
    RUST_LOG RUST_BACKTRACE PROPTEST_CASES SCENARIOS CONNECTIONS SPREAD
    FUZZ_PACKETS FUZZ_REQUESTS FUZZ_SEED SOAK
    http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY)

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Leaves no process behind, however the script ends.
# shellcheck disable=SC2046  # a list of process ids
trap 'kill $(cat "/proc/$$/task/$$/children" 2>/dev/null) 2>/dev/null || true' EXIT

# Put before a command, runs it in mount and process namespaces of its own. When the process that
# started it ends, killed or not, everything that it started ends too, and its mounts go.
# shellcheck disable=SC2034
contained=(setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private)

# Runs the calling script again as root if it is not: need_root "$@"
need_root() {
    ((EUID == 0)) && return
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        exec sudo -n --preserve-env="$(IFS=,; echo "${settings[*]}")" "$(realpath "$0")" "$@"
    fi
    die "this step needs root: it makes a Debian root under build/ and mounts into it.
       Run it as root (\`sudo make ...\`), or allow yourself sudo without a password."
}

# Takes the lock NAME for the rest of this process; waits, and says so, while another run holds it.
lock() {
    local fd
    mkdir -p "$build/lock"
    exec {fd}>"$build/lock/$1"
    flock -n "$fd" && return
    say "waiting for another run that holds build/lock/$1 ..."
    flock "$fd"
}

# Hash of everything that the arguments name: contents of files and folders, or the text itself.
hash_of() {
    local item
    for item; do
        if [[ -e $item ]]; then
            find "$item" -type f -not -path '*/target/*' -print0 | sort -z | xargs -0r sha256sum
        else
            printf '%s\n' "$item"
        fi
    done | sha256sum | cut -d' ' -f1
}

# Stamps: a step is fresh while its hash of inputs is the one it was last finished with.
fresh() { [[ $(cat "$build/stamp/$1" 2>/dev/null) == "$2" ]]; }
stamp() { mkdir -p "$build/stamp" && printf '%s\n' "$2" >"$build/stamp/$1"; }
unstamp() { rm -f "$build/stamp/$1"; }

# logged STEP TEXT COMMAND...: runs COMMAND with its output in build/log/STEP.log, tells how long it
# takes, and shows the end of the log if it fails. Several in one step add to one log: see new_log.
logged() {
    local step=$1 text=$2 log=$build/log/$1.log begin=$SECONDS ticker status=0
    shift 2
    mkdir -p "$build/log"
    printf -- '--- %s\n' "$text" >>"$log"
    ( trap 'kill $! 2>/dev/null; exit' TERM
      while sleep 15 & wait $!; do printf '%-8s %s ... %d s\n' "$step" "$text" $((SECONDS - begin)) >&2; done ) &
    ticker=$!
    # Not `COMMAND || status=$?`: that would switch errexit off inside a function given as COMMAND.
    set +e
    (set -e; "$@") >>"$log" 2>&1 </dev/null
    status=$?
    set -e
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    if ((status)); then
        printf '%-8s %s: failed after %d s\n' "$step" "$text" $((SECONDS - begin)) >&2
        tail -n 25 "$log" | sed 's/^/    | /' >&2
        say "         whole log: $log"
        return "$status"
    fi
    printf '%-8s %s: %d s\n' "$step" "$text" $((SECONDS - begin)) >&2
}
new_log() { mkdir -p "$build/log" && : >"$build/log/$1.log"; }

# Fails if an earlier step's product is missing: needs PATH TARGET
needs() { [[ -e $1 ]] || die "${1#"$repo"/} is missing: run \`make $2\` first"; }

in_root() { "$repo/scripts/in-root" "$@"; }
