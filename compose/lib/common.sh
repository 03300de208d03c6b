# shellcheck shell=bash
# What prepare and the scripts it runs share. Sourced by them; leaves the shell in the repository's root.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
source compose/images.env

# The name that an image built here gets; all of ours are named so, and so is what could not be pulled.
own_tag() { printf 'image-pipeline/%s:local\n' "$1"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

is_root() { [[ $EUID -eq 0 ]]; }

is_debian_12() { (. /etc/os-release && [[ $ID == debian && $VERSION_ID == 12 ]]) 2>/dev/null; }

# What takes root on Debian 12: installing packages, and building a Debian out of them.
may_install() { is_root && is_debian_12; }

# PACKAGE…: installs Debian packages without questions and without what they only recommend.
apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  apt-get install --yes --no-install-recommends "$@"
}

# TOOL…: whether programs built here run on the base image: same kind of system, C library not newer than the base's
# (Debian 12 has glibc 2.36), and the tools are installed. Where not, a builder container does the same work.
can_build_here() {
  local tool glibc
  [[ $(uname -s) == Linux ]] || return 1
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || return 1
  printf '%s\n' "${glibc#glibc }" 2.36 | sort --version-sort --check=quiet || return 1
  for tool; do command -v "$tool" >/dev/null || return 1; done
}

# NAME: an empty folder for that image's build context, and beside it the hash of what is built from now on: whatever
# is edited during the build leaves the image stale.
new_context() {
  local context=target/prepare/$1
  rm -rf "$context"
  mkdir -p "$context"
  compose/source-hash "$1" >"$context.hash"
  printf '%s\n' "$context"
}

# NAME TAG CONTEXT [OPTION…]: builds compose/NAME/Dockerfile in a context from new_context. The builder that is named
# after docker's own context is the engine's, the only kind that sees images which were never pushed; nothing is pulled
# that is already here.
build_image() {
  local name=$1 tag=$2 context=$3
  shift 3
  docker buildx --builder "$(docker context show)" build --progress=plain --pull=false \
    --file "compose/$name/Dockerfile" --tag "$tag" --build-arg BASE_IMAGE="$(own_tag base)" \
    --label image-pipeline="$name" --label source-hash="$(<"$context.hash")" "$@" "$context" ||
    return
  # The image that had this tag before is of no more use.
  docker image prune --force --filter label=image-pipeline="$name"
}

# MODULE@VERSION FOLDER: compiles a Go program, statically linked, into FOLDER.
go_install() {
  CGO_ENABLED=0 GOBIN=$PWD/$2 nice go install -trimpath -ldflags='-s -w' "$1"
}

# NAME FOLDER: copies what an image is made from, as `source-hash` counts it.
copy_sources() {
  mkdir -p "$2"
  compose/source-hash --files "$1" | tar --create --null --files-from=- | tar --extract --directory="$2"
}
