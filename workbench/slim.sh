#!/bin/sh
# Finishes the root folder of the base image as the official one is: one apt source, no package caches, nothing of the machine it was made on.
# usage: slim.sh ROOT SOURCES
set -eu
root=$1 sources=$2

rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap
cp "$sources" "$root/etc/apt/sources.list.d/debian.sources"
cp "$(dirname "$0")/slim.dpkg" "$root/etc/dpkg/dpkg.cfg.d/docker"
cat >"$root/etc/apt/apt.conf.d/docker-clean" <<'CONF'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
CONF
echo 'Acquire::Languages "none";' >"$root/etc/apt/apt.conf.d/docker-no-languages"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
: >"$root/etc/hostname"
rm -f "$root"/var/cache/apt/*.bin "$root/etc/resolv.conf" "$root/etc/machine-id" "$root/var/log/alternatives.log" "$root/var/log/bootstrap.log" \
    "$root/var/log/dpkg.log" "$root/var/log/apt"/* "$root/var/cache/ldconfig/aux-cache"
