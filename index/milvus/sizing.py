"""How much memory, how many nodes and how long for so many vectors? Arithmetic, no measurement.

    python3 index/milvus/sizing.py [--vectors N] [--dim 384] [--replicas 2] [--node-gb 64]
        [--pictures-per-second 60] [--workers 16]

Prints a table of the memory that the query nodes need, how many nodes that makes, and how long it
takes to bring everything in at the rate that one worker was measured with (README.md says which
rate, and how it was measured). A node is taken to have a third of its memory free, for segments
that are being built and for the system.
"""

import argparse
import math

# Bytes an item, beside its vector of 32-bit numbers; README.md says where each comes from.
GRAPH = 137
NUMBERS = 13 * 8
ITEM = 300
WORDS = 300
FREE = 1 / 3


def size(vectors, dim, replicas, node_gb, rate, workers):
    """One row: GB of vectors, GB of everything, nodes, days to bring all in."""
    one = 4 * dim * vectors
    whole = (4 * dim + GRAPH + NUMBERS + ITEM + WORDS) * vectors
    nodes = math.ceil(whole * replicas / (node_gb * 1e9 * (1 - FREE)))
    days = vectors / (rate * workers) / 86_400
    return one / 1e9, whole / 1e9, nodes, days


def table(rows, dim, replicas, node_gb, rate, workers):
    lines = [
        f"| vectors of {dim} numbers | vectors, GB | with the rest, GB | nodes of {node_gb} GB, "
        f"{replicas} replicas | days with {workers} workers of {rate}/s |",
        "|---|---|---|---|---|",
    ]
    for vectors in rows:
        one, whole, nodes, days = size(vectors, dim, replicas, node_gb, rate, workers)
        lines.append(f"| {vectors:,} | {one:,.0f} | {whole:,.0f} | {nodes:,} | {days:,.1f} |")
    return "\n".join(lines)


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--vectors", type=int, action="append")
    asked.add_argument("--dim", type=int, default=384)
    asked.add_argument("--replicas", type=int, default=2)
    asked.add_argument("--node-gb", type=int, default=64)
    asked.add_argument("--pictures-per-second", type=float, default=60)
    asked.add_argument("--workers", type=int, default=16)
    given = asked.parse_args()
    rows = given.vectors or [10_000_000, 100_000_000, 1_000_000_000]
    print(table(rows, given.dim, given.replicas, given.node_gb, given.pictures_per_second,
                given.workers))


if __name__ == "__main__":
    main()
