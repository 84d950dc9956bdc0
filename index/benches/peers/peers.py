"""One peer of the bench `peers`, in a process of its own: builds or loads its index, asks
all queries on one thread, and prints what that took as JSON.

    python peers.py DIR NAME build|search
"""

import json
import os
import sys
import time

import numpy as np

DIM, K = 384, 10
EFS = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
# Candidates of quantised indexes that are compared again in f32, for each asked for.
OVERSAMPLED = 3
M, EF_CONSTRUCTION = 16, 200
# Of the build; searches are on one.
THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))


def resident():
    """RssAnon and RssFile, in bytes."""
    with open("/proc/self/status") as f:
        fields = dict(line.split(":", 1) for line in f)
    return [int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile")]


def exactly(base, queries, keys):
    """The best K of each query's candidates, by their f32 vectors; so many queries at a
    time that the vectors stay in the cache and the calls do not count."""
    best = []
    for at in range(0, len(queries), 16):
        some = keys[at : at + 16]
        scores = np.matmul(base[some], queries[at : at + 16, :, None])[:, :, 0]
        order = np.argpartition(-scores, K - 1)[:, :K]
        best.append(np.take_along_axis(some, order, 1))
    return np.concatenate(best)


class Hnswlib:
    quantised = False

    def __init__(self, path):
        import hnswlib

        self.path = path
        self.index = hnswlib.Index("ip", DIM)

    def build(self, base):
        self.index.init_index(len(base), ef_construction=EF_CONSTRUCTION, M=M, random_seed=1)
        self.index.add_items(base, num_threads=THREADS)
        self.index.save_index(self.path)

    def load(self):
        self.index.load_index(self.path)
        self.index.set_num_threads(1)

    def search(self, queries, ef, k):
        self.index.set_ef(max(ef, k))
        return self.index.knn_query(queries, k, num_threads=1)[0]


class Faiss:
    def __init__(self, path, quantised):
        import faiss

        faiss.omp_set_num_threads(THREADS)
        self.faiss, self.path, self.quantised = faiss, path, quantised

    def build(self, base):
        faiss = self.faiss
        if self.quantised:
            kind = faiss.ScalarQuantizer.QT_8bit
            index = faiss.IndexHNSWSQ(DIM, kind, M, faiss.METRIC_INNER_PRODUCT)
        else:
            index = faiss.IndexHNSWFlat(DIM, M, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        if self.quantised:
            index.train(base)
        index.add(base)
        faiss.write_index(index, self.path)

    def load(self):
        self.index = self.faiss.read_index(self.path)

    def search(self, queries, ef, k):
        self.index.hnsw.efSearch = max(ef, k)
        return self.index.search(queries, k)[1]


class Usearch:
    def __init__(self, path, dtype):
        from usearch.index import Index

        self.path, self.quantised = path, dtype == "i8"
        self.index = Index(
            ndim=DIM, metric="ip", dtype=dtype, connectivity=M, expansion_add=EF_CONSTRUCTION
        )

    def build(self, base):
        self.index.add(np.arange(len(base)), base, threads=THREADS)
        self.index.save(self.path)

    def load(self):
        self.index.load(self.path)

    def search(self, queries, ef, k):
        self.index.expansion_search = max(ef, k)
        return np.asarray(self.index.search(queries, k, threads=1).keys).astype(np.int64)


PEERS = {
    "hnswlib": lambda path: Hnswlib(path),
    "faiss-flat": lambda path: Faiss(path, False),
    "faiss-sq8": lambda path: Faiss(path, True),
    "usearch-f32": lambda path: Usearch(path, "f32"),
    "usearch-f16": lambda path: Usearch(path, "f16"),
    "usearch-i8": lambda path: Usearch(path, "i8"),
}


def main(folder, name, what):
    read = lambda part, kind: np.fromfile(os.path.join(folder, part), kind)
    path = os.path.join(folder, name + ".index")
    if what == "build":
        peer = PEERS[name](path)
        base = read("base.f32", "f4").reshape(-1, DIM)
        cpu, wall = time.process_time(), time.time()
        peer.build(base)
        cpu, wall = time.process_time() - cpu, time.time() - wall
        return {
            "build_cpu_s": cpu,
            "build_wall_s": wall,
            "file": os.path.getsize(path),
            "threads": THREADS,
        }
    queries = {q: read(q + ".f32", "f4").reshape(-1, DIM) for q in ("near", "far")}
    truth = {q: read(q + "-truth.u32", "u4").reshape(len(queries[q]), -1)[:, :K] for q in queries}
    # Only rescoring reads it, page by page.
    base = np.memmap(os.path.join(folder, "base.f32"), "f4", "r").reshape(-1, DIM)
    peer = PEERS[name](path)
    before = resident()
    start = time.time()
    peer.load()
    opened = time.time() - start

    def ask(queries, ef):
        if not peer.quantised:
            return peer.search(queries, ef, K)
        keys = peer.search(queries, ef, K * OVERSAMPLED)
        return exactly(base, queries, keys)

    curves = {}
    for side in queries:
        curve = []
        for ef in EFS:
            times = []
            for _ in range(3):
                cpu = time.process_time()
                found = ask(queries[side], ef)
                times.append(time.process_time() - cpu)
            hits = sum(len(set(map(int, a)) & set(map(int, b))) for a, b in zip(found, truth[side]))
            recall = hits / (K * len(found))
            curve.append({"ef": ef, "recall": recall, "qps": len(found) / min(times)})
            if recall > 0.998:
                break
        curves[side] = curve
    after = resident()
    return {
        "open_ms": opened * 1e3,
        "rss_anon": after[0] - before[0],
        "rss_file": after[1] - before[1],
        "curves": curves,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
