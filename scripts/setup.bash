# Shared by scripts/demo and scripts/test (source it): installs what is missing, finds cargo, builds with colcon.
# Nothing here reads standard input.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
minimum_cargo=1.85
# Build products lie below target/, one folder per environment: CMake's caches cannot be shared between them.
colcon_root=$repository/target/colcon

say() { printf '== %s\n' "$*"; }
die() { printf '!! %s\n' "$*" >&2; exit 1; }

# To build at all; libclang is what bindgen reads headers with.
build_packages=(cmake make gcc g++ libc6-dev libclang-dev)
# Where there is no colcon yet (ROS 2 brings its own).
colcon_packages=(
  colcon python3-colcon-cmake python3-colcon-ros python3-colcon-test-result python3-colcon-output
  python3-colcon-library-path python3-colcon-recursive-crawl python3-colcon-package-information
  python3-colcon-package-selection python3-colcon-metadata python3-colcon-parallel-executor
  python3-colcon-defaults python3-colcon-bash
)
# Without ROS 2: ament, rosidl's generators with C/C++ introspection, rcutils.
bare_packages=(
  ament-cmake ament-cmake-pytest rosidl-cmake rosidl-generator-c-cpp
  librcutils-dev librosidl-runtime-c-cpp-dev librosidl-typesupport-interface-dev
  librosidl-typesupport-introspection-c-cpp-dev
)
test_packages=(python3-pytest binutils)

has_apt() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

can_be_root() { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif sudo -n true </dev/null 2>/dev/null; then sudo -n "$@"
  else sudo "$@"
  fi
}

is_installed() { [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# install_missing PACKAGE...: those of Debian's packages that are not there yet.
install_missing() {
  local missing=() package
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  can_be_root || die "packages are missing, and this is neither root nor is there a sudo. As root:" \
    "apt-get install --no-install-recommends ${missing[*]}"
  say "installing with apt-get: ${missing[*]}"
  refresh_package_lists
  apt_install "${missing[@]}" || die "apt-get could not install: ${missing[*]}"
}

package_lists_are_fresh=
refresh_package_lists() {
  [ -n "$package_lists_are_fresh" ] && return
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update --quiet=2 </dev/null ||
    say "apt-get update failed; going on with the package lists that are there"
  package_lists_are_fresh=yes
}

# --no-remove: never at the cost of something that is installed (Debian's cargo-web conflicts with its old cargo).
apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-remove --no-install-recommends \
    -o Dpkg::Use-Pty=0 "$@" </dev/null >"$log_root/apt.log" 2>&1 || { tail -n 20 "$log_root/apt.log" >&2; return 1; }
}

# version_at_least VERSION MINIMUM
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort --version-sort | head -n 1)" = "$2" ]; }

# usable_cargo: prints the path of a cargo that is recent enough. (~ is known where HOME is not set.)
usable_cargo() {
  local candidate version
  for candidate in "$(command -v cargo || true)" "${CARGO_HOME:-$(echo ~)/.cargo}/bin/cargo" /usr/bin/cargo; do
    [ -x "$candidate" ] || continue
    version=$(cd "$repository" && "$candidate" --version 2>/dev/null </dev/null | sed -n 's/^cargo \([0-9.]*\).*/\1/p')
    if [ -n "$version" ] && version_at_least "$version" "$minimum_cargo"; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# candidate_version PACKAGE: the version that apt would install, without epoch.
candidate_version() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9]*:\)\?\([0-9][0-9.]*\).*/\2/p'; }

# ensure_cargo: sets CARGO and puts its folder first in PATH, so that rustc, rustfmt and clippy are of the same make.
ensure_cargo() {
  local package version packages=()
  if ! CARGO=$(usable_cargo); then
    if has_apt && can_be_root; then packages=(cargo-web cargo); refresh_package_lists; fi
    for package in "${packages[@]}"; do
      version=$(candidate_version "$package")
      [ -n "$version" ] && version_at_least "$version" "$minimum_cargo" || continue
      say "no cargo >= $minimum_cargo here; installing Debian's $package $version"
      apt_install "$package" "${package/cargo/rustc}" || say "$package cannot be installed"
      CARGO=$(usable_cargo) && break
    done
    [ -n "${CARGO:-}" ] || die "cargo $minimum_cargo or later is needed: install Rust with rustup (https://rustup.rs; needs" \
      "no root), or Debian 12's packages cargo-web and rustc-web (they replace an older cargo: apt-get install cargo-web)"
  fi
  export CARGO
  PATH=$(dirname "$CARGO"):$PATH
  say "cargo: $CARGO ($("$CARGO" --version </dev/null))"
}

# ensure_tools [PACKAGE...]: all that every build and test needs, whatever the environment, and these packages.
ensure_tools() {
  if has_apt; then
    command -v colcon >/dev/null || set -- "$@" "${colcon_packages[@]}"
    install_missing "${build_packages[@]}" "${test_packages[@]}" "$@"
  else
    say "no apt-get here: what is needed is taken as it is found (libclang, colcon, pytest; without ROS 2 also" \
      "ament_cmake, rosidl, rcutils)"
  fi
  command -v colcon >/dev/null || die "colcon is missing"
  ensure_cargo
}

# Ends the influence of a ROS 2 that the caller has sourced.
leave_ros() {
  unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH PKG_CONFIG_PATH
  unset ROS_DISTRO ROS_VERSION ROS_PYTHON_VERSION RMW_IMPLEMENTATION ROS_DOMAIN_ID
}

# colcon_build NAME [CMAKE ARGUMENT...]: builds into target/colcon/NAME; sets install_base.
colcon_build() {
  local name=$1 base=$colcon_root/$1
  shift
  install_base=$base/install
  say "building with colcon into ${base#"$repository"/}"
  (cd "$repository" && colcon --log-base "$base/log" build --base-paths "$repository" \
    --build-base "$base/build" --install-base "$install_base" --cmake-args \
    -DBUILD_TESTING=ON "-DHAZCAT_CARGO=$CARGO" "$@" </dev/null) ||
    die "the build failed; its full output is in ${base#"$repository"/}/log/latest_build"
}

log_root=$colcon_root/setup
mkdir -p "$log_root"
