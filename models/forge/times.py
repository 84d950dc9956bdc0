"""How long do import, the first query and later ones take, by model and precision?

    python models/forge/times.py EK FOLDER…

Each FOLDER is a model's, of ek or a public export; every precision that it has is imported
into a store of its own, over the demo gallery. Printed are, in milliseconds, for each: the
import (checks included), `ek search` when nothing was prepared before and when it was, as a
process each, and the median of 200 searches for different words that a running server answers.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SUFFIXES = {"fp32": [""], "fp16": ["_fp16"], "int8": ["_quantized", "_int8"], "uint8": ["_uint8"], "q4": ["_q4"]}
QUERIES = 200


def precisions(folder):
    if (folder / "model.toml").is_file():
        return [None]
    there = {path.stem for place in (folder, folder / "onnx") for path in place.glob("*.onnx")}
    return [name for name, ends in SUFFIXES.items() if any(f"text_model{end}" in there for end in ends)]


def timed(command, environment):
    start = time.perf_counter()
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return (time.perf_counter() - start) * 1e3, run


def served(ek, model, environment):
    command = [ek, "serve", "--port", "0", "--json", "--model", model]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = json.loads(server.stdout.readline())["listening"]
        words = (REPOSITORY / "models/lite/vocabulary.txt").read_text().split("\n")[:QUERIES]
        took = []
        for word in words:
            start = time.perf_counter()
            query = urllib.parse.urlencode({"q": f"a photo of a {word}", "mode": "vector"})
            with urllib.request.urlopen(f"{url}/v1/search?{query}") as reply:
                reply.read()
            took.append((time.perf_counter() - start) * 1e3)
        # The first ones load the tower.
        return statistics.median(took[10:])
    finally:
        server.terminate()
        server.wait()


def main(ek, folders):
    print("| model | precision | import | first query | first, prepared | steady query |")
    print("|---|---|---|---|---|---|")
    # ONNX Runtime is fetched once, and is no part of what is measured.
    with tempfile.TemporaryDirectory() as runtime:
        cache = Path(runtime) / "cache"
        plain = os.environ | {"EK_CACHE": str(cache), "EK_DATA": str(Path(runtime) / "data")}
        subprocess.run([ek, "doctor", "--quiet"], env=plain, capture_output=True, check=False)
        for folder in folders:
            for precision in precisions(folder):
                with tempfile.TemporaryDirectory() as home:
                    row(ek, folder, precision, plain | {"EK_DATA": home}, cache / "sessions")


def row(ek, folder, precision, environment, sessions):
    chosen = ["--precision", precision] if precision else []
    took, run = timed([ek, "model", "import", folder, "--name", "m", *chosen, "--json"], environment)
    name = f"| {folder.resolve().name} | {precision or 'as shipped'} |"
    if run.returncode:
        print(f"{name} refused: {run.stderr.strip().splitlines()[-1][:100]} | | | |", flush=True)
        return
    gallery = REPOSITORY / "web/gallery/pictures"
    subprocess.run([ek, "index", gallery, "--model", "m", "--quiet"], env=environment, capture_output=True, check=True)
    for path in sessions.glob("*"):
        path.unlink()
    search = [ek, "search", "a cup of coffee", "--model", "m", "--mode", "vector", "--json"]
    first, _ = timed(search, environment)
    prepared = min(timed(search, environment)[0] for _ in range(3))
    steady = served(ek, "m", environment)
    print(f"{name} {took:.0f} | {first:.0f} | {prepared:.0f} | {steady:.1f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], [Path(folder) for folder in sys.argv[2:]])
