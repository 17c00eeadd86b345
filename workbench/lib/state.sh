# shellcheck shell=bash
# What every part of the workbench shares: messages, locks, ports, and processes that outlive the script.

# Sockets have room for 107 bytes of path; a long state folder gets a short one for them.
RUN=$STATE/run
# shellcheck disable=SC2034 # used by the files beside this one
if ((${#STATE} > 48)); then RUN=/run/smp-workbench-$(cksum <<<"$STATE" | cut -d' ' -f1); fi

say() { printf 'workbench: %s\n' "$*" >&2; }

die() {
    printf 'workbench: error: %s\n' "$*" >&2
    exit 1
}

require_machine() {
    if [[ $(uname -s)/$(uname -m) != Linux/x86_64 ]]; then
        die "this machine is $(uname -s)/$(uname -m); the workbench unpacks Debian packages for Linux/x86_64 only. Use an own Docker Engine (DOCKER_HOST) instead"
    fi
    if ((EUID != 0)); then die "a Docker Engine needs root: run it again as root (or with sudo -E)"; fi
    local tool
    for tool in apt-get dpkg-deb flock setsid python3; do
        if ! command -v "$tool" >/dev/null; then die "'$tool' is missing: the workbench needs a Debian or Ubuntu machine with apt, util-linux and python3"; fi
    done
}

# Runs a command while holding the lock of that name, so that two calls never start the same part twice.
with_lock() {
    local name=$1
    shift
    (
        exec {lock}>"$STATE/lock/$name"
        if ! flock -w 900 "$lock"; then die "another call holds $STATE/lock/$name for more than 15 minutes"; fi
        "$@"
    )
}

# Prints the port of a service: the one chosen before, else the usual one, else any free one.
choose_port() {
    local name=$1 usual=$2 chosen
    chosen=$(python3 - "$(cat "$STATE/port/$name" 2>/dev/null || echo "$usual")" "$usual" 0 <<'PYTHON'
import socket, sys
for port in map(int, sys.argv[1:]):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(probe.getsockname()[1])
        break
PYTHON
    )
    write_file "$STATE/port/$name" "$chosen"
    echo "$chosen"
}

# Prints the port of a service without looking whether it is taken: by the service itself, perhaps.
reserved_port() { with_lock port reserved_port_locked "$@"; }

reserved_port_locked() { cat "$STATE/port/$1" 2>/dev/null || choose_port "$@"; }

# Writes a line into a file in one step, so that nobody reads half of it.
write_file() {
    printf '%s\n' "$2" >"$1.$BASHPID"
    mv "$1.$BASHPID" "$1"
}

# Tells whether something speaks HTTP on a loopback port.
http_answers() {
    local line=
    { exec {web}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&"$web"
    read -r -t 5 line <&"$web" || true
    exec {web}>&-
    [[ $line == HTTP/* ]]
}

# Starts a process that outlives this script: its own session, its own log, no open file of ours.
spawn() {
    local name=$1 log=$2
    shift 2
    (
        local fd
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            if ((fd > 2)); then eval "exec $fd>&-" 2>/dev/null || true; fi
        done
        cd /
        exec setsid "$@" </dev/null >>"$log" 2>&1
    ) &
    write_file "$STATE/pid/$name" "$! $(process_start $!)"
}

# Prints when a process started, in the kernel's own count.
process_start() {
    local stat
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    stat=${stat##*) }
    cut -d' ' -f20 <<<"$stat"
}

# Prints the id of a process that we started, if it still runs. The start time tells it from another one that got its id.
process_id() {
    local id='' start=''
    read -r id start 2>/dev/null <"$STATE/pid/$1" || return 1
    [[ -n $start && $(process_start "$id") == "$start" ]] && echo "$id"
}

process_is_ours() { process_id "$1" >/dev/null; }

# Waits until a command succeeds; gives up when the time is over or when the process has ended.
wait_until() {
    local name=$1 seconds=$2 log=$3
    shift 3
    local deadline=$((SECONDS + seconds))
    until "$@"; do
        if ! process_is_ours "$name"; then fail_with_log "$name" "$log" "ended by itself"; fi
        if ((SECONDS >= deadline)); then fail_with_log "$name" "$log" "did not answer within $seconds s"; fi
        sleep 0.1
    done
}

fail_with_log() {
    local name=$1 log=$2 why=$3
    {
        printf 'workbench: error: %s %s. The end of %s:\n' "$name" "$why" "$log"
        tail -n 20 "$log" | cut -c1-400 | sed 's/^/    /'
        printf "workbench: hint: 'workbench.sh down %s' and 'up %s' try again; 'workbench.sh wipe' starts afresh\n" "${name%.*}" "${name%.*}"
    } >&2
    exit 1
}

# Stops a process by its id and waits for its end. The second name is only for the message.
stop_process() {
    local name=$1 part=$2 id tries
    if ! id=$(process_id "$name"); then rm -f "$STATE/pid/$name"; return 0; fi
    kill -TERM "$id" 2>/dev/null || true
    for ((tries = 0; tries < 200; tries++)); do
        if ! process_is_ours "$name"; then break; fi
        sleep 0.1
    done
    if process_is_ours "$name"; then
        say "$part: process $id did not end within 20 s and is killed"
        kill -KILL "$id" 2>/dev/null || true
    fi
    rm -f "$STATE/pid/$name"
}

# Ends processes of ours that no pid file names any more, by id: their program lies in a folder of ours and their arguments name another.
# Children go with them: a container outlives its shim otherwise.
end_strays() {
    local programs=$1 argument=$2 process line
    for process in /proc/[0-9]*; do
        line=$({ tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null || true)
        if [[ $line == "$programs"* && $line == *"$argument"* ]]; then
            # shellcheck disable=SC2046 # several ids, or none
            kill -KILL "${process#/proc/}" $(cat "$process"/task/*/children 2>/dev/null) 2>/dev/null || true
        fi
    done
}

unmount_below() {
    local mounts point
    mounts=$(awk -v under="$1/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
    while read -r point; do
        if [[ -n $point ]]; then umount -l "$point" 2>/dev/null || true; fi
    done <<<"$mounts"
}
