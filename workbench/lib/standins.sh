# shellcheck shell=bash
# Stand-ins in front of real engines, for what no package registry has: SageMaker Studio's proxy, and the address of a BuildKit daemon.

BUILDKITD_PORT=15854

studio_socket() { echo "$RUN/$1.sock"; }

studio_is_up() { process_is_ours "$1" && [[ -S $(studio_socket "$1") ]]; }

# Starts SageMaker Studio's rules in front of engine20; `studio-vpc` is a domain that is cut off from public registries.
up_studio() {
    if ! engine_is_up engine20; then up_engine engine20; fi
    with_lock "$1" start_studio "$1"
}

start_studio() {
    local name=$1 log=$STATE/log/$1.log more=()
    if studio_is_up "$name"; then return; fi
    stop_process "$name" "$name"
    rm -f "$(studio_socket "$name")"
    if [[ $name == studio-vpc ]]; then more=(--vpc-only); fi
    : >"$log"
    spawn "$name" "$log" python3 "$HERE/studio_proxy.py" "$(engine_socket engine20)" "$(studio_socket "$name")" "${more[@]}"
    wait_until "$name" 30 "$log" studio_is_up "$name"
    say "$name: at unix://$(studio_socket "$name")"
}

buildkitd_is_up() { process_is_ours buildkitd && port_answers "$(cat "$STATE/port/buildkitd")"; }

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

up_buildkitd() {
    if ! engine_is_up engine26c; then up_engine engine26c; fi
    with_lock buildkitd start_buildkitd
}

start_buildkitd() {
    local log=$STATE/log/buildkitd.log port
    if buildkitd_is_up; then return; fi
    stop_process buildkitd buildkitd
    : >"$log"
    port=$(with_lock port choose_port buildkitd "$BUILDKITD_PORT")
    spawn buildkitd "$log" python3 "$HERE/buildkitd_bridge.py" "$(engine_socket engine26c)" "$port"
    wait_until buildkitd 30 "$log" buildkitd_is_up
    say "buildkitd: at tcp://127.0.0.1:$port"
}
