# shellcheck shell=bash
# Three Docker Engines side by side, each with its own containerd, bridge, data and socket; and the client with buildx.
#
#   engine20    20.10.24, Engine API 1.41, classic builder: SageMaker Studio and old CI runners
#   engine26    26.1.5 with the overlay2 graph driver: most servers
#   engine26c   26.1.5 with the containerd image store: Docker Desktop and new installs

DOCKER=$PACKAGES/client/usr/bin/docker
BUILDX=$PACKAGES/client/usr/libexec/docker/cli-plugins/docker-buildx
DOCKER_CONFIG_DIR=$STATE/docker-config
CDI_DIR=$STATE/cdi

engine_tree() { if [[ $1 == engine20 ]]; then echo docker20; else echo docker26; fi; }

engine_socket() { echo "$RUN/$1/docker.sock"; }

# Talks to one engine with the unpacked client.
on_engine() {
    local engine=$1
    shift
    DOCKER_CONFIG=$DOCKER_CONFIG_DIR DOCKER_CONTEXT='' DOCKER_TLS_VERIFY='' DOCKER_HOST=unix://$(engine_socket "$engine") "$DOCKER" "$@"
}

engine_is_up() { process_is_ours "$1" && engine_answers "$1"; }

engine_answers() { [[ -S $(engine_socket "$1") ]] && on_engine "$1" version --format '{{.Server.Version}}' >/dev/null 2>&1; }

up_buildx() {
    unpack_tree client
    if [[ ! -e $DOCKER_CONFIG_DIR/config.json ]]; then
        mkdir -p "$DOCKER_CONFIG_DIR"
        printf '{"cliPluginsExtraDirs": ["%s"]}\n' "${BUILDX%/*}" >"$DOCKER_CONFIG_DIR/config.json"
    fi
}

up_engine() {
    up_buildx
    if ! engine_is_up "$1"; then
        unpack_tree "$(engine_tree "$1")"
        with_lock "$1" start_engine "$1"
    fi
    if [[ -e $BASE_TAR ]]; then load_base "$1"; fi
}

start_engine() {
    local engine=$1 run=$RUN/$1 log=$STATE/log/$1.log tree bridge
    if engine_is_up "$engine"; then return; fi
    stop_engine "$engine"
    mkdir -p "$run" "$STATE/engines/$engine" "$CDI_DIR"
    if [[ $(stat -f -c %T "$STATE") == overlayfs ]]; then
        die "$engine: $STATE lies on an overlay file system, where an engine cannot keep images; set SMP_WORKBENCH to a folder on a disk"
    fi
    tree=$(engine_tree "$engine")
    bridge=$(engine_bridge "$engine")
    python3 "$HERE/bridge.py" add "${bridge% *}" "${bridge#* }"
    write_containerd_config "$engine"
    write_engine_config "$engine"
    tail -c 100000 "$log" >"$log.1" 2>/dev/null || true
    : >"$log"

    local environment=(env PATH="$(tree_path "$tree")" LD_LIBRARY_PATH="$(tree_libraries "$tree")")
    spawn "$engine.containerd" "$log" "${environment[@]}" \
        "$PACKAGES/$tree/usr/bin/containerd" --config "$run/containerd.toml" --log-level warn
    wait_until "$engine.containerd" 30 "$log" test -S "$run/containerd.sock"
    spawn "$engine" "$log" "${environment[@]}" \
        "$PACKAGES/$tree/usr/sbin/dockerd" --config-file "$run/daemon.json" --containerd "$run/containerd.sock" \
        -H "unix://$(engine_socket "$engine")" --data-root "$STATE/engines/$engine/docker" --exec-root "$run/exec" \
        --pidfile "$run/docker.pid" --bridge "${bridge% *}" --iptables=false --ip-masq=false --ip-forward=false \
        --exec-opt native.cgroupdriver=cgroupfs
    wait_until "$engine" 60 "$log" engine_answers "$engine"
    say "$engine: $(on_engine "$engine" version --format '{{.Server.Version}}, API {{.Server.APIVersion}}') at unix://$(engine_socket "$engine")"
}

# Prints the bridge's name and address: an own one for each engine of each state folder, since an engine takes its bridge for its own.
engine_bridge() {
    local sum index
    sum=$(cksum <<<"$STATE" | cut -d' ' -f1)
    case $1 in engine20) index=0 ;; engine26) index=1 ;; *) index=2 ;; esac
    printf 'smpwb%d-%04x 10.%d.%d.1\n' "$index" "$((sum % 65536))" "$((216 + index))" "$((sum % 250 + 1))"
}

write_containerd_config() {
    local engine=$1
    cat >"$RUN/$engine/containerd.toml" <<TOML
version = 2
root = "$STATE/engines/$engine/containerd"
state = "$RUN/$engine/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
address = "$RUN/$engine/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "$STATE/engines/$engine/opt"
TOML
}

# The registry stands in for Docker Hub too: what it does not have, an engine asks the real one for.
write_engine_config() {
    local engine=$1 port more='"storage-driver": "overlay2"'
    port=$(reserved_port registry "$REGISTRY_PORT")
    case $engine in
        engine26) more+=', "features": {"cdi": true}, "cdi-spec-dirs": ["'$CDI_DIR'"]' ;;
        engine26c) more='"features": {"cdi": true, "containerd-snapshotter": true}, "cdi-spec-dirs": ["'$CDI_DIR'"]' ;;
    esac
    printf '{"insecure-registries": ["127.0.0.0/8"], "registry-mirrors": ["http://127.0.0.1:%s"], %s}\n' "$port" "$more" \
        >"$RUN/$engine/daemon.json"
}

# Tells a running engine where the registry is, after it had to move to another port. An engine that is about to start is waited for.
repoint_engine() {
    if engine_is_up "$1"; then
        write_engine_config "$1"
        kill -HUP "$(process_id "$1")"
    fi
}

stop_engine() {
    local engine=$1 bridge
    stop_process "$engine" "$engine"
    stop_process "$engine.containerd" "$engine"
    end_strays "$PACKAGES/docker" "$RUN/$engine/"
    unmount_below "$STATE/engines/$engine"
    unmount_below "$RUN/$engine"
    rm -rf --one-file-system "${RUN:?}/$engine"
    bridge=$(engine_bridge "$engine")
    python3 "$HERE/bridge.py" remove "${bridge% *}"
}

prune_engine() {
    local engine=$1 keep image
    on_engine "$engine" container prune -f >/dev/null
    on_engine "$engine" builder prune -af >/dev/null
    keep=$(on_engine "$engine" image inspect --format '{{.Id}}' "$BASE_NAME" 2>/dev/null || true)
    for image in $(on_engine "$engine" images -aq --no-trunc | sort -u); do
        # An image that a container uses, or that another one is made from, refuses; it stays.
        if [[ $image != "$keep" ]]; then on_engine "$engine" image rm -f "$image" >/dev/null 2>&1 || true; fi
    done
    say "$engine: pruned; $(on_engine "$engine" system df --format '{{.Type}} {{.Size}}' | paste -sd, | sed 's/,/, /g')"
}
