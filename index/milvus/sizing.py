"""How much memory, how many nodes and how long for so many vectors? Arithmetic, no measurement.

    python3 index/milvus/sizing.py [--vectors N] [--dim 384] [--replicas 2] [--node-gb 64]
        [--pictures-per-second 57] [--workers 16] [--rows-per-second 1500]

Prints a table of the memory that the query nodes need, how many nodes that makes, and how long it
takes to encode everything, and to write it, whichever is longer; by default at rates that were
measured with one process (README.md says how). A node is taken to have a third of its memory
free, for segments that are being built and for the system.
"""

import argparse
import math

# Bytes an item, beside its vector of 32-bit numbers; README.md says where each comes from.
GRAPH = 137
NUMBERS = 13 * 8
ITEM = 300
WORDS = 300
FREE = 1 / 3


def size(vectors, dim, replicas, node_gb, rate, workers, written):
    """One row: GB of vectors, GB of everything, nodes, days to encode all, days to write all."""
    one = 4 * dim * vectors
    whole = (4 * dim + GRAPH + NUMBERS + ITEM + WORDS) * vectors
    nodes = math.ceil(whole * replicas / (node_gb * 1e9 * (1 - FREE)))
    encode, write = (vectors / pace / 86_400 for pace in (rate * workers, written))
    return one / 1e9, whole / 1e9, nodes, encode, write


def table(rows, dim, replicas, node_gb, rate, workers, written):
    lines = [
        f"| vectors of {dim} numbers | vectors, GB | with the rest, GB | nodes of {node_gb} GB, "
        f"{replicas} replicas | days to encode, {workers} workers of {rate:g}/s | days to write, "
        f"{written:,g}/s |",
        "|---|---|---|---|---|---|",
    ]
    for vectors in rows:
        one, whole, nodes, *days = size(vectors, dim, replicas, node_gb, rate, workers, written)
        encode, write = (f"{day:,.1f}" for day in days)
        lines.append(
            f"| {vectors:,} | {one:,.0f} | {whole:,.0f} | {nodes:,} | {encode} | {write} |"
        )
    return "\n".join(lines)


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--vectors", type=int, action="append")
    asked.add_argument("--dim", type=int, default=384)
    asked.add_argument("--replicas", type=int, default=2)
    asked.add_argument("--node-gb", type=int, default=64)
    asked.add_argument("--pictures-per-second", type=float, default=57)
    asked.add_argument("--workers", type=int, default=16)
    asked.add_argument("--rows-per-second", type=float, default=1500)
    given = asked.parse_args()
    rows = given.vectors or [10_000_000, 100_000_000, 1_000_000_000]
    print(table(rows, given.dim, given.replicas, given.node_gb, given.pictures_per_second,
                given.workers, given.rows_per_second))


if __name__ == "__main__":
    main()
