#!/bin/sh
# Makes a base image of Debian's packages, where no registry is reachable: as root, with debootstrap and buildah.
#   containers/base-image.sh NAME [MIRROR]      without a mirror, from where apt gets this machine's packages
set -eu
suite=bookworm
name=$1
mirror=${2:-$(apt-get indextargets --format '$(REPO_URI)' "Codename: $suite" | head -n 1)}
packages=python3,python3-venv,ca-certificates

container=$(buildah from scratch)
trap 'buildah rm "$container" > /dev/null' EXIT
root=$(buildah mount "$container")
debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror"
echo "deb ${mirror%/}-security $suite-security main" > "$root/etc/apt/sources.list.d/security.list"
chroot "$root" sh -c 'apt-get update && apt-get --yes upgrade && apt-get clean'
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt/*
buildah umount "$container"
buildah config --cmd bash "$container"
buildah commit --format docker "$container" "$name"
