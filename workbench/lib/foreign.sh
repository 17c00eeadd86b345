# shellcheck shell=bash
# What foreign builds need to be proven here: the base image for arm64 beside that for amd64, and an emulator that can be taken away.

BASE_ARM64=$STATE/cache/base/debian-trixie-slim-arm64.tar
# The folder of the kernel in which it is told what starts foreign programs; it is the whole machine's.
BINFMT=/proc/sys/fs/binfmt_misc
EMULATOR=smp-workbench-aarch64

# Puts both bases under one name into the registry. The engines keep the one that they have; builds ask the registry.
up_base_arm64() {
    up_base
    if [[ ! -e $BASE_ARM64 ]]; then with_lock base-arm64 make_base_arm64; fi
    local address
    address=127.0.0.1:$(cat "$STATE/port/registry")
    with_lock base-registry push_bases "$address"
}

push_bases() {
    local both
    both="$1 $(base_digest) $(head -n 1 "$BASE_ARM64.digest")"
    if [[ $(cat "$STATE/registry/base" 2>/dev/null) == "$both" ]]; then return; fi
    python3 "$HERE/base_image.py" push "http://$1" library/debian trixie-slim "$BASE_TAR" "$BASE_ARM64"
    echo "$both" >"$STATE/registry/base"
    say "base-arm64: pushed beside amd64 as $1/library/$BASE_NAME"
}

# Makes the base for arm64 from that for amd64 and Debian's packages, as smp-image makes images for another machine: nothing is emulated.
make_base_arm64() {
    if [[ -e $BASE_ARM64 ]]; then return; fi
    local folder log=$STATE/log/base-arm64.log
    folder=$(mktemp -d "$STATE/cache/base/arm64.XXXX")
    say "base-arm64: making $BASE_NAME for arm64 from Debian packages, without emulation"
    if ! make_root_arm64 "$folder" >"$log" 2>&1; then
        rm -rf "$folder"
        fail_with_log base-arm64 "$log" "could not be made"
    fi
    tar -C "$folder/target" --numeric-owner --sort=name -cf "$folder/rootfs.tar" .
    python3 "$HERE/base_image.py" pack "$folder/rootfs.tar" "$(archive_date)" "$BASE_ARM64.new" arm64 >"$BASE_ARM64.digest"
    mv "$BASE_ARM64.new" "$BASE_ARM64"
    rm -rf "$folder"
}

make_root_arm64() {
    local folder=$1 link names
    mkdir -p "$folder"/{twin,debs,lists,cache/archives/partial,target/var/lib/dpkg/{info,updates}}
    unpack_layers "$folder/twin"
    (cd "$folder/twin" && find . -mindepth 1 -printf '/%P\0') >"$folder/changed"
    : >"$folder/target/var/lib/dpkg/status"
    for link in bin sbin lib; do cp -a "$folder/twin/$link" "$folder/target/"; done
    read -ra names < <(dpkg-query --admindir="$folder/twin/var/lib/dpkg" -W -f '${Package} ')
    arm64_apt "$folder" update
    (cd "$folder/debs" && arm64_apt "$folder" download "${names[@]}")
    python3 "$REPO/dockerfiles/foreign-debs.py" "$folder/target" "$folder/twin" "$folder/changed" "$folder/debs" "$folder/out" arm64 amd64
    python3 "$REPO/dockerfiles/foreign-loader.py" "$folder/target" "$folder/target" aarch64
    mkdir -p "$folder/target/run/lock"
    chmod 1777 "$folder/target/run/lock"
}

# Unpacks the one layer of the base for amd64.
unpack_layers() {
    local layer
    layer=$(tar -xOf "$BASE_TAR" manifest.json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Layers"][0])')
    tar -xOf "$BASE_TAR" "$layer" | tar -xz -C "$1"
}

arm64_apt() {
    local folder=$1
    shift
    APT_CONFIG=/dev/null apt-get -q -o Dir::Etc::SourceList="$folder/twin/etc/apt/sources.list.d/debian.sources" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$folder/lists" -o Dir::State::status="$folder/target/var/lib/dpkg/status" -o Dir::Cache="$folder/cache" \
        -o APT::Sandbox::User=root -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Acquire::Languages=none "$@"
}

# Lets this machine start programs of arm64, or takes that away again. It concerns every engine on it.
verb_emulate() {
    case ${1-} in
        on)
            unpack_tree qemu
            if [[ ! -e $BINFMT/register ]]; then mount -t binfmt_misc binfmt_misc "$BINFMT"; fi
            if [[ ! -e $BINFMT/$EMULATOR ]]; then
                # Any ELF file of 64 bits for aarch64; the kernel opens the emulator now, so that containers find it.
                printf '%s' ":$EMULATOR:M::"'\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$PACKAGES/qemu/usr/bin/qemu-aarch64-static:OCF" >"$BINFMT/register"
            fi
            ;;
        off) if [[ -e $BINFMT/$EMULATOR ]]; then echo -1 >"$BINFMT/$EMULATOR"; fi ;;
        *) die "emulate takes on or off" ;;
    esac
}
