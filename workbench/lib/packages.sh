# shellcheck shell=bash
# Debian packages as files: found through the machine's own apt sources, downloaded, unpacked, never installed.

PACKAGES=$STATE/cache/packages
APT=$STATE/cache/apt
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# What each unpacked tree holds, as package/suite. Debian 13's engine runs with Debian 12's containerd and runc on glibc 2.34 or newer.
tree_packages() {
    case $1 in
        docker20) echo docker.io/bookworm containerd/bookworm runc/bookworm tini/bookworm ;;
        docker26) echo docker.io/trixie containerd/bookworm runc/bookworm tini/bookworm ;;
        client) echo docker-cli/trixie docker-buildx/trixie ;;
        registry) echo docker-registry/bookworm ;;
        mmdebstrap) echo mmdebstrap/bookworm ;;
        qemu) echo qemu-user-static/bookworm ;;
        perl) echo perl/bookworm perl-base/bookworm perl-modules-5.36/bookworm libperl5.36/bookworm ;;
    esac
}

# Packages that carry a shared library which a bare machine may lack.
library_package() {
    case $1 in
        libdevmapper.so.*) echo libdevmapper1.02.1/bookworm ;;
        libseccomp.so.*) echo libseccomp2/bookworm ;;
        libsystemd.so.*) echo libsystemd0/bookworm ;;
        libudev.so.*) echo libudev1/bookworm ;;
        libselinux.so.*) echo libselinux1/bookworm ;;
        libpcre2-8.so.*) echo libpcre2-8-0/bookworm ;;
        libcap.so.*) echo libcap2/bookworm ;;
        libgcrypt.so.*) echo libgcrypt20/bookworm ;;
        libgpg-error.so.*) echo libgpg-error0/bookworm ;;
        liblz4.so.*) echo liblz4-1/bookworm ;;
    esac
}

# libfabric of Debian 13 and what it loads, as files.
FABRIC_PACKAGES=(libfabric1 ibverbs-providers libibverbs1 librdmacm1t64 libnl-3-200 libnl-route-3-200 libpsm2-2 libnuma1)

up_fabric() {
    if [[ -e $PACKAGES/fabric/.complete ]]; then return; fi
    with_lock packages make_fabric
}

make_fabric() {
    local package
    if [[ -e $PACKAGES/fabric/.complete ]]; then return; fi
    mkdir -p "$PACKAGES/fabric"
    for package in "${FABRIC_PACKAGES[@]}"; do cp "$(download_package "$package/trixie")" "$PACKAGES/fabric/"; done
    touch "$PACKAGES/fabric/.complete"
}

tree_marker() { echo "$PACKAGES/$1/.complete"; }

# Prints the folders of a tree that belong on the PATH.
tree_path() { echo "$PACKAGES/$1/usr/sbin:$PACKAGES/$1/usr/bin:$PATH"; }

tree_libraries() { echo "$PACKAGES/$1/usr/lib/x86_64-linux-gnu:$PACKAGES/$1/lib/x86_64-linux-gnu"; }

# Makes sure that a tree is unpacked.
unpack_tree() {
    if [[ -e $(tree_marker "$1") ]]; then return; fi
    with_lock packages unpack_tree_locked "$1"
}

unpack_tree_locked() {
    local tree=$1 packages
    if [[ -e $(tree_marker "$tree") ]]; then return; fi
    say "$tree: downloading and unpacking"
    rm -rf "${PACKAGES:?}/$tree"
    mkdir -p "$PACKAGES/$tree"
    read -ra packages <<<"$(tree_packages "$tree")"
    unpack_packages "$tree" "${packages[@]}"
    supply_libraries "$tree"
    touch "$(tree_marker "$tree")"
}

unpack_packages() {
    local tree=$1 package deb
    shift
    for package in "$@"; do
        deb=$(download_package "$package")
        dpkg-deb -x "$deb" "$PACKAGES/$tree"
    done
}

# Adds the packages of shared libraries that the tree's programs need and the machine lacks.
supply_libraries() {
    local tree=$1 round missing library package
    for round in 1 2 3; do
        missing=$({ LD_LIBRARY_PATH=$(tree_libraries "$tree") find "$PACKAGES/$tree/usr" -type f -path '*bin/*' -exec ldd {} + 2>/dev/null || true; } |
            awk '/=> not found/ { print $1 }' | sort -u)
        if [[ -z $missing ]]; then return; fi
        for library in $missing; do
            package=$(library_package "$library")
            if [[ -z $package ]]; then die "$tree needs $library: install the package that holds it, then run this again"; fi
            say "$tree: this machine lacks $library; taking it from ${package%/*} (round $round)"
            unpack_packages "$tree" "$package"
        done
    done
}

# Downloads one package (name/suite) and prints the path of its file. The package lists are fetched when absent, and again when they are stale.
download_package() {
    local folder=$STATE/cache/debs/${1//\//_}
    if ! compgen -G "$folder/*.deb" >/dev/null; then
        mkdir -p "$folder"
        if [[ ! -e $APT/.fresh ]]; then update_lists; fi
        if ! (cd "$folder" && private_apt download "$1" >"$APT/log" 2>&1); then
            update_lists
            if ! (cd "$folder" && private_apt download "$1" >"$APT/log" 2>&1); then
                tail -n 10 "$APT/log" >&2
                die "apt cannot download $1: see the lines above; the machine's own 'apt-get update' must work"
            fi
        fi
    fi
    echo "$folder"/*.deb
}

private_apt() {
    apt-get -q -o Dir::Etc::SourceList="$APT/workbench.sources" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$APT/lists" -o Dir::Cache="$APT/cache" -o APT::Sandbox::User=root -o APT::Architecture=amd64 \
        -o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

update_lists() {
    say "fetching package lists"
    mkdir -p "$APT"/{lists,cache}/partial
    write_sources "$APT/workbench.sources" bookworm trixie
    if ! private_apt update -o APT::Update::Error-Mode=any >"$APT/log" 2>&1; then
        tail -n 10 "$APT/log" >&2
        die "apt cannot fetch the package lists: see the lines above"
    fi
    touch "$APT/.fresh"
}

# Writes an apt source for Debian suites with the mirror that the machine itself uses.
write_sources() {
    local file=$1 mirror
    shift
    mirror=$(debian_mirror)
    if [[ ! -e $KEYRING ]]; then
        die "$KEYRING is missing: 'apt-get install debian-archive-keyring' brings Debian's keys"
    fi
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$*" "$KEYRING" >"$file"
}

# Prints the machine's Debian mirror, from its own apt sources of either format.
debian_mirror() {
    if [[ -n ${SMP_WB_DEBIAN_MIRROR-} ]]; then echo "$SMP_WB_DEBIAN_MIRROR"; return; fi
    local uri
    for uri in $(source_uris); do
        if [[ ${uri%/} == */debian ]]; then echo "$uri"; return; fi
    done
    die "no Debian mirror in this machine's apt sources (Ubuntu?): set SMP_WB_DEBIAN_MIRROR to the address of one"
}

# Prints the machine's mirror of Debian's security updates, or nothing.
debian_security_mirror() {
    local uri
    for uri in $(source_uris); do
        if [[ ${uri%/} == */debian-security ]]; then echo "$uri"; return; fi
    done
}

source_uris() {
    local files=()
    mapfile -t files < <(find /etc/apt -maxdepth 2 \( -name '*.sources' -o -name '*.list' \) -type f | sort)
    if ((${#files[@]})); then
        awk '$1 == "URIs:" { for (i = 2; i <= NF; i++) print $i }
             $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; break } }' "${files[@]}"
    fi
}
