#!/usr/bin/env bash
# Stands up real engines, registries and AWS APIs on a bare Debian or Ubuntu machine, for the demo, the live tests and the benchmarks.
#
# Nothing is installed on the machine: packages are downloaded with the machine's own apt sources, unpacked under the state folder and
# started from there on private sockets and on loopback ports. See README.md beside this file.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(dirname "$HERE")
STATE=${SMP_WORKBENCH:-$REPO/target/workbench}
[[ $STATE == /* ]] || STATE=$PWD/$STATE

PARTS=(engine20 engine26 engine26c buildx studio studio-vpc buildkitd registry registry-auth ecr tools fabric base base-arm64)
ENGINES=(engine20 engine26 engine26c)

# shellcheck source=lib/state.sh
source "$HERE/lib/state.sh"
# shellcheck source=lib/packages.sh
source "$HERE/lib/packages.sh"
# shellcheck source=lib/engines.sh
source "$HERE/lib/engines.sh"
# shellcheck source=lib/services.sh
source "$HERE/lib/services.sh"
# shellcheck source=lib/standins.sh
source "$HERE/lib/standins.sh"
# shellcheck source=lib/base.sh
source "$HERE/lib/base.sh"
# shellcheck source=lib/foreign.sh
source "$HERE/lib/foreign.sh"

usage() {
    cat <<TEXT
usage: workbench.sh VERB [PART...]        without PART: every part

  up       start the parts; returns at once when they run already
  env      print 'export NAME=VALUE' lines for the parts that run
  status   print one line for each part
  down     stop the parts; their data and downloads stay
  prune    drop the build caches and the images (but the base) of running engines
  emulate  on: let this machine start programs of arm64 (the whole machine, every engine); off: no longer
  wipe     stop everything and remove the state folder; with --keep-downloads, all of it but the downloads

parts: ${PARTS[*]}
state: $STATE  (set SMP_WORKBENCH to move it)

  workbench.sh up engine26c registry base && eval "\$(workbench.sh env)"
TEXT
}

# Starts one part. A part that is up answers within a fraction of a second.
start_part() {
    case $1 in
        engine*) up_engine "$1" ;;
        buildx) up_buildx ;;
        studio*) up_studio "$1" ;;
        buildkitd) up_buildkitd ;;
        registry) up_registry ;;
        registry-auth) up_registry_auth ;;
        ecr) up_ecr ;;
        tools) up_tools ;;
        fabric) up_fabric ;;
        base) up_base ;;
        base-arm64) up_base_arm64 ;;
    esac
}

part_is_up() {
    case $1 in
        engine*) engine_is_up "$1" ;;
        buildx) [[ -e $(tree_marker client) ]] ;;
        studio*) studio_is_up "$1" ;;
        buildkitd) buildkitd_is_up ;;
        registry | registry-auth | ecr) service_is_up "$1" ;;
        tools) [[ -e $TOOLS/.complete ]] ;;
        fabric) [[ -e $PACKAGES/fabric/.complete ]] ;;
        base) [[ -e $BASE_TAR ]] ;;
        base-arm64) [[ -e $BASE_ARM64 ]] ;;
    esac
}

stop_part() {
    case $1 in
        engine*) with_lock "$1" stop_engine "$1" ;;
        registry | registry-auth | ecr) with_lock "$1" stop_service "$1" ;;
        studio* | buildkitd) with_lock "$1" stop_process "$1" "$1" ;;
        buildx | tools | fabric | base | base-arm64) ;; # files only; `wipe` removes them
    esac
}

# Prints the variables of one part that is up.
part_env() {
    case $1 in
        engine20 | engine26 | engine26c) export_line "SMP_WB_${1^^}" "unix://$(engine_socket "$1")" ;;
        buildx)
            export_line SMP_WB_DOCKER "$DOCKER"
            export_line SMP_WB_DOCKER_CONFIG "$DOCKER_CONFIG_DIR"
            export_line SMP_WB_BUILDX "$BUILDX"
            ;;
        studio) export_line SMP_WB_STUDIO "unix://$(studio_socket studio)" ;;
        studio-vpc) export_line SMP_WB_STUDIO_VPC "unix://$(studio_socket studio-vpc)" ;;
        buildkitd) export_line SMP_WB_BUILDKITD "tcp://127.0.0.1:$(cat "$STATE/port/buildkitd")" ;;
        registry) export_line SMP_WB_REGISTRY "127.0.0.1:$(cat "$STATE/port/registry")" ;;
        registry-auth)
            export_line SMP_WB_REGISTRY_AUTH "127.0.0.1:$(cat "$STATE/port/registry-auth")"
            export_line SMP_WB_REGISTRY_AUTH_USER AWS
            export_line SMP_WB_REGISTRY_AUTH_PASSWORD "$(cat "$STATE/registry-auth/password")"
            ;;
        ecr) export_line SMP_WB_ECR "http://127.0.0.1:$(cat "$STATE/port/ecr")" ;;
        tools)
            export_line SMP_WB_UV "$TOOLS/bin/uv"
            export_line SMP_WB_HADOLINT "$TOOLS/bin/hadolint"
            export_line SMP_WB_WHEELS "$STATE/cache/wheels"
            ;;
        fabric) export_line SMP_WB_FABRIC "$PACKAGES/fabric" ;;
        base) export_line SMP_WB_BASE_TAR "$BASE_TAR" ;;
        base-arm64) export_line SMP_WB_BASE_ARM64 "$BASE_ARM64" ;;
    esac
}

export_line() { printf 'export %s=%q\n' "$1" "$2"; }

# Starts parts side by side; the base is made beside them and put last into whatever engine runs by then.
verb_up() {
    require_machine
    mkdir -p "$STATE"/{cache,lock,log,pid,port} "$RUN"
    : >"$STATE/.smp-workbench"
    local part job failed=() jobs=() names=() bases=()
    for part in "$@"; do
        if [[ $part == base* ]]; then bases+=("$part"); (prepare_base) & else (start_part "$part") & fi
        jobs+=($!) names+=("$part")
    done
    for job in "${!jobs[@]}"; do
        wait "${jobs[job]}" || failed+=("${names[job]}")
    done
    if [[ " ${failed[*]} " != *" base"* ]]; then
        for part in "${bases[@]}"; do
            (start_part "$part") &
            wait $! || failed+=("$part")
        done
    fi
    if ((${#failed[@]})); then die "not up: ${failed[*]}"; fi
}

verb_env() {
    local part
    for part in "$@"; do
        if part_is_up "$part"; then part_env "$part"; fi
    done
}

verb_status() {
    local part
    for part in "$@"; do
        if part_is_up "$part"; then
            printf '%-14s up    %s\n' "$part" "$(part_env "$part" | sed 's/^export [A-Z0-9_]*=//' | paste -sd' ')"
        else
            printf '%-14s down\n' "$part"
        fi
    done
    if [[ -d $STATE ]]; then du -sh "$STATE" 2>/dev/null || true; fi
}

verb_down() {
    require_machine
    if [[ ! -e $STATE/.smp-workbench ]]; then return; fi
    local part
    for part in "$@"; do (stop_part "$part") & done
    wait
}

verb_prune() {
    local engine
    for engine in "${ENGINES[@]}"; do
        if engine_is_up "$engine"; then prune_engine "$engine"; fi
    done
}

verb_wipe() {
    if [[ ! -e $STATE ]]; then return; fi
    if [[ ! -e $STATE/.smp-workbench ]]; then die "$STATE was not made by this script: not removing it"; fi
    verb_down "${PARTS[@]}"
    unmount_below "$STATE"
    unmount_below "$RUN"
    rm -rf --one-file-system "$RUN"
    if [[ ${1-} == --keep-downloads ]]; then
        find "$STATE" -mindepth 1 -maxdepth 1 ! -name cache ! -name .smp-workbench -exec rm -rf --one-file-system {} +
    else
        rm -rf --one-file-system "$STATE"
    fi
}

main() {
    local verb=${1-help}
    shift || true
    if [[ $verb == wipe || $verb == emulate ]]; then "verb_$verb" "$@"; return; fi
    local part
    for part in "$@"; do
        if [[ " ${PARTS[*]} " != *" $part "* ]]; then usage >&2; die "no part is called '$part'"; fi
    done
    if (($# == 0)); then set -- "${PARTS[@]}"; fi
    case $verb in
        up | env | status | down | prune) "verb_$verb" "$@" ;;
        help | -h | --help) usage ;;
        *) usage >&2; die "no verb is called '$verb'" ;;
    esac
}

main "$@"
