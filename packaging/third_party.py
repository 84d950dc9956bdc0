"""Prints the licences of all packages that are compiled into ek, with their texts.

    python3 packaging/third_party.py [--features train,parquet,milvus]

Which packages those are is asked of Cargo, and the texts are those in the packages
themselves. A text that many packages have is printed once.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys

NAMES = ("license", "licence", "copying", "notice", "unlicense", "copyright")


def cargo(*arguments: str) -> str:
    command = [os.environ.get("CARGO", "cargo"), *arguments, "--locked"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--features", default="")
    features = ["--features", parser.parse_args().features]
    tree = cargo(
        "tree", "--package", "ekphrasis", "--edges", "normal", "--prefix", "none",
        "--format", "{p}", *features,
    )
    # `name v1.2.3`, and for what is built here a path behind it.
    compiled = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    packages = json.loads(cargo("metadata", "--format-version", "1", *features))["packages"]
    texts: dict[str, str] = {}
    owners: dict[str, list[str]] = {}
    lines = []
    for package in sorted(packages, key=lambda p: (p["name"], p["version"])):
        name = (package["name"], "v" + package["version"])
        if name not in compiled or package["source"] is None:
            continue
        label = f"{package['name']} {package['version']}"
        folder = pathlib.Path(package["manifest_path"]).parent
        files = [f for f in sorted(folder.iterdir()) if f.name.lower().startswith(NAMES) and f.is_file()]
        if package["license_file"]:
            files.append(folder / package["license_file"])
        marks = []
        for file in dict.fromkeys(files):
            if file.suffix in (".rs", ".toml", ".json", ".html"):
                continue
            text = file.read_text(encoding="utf-8", errors="replace").strip().replace("\r\n", "\n")
            mark = hashlib.sha256(text.encode()).hexdigest()[:8]
            texts[mark] = text
            owners.setdefault(mark, []).append(label)
            marks.append(mark)
        stated = package["license"] or "see its text"
        said = ", ".join(dict.fromkeys(marks)) or "its package has none"
        lines.append(f"{label}: {stated}; text: {said}")
    if not lines:
        sys.exit("third_party.py: no package found; is this the repository of ekphrasis?")
    print("Packages that are compiled into ek, and where their licence texts are below.\n")
    print("\n".join(lines))
    for mark, text in texts.items():
        print(f"\n\n{'=' * 78}\n{mark}: {', '.join(owners[mark])}\n{'=' * 78}\n\n{text}")


main()
