#!/usr/bin/env bash
# Everything that has to hold, in one command: formatting, lints, docs, tests.
# One build profile (dev) and one feature set, so that nothing is compiled twice.
#
#   ./test.sh                     all of it
#   EK_SKIP_BROWSER=1 ./test.sh   without the page's tests (never in CI)
#   EK_SKIP_MILVUS=1 ./test.sh    without those against servers of Milvus and of buckets (never in
#                                 CI); left out, too, where pip cannot fetch milvus-lite and moto
set -uo pipefail
cd "$(dirname "$0")"

steps=()
failed=0
step() { # step NAME COMMAND…
  local name=$1 start=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  if "$@"; then steps+=("$(printf '%6ds  ok      %s' $((SECONDS - start)) "$name")")
  else
    steps+=("$(printf '%6ds  FAILED  %s' $((SECONDS - start)) "$name")")
    failed=1
  fi
}

# What incremental builds keep is of no use to a clean one, and costs it minutes.
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"

need() { # need COMMAND HINT
  command -v "$1" >/dev/null && return
  echo "test.sh needs $1: $2" >&2
  exit 3
}
need cargo "install Rust from your distribution or rustup"
need cc "apt-get install build-essential"
need python3 "apt-get install python3 python3-pip (it fetches ONNX Runtime, once)"

browser() {
  if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then return 0; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive \
      apt-get install -qy --no-install-recommends chromium chromium-driver
  else
    echo "the page's tests need Chromium and its driver:" >&2
    echo "    sudo apt-get install chromium chromium-driver" >&2
    echo "or leave them out: EK_SKIP_BROWSER=1 ./test.sh" >&2
    return 1
  fi
}
if [ "${EK_SKIP_BROWSER:-}" != 1 ]; then step "browser installed" browser; fi
if [ "$failed" = 1 ]; then exit 3; fi

# Its tests install milvus-lite, and moto for buckets, from PyPI into environments of their own below the target folder.
fetched() { python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$probe" -r "tests/$1/requirements.txt"; }
without_milvus=""
probe=$(mktemp -d)
if [ "${EK_SKIP_MILVUS:-}" = 1 ]; then without_milvus="EK_SKIP_MILVUS=1"
elif ! fetched milvus_server || ! fetched s3_server; then
  without_milvus="pip cannot fetch milvus-lite and moto, see above"
fi
rm -rf "$probe"
skip_milvus() { if [ -n "$without_milvus" ]; then echo "-- --skip on_milvus:: --skip on_s3::"; fi; }

step "formatting" cargo fmt --all --check
step "tests built" cargo test --workspace --features train,parquet,milvus --no-run --quiet
step "lints" cargo clippy --workspace --features train,parquet,milvus --all-targets --quiet -- -D warnings
step "without the server and the trainer" cargo clippy --workspace --no-default-features --lib --bins --examples --quiet -- -D warnings
step "docs" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --features train,parquet,milvus --no-deps --quiet
log=$(mktemp)
tests() { cargo test --workspace --features train,parquet,milvus --no-fail-fast $(skip_milvus) 2>&1 | tee "$log" | grep -vE '^test .* \.\.\. ok$|^$|^running '; return "${PIPESTATUS[0]}"; }
step "tests" tests

printf '\n'
printf '%s\n' "${steps[@]}"
if [ "${EK_SKIP_BROWSER:-}" = 1 ]; then echo "        SKIPPED the page's tests (EK_SKIP_BROWSER=1)"; fi
if [ -n "$without_milvus" ]; then echo "        SKIPPED the tests against servers of Milvus and of buckets ($without_milvus)"; fi
# The runner's own summaries, added up.
awk '/^test result:/ { p += $4; f += $6; s += $8 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$log"
rm -f "$log"
exit "$failed"
