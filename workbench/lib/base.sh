# shellcheck shell=bash
# The base image without a container registry: debian:trixie-slim made from Debian's packages, put into the engines and the registry.
#
# The archive holds one image in the two forms that `docker save` writes (OCI layout and manifest.json), so each engine and each OCI
# reader takes it, and its digests are the same everywhere.

BASE_NAME=debian:trixie-slim
BASE_TAR=$STATE/cache/base/debian-trixie-slim.tar

up_base() {
    up_buildx
    up_registry
    prepare_base
    local address engine
    address=127.0.0.1:$(cat "$STATE/port/registry")
    with_lock base-registry push_base "$address"
    for engine in "${ENGINES[@]}"; do
        if engine_is_up "$engine"; then load_base "$engine"; fi
    done
}

# Makes the archive, which needs no engine.
prepare_base() { if [[ ! -e $BASE_TAR ]]; then with_lock base make_base; fi; }

push_base() {
    # Beside it may be the base for arm64, under the same name.
    if [[ $(cat "$STATE/registry/base" 2>/dev/null) == "$1 $(base_digest)"* ]]; then return; fi
    python3 "$HERE/base_image.py" push "http://$1" library/debian trixie-slim "$BASE_TAR"
    echo "$1 $(base_digest)" >"$STATE/registry/base"
    say "base: pushed as $1/library/$BASE_NAME, $(base_digest)"
}

base_digest() { head -n 1 "$BASE_TAR.digest"; }

# Tells whether an engine has this very base. Graph drivers call an image by its config's digest, containerd by its own.
base_is_loaded() {
    local id
    id=$(on_engine "$1" image inspect --format '{{.Id}}' "$BASE_NAME" 2>/dev/null) && grep -qxF "$id" "$BASE_TAR.digest"
}

load_base() {
    if ! base_is_loaded "$1"; then with_lock "$1-base" load_base_locked "$1"; fi
}

load_base_locked() {
    if base_is_loaded "$1"; then return; fi
    on_engine "$1" load -q -i "$BASE_TAR" >/dev/null
    say "$1: loaded $BASE_NAME"
}

make_base() {
    local folder=$STATE/cache/base log=$STATE/log/base.log security run
    if [[ -e $BASE_TAR ]]; then return; fi
    mkdir -p "$folder"
    unpack_tree mmdebstrap
    if [[ ! -e $APT/.fresh ]]; then with_lock packages update_lists; fi
    say "base: making $BASE_NAME from Debian packages (half a minute)"
    write_sources "$folder/debian.sources" trixie trixie-updates
    security=$(debian_security_mirror)
    if [[ -n $security ]]; then
        printf '\nTypes: deb\nURIs: %s\nSuites: trixie-security\nComponents: main\nSigned-By: %s\n' "$security" "$KEYRING" >>"$folder/debian.sources"
    fi
    run=(env PATH="$(tree_path mmdebstrap)" SOURCE_DATE_EPOCH="$(archive_date)" TMPDIR="$folder")
    if ! perl -MPod::Usage -MEnglish -e 'require "sys/ioctl.ph"' 2>/dev/null; then
        unpack_tree perl
        run+=(PERL5LIB="$(perl_modules)" "$PACKAGES/perl/usr/bin/perl")
    fi
    if ! "${run[@]}" "$PACKAGES/mmdebstrap/usr/bin/mmdebstrap" --variant=minbase --include=ca-certificates \
        --architectures=amd64 --dpkgopt="$HERE/slim.dpkg" \
        --customize-hook="$HERE/slim.sh \"\$1\" '$folder/debian.sources'" \
        trixie "$folder/rootfs.tar" "$folder/debian.sources" >"$log" 2>&1; then
        fail_with_log base "$log" "could not be made"
    fi
    python3 "$HERE/base_image.py" pack "$folder/rootfs.tar" "$(archive_date)" "$BASE_TAR.new" amd64 >"$BASE_TAR.digest"
    rm "$folder/rootfs.tar"
    mv "$BASE_TAR.new" "$BASE_TAR"
}

# Prints where the unpacked Perl has its modules: a bare machine has only the few that apt and dpkg need.
perl_modules() {
    local library=$PACKAGES/perl/usr/lib/x86_64-linux-gnu
    echo "$library/perl/5.36:$library/perl-base:$PACKAGES/perl/usr/share/perl/5.36"
}

# The date of Debian 13's package index: the same packages, the same bytes.
archive_date() {
    local release
    release=$(find "$APT/lists" -name '*_dists_trixie_*Release' | sort | head -n 1)
    date -ud "$(awk -F': ' '$1 == "Date" { print $2; exit }' "$release")" +%s
}
