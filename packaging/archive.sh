#!/usr/bin/env bash
# A release archive: a folder with all that ek needs on a machine without Rust (the program,
# the default model, the gallery, licences, manual pages, completions), packed. Linux, with
# GNU tar and python3.
#
#   packaging/archive.sh                     builds ek first (release, every feature)
#   packaging/archive.sh --executable FILE   takes one that was built before
#   packaging/archive.sh --onnxruntime WHEEL packs ONNX Runtime, too, so that nothing is fetched
#   packaging/archive.sh --to DIR            puts the archive there [default: target/archive]
#   packaging/archive.sh --fast              packs with less effort
#
# Prints the archive's path. The same inputs give the same bytes.
set -euo pipefail

usage() {
  echo "archive.sh: $1; usage: packaging/archive.sh [--executable FILE] [--onnxruntime WHEEL] [--to DIR] [--fast]" >&2
  exit 2
}
executable=
wheel=
to=
effort=-9
while [ $# -gt 0 ]; do
  case $1 in
    --executable) [ $# -gt 1 ] || usage "--executable needs a file"; executable=$(realpath -- "$2"); shift 2 ;;
    --onnxruntime) [ $# -gt 1 ] || usage "--onnxruntime needs a file"; wheel=$(realpath -- "$2"); shift 2 ;;
    --to) [ $# -gt 1 ] || usage "--to needs a folder"; mkdir -p -- "$2"; to=$(realpath -- "$2"); shift 2 ;;
    --fast) effort=-1; shift ;;
    *) usage "there is no option $1" ;;
  esac
done

cd "$(dirname "$0")/.."
features=train,parquet,milvus
if [ -z "$executable" ]; then
  "${CARGO:-cargo}" build --release --locked --features "$features" >&2
  executable=$(realpath "${CARGO_TARGET_DIR:-target}/release/ek")
fi
[ -x "$executable" ] || usage "$executable is no executable"
[ -n "$to" ] || { mkdir -p target/archive; to=$(realpath target/archive); }

version=$("$executable" --version | cut -d ' ' -f 2)
name=ekphrasis-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
work=$(mktemp -d "$to/.packing-XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/$name
mkdir "$root"

# Model and gallery lie beside the program as they do in the repository.
cp "$executable" "$root/ek"
mkdir -p "$root/models" "$root/web"
cp -R models/lite "$root/models/lite"
cp -R web/gallery "$root/web/gallery"
cp README.md CHANGELOG.md LICENSE NOTICE "$root"
mkdir "$root/service"
cp packaging/ekphrasis.service packaging/ekphrasis.env "$root/service"
python3 packaging/third_party.py --features "$features" >"$root/THIRD-PARTY.txt"

if [ -n "$wheel" ]; then
  sum=$(sha256sum "$wheel" | cut -d ' ' -f 1)
  grep -q "$sum" models/src/runtime/pins.rs ||
    { echo "archive.sh: $wheel is not a wheel of ONNX Runtime that ek pins" >&2; exit 1; }
  python3 -m zipfile -e "$wheel" "$work/wheel"
  mkdir "$root/lib"
  cp "$work"/wheel/onnxruntime/capi/libonnxruntime.* "$root/lib"
  cp "$work/wheel/onnxruntime/LICENSE" "$root/lib/LICENSE-onnxruntime.txt"
  cp "$work/wheel/onnxruntime/ThirdPartyNotices.txt" "$root/lib/NOTICES-onnxruntime.txt"
fi

"$root/ek" man --to "$root/man/man1"
mkdir "$root/completions"
for pair in bash:ek.bash elvish:ek.elv fish:ek.fish powershell:_ek.ps1 zsh:_ek; do
  "$root/ek" completions "${pair%%:*}" >"$root/completions/${pair#*:}"
done

# It has to find its own model, whatever machine built it and whatever is set there.
found=$(cd / && env -i HOME="$work" "$root/ek" model info --json)
case $found in
  *"$root/models/lite"*) ;;
  *) echo "archive.sh: the packed ek does not use the packed model: $found" >&2; exit 1 ;;
esac

epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
chmod -R u=rwX,go=rX "$root"
archive=$to/$name.tar.gz
tar -C "$work" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner -cf - "$name" |
  gzip -n $effort >"$work/archive"
mv "$work/archive" "$archive"
(cd "$to" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
echo "$archive"
