"""How long does the same search take at two servers? It asks both in turns, and prints medians.

    python3 index/milvus/latency.py URL URL [--queries 200]

Each URL is that of an `ek serve` (or `ek up`), one of a store in a folder, one with `--store`. Queries are items of
the first store, by their vectors, so that no model takes part; and words of their captions, if there are any.
"""

import argparse
import json
import statistics
import time
import urllib.parse
import urllib.request


def ask(url, path):
    begun = time.perf_counter()
    with urllib.request.urlopen(url + path) as reply:
        body = json.load(reply)
    return (time.perf_counter() - begun) * 1e3, body


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("urls", nargs=2)
    asked.add_argument("--queries", type=int, default=200)
    given = asked.parse_args()
    items = ask(given.urls[0], f"/v1/items?limit={given.queries}")[1]["items"]
    kinds = {"by vector": [f"id={item['id']}&mode=vector" for item in items]}
    words = [item["caption"].split("\n")[0] for item in items if item.get("caption")]
    if words:
        kinds["by words"] = [f"q={urllib.parse.quote(text)}&mode=text" for text in words]
    for kind, queries in kinds.items():
        took = {url: [] for url in given.urls}
        for query in queries:
            for url in given.urls:
                took[url].append(ask(url, f"/v1/search?k=10&for=all&{query}")[0])
        for url, times in took.items():
            times.sort()
            print(f"{kind:10} {url}: median {statistics.median(times):.1f} ms, "
                  f"95 % within {times[int(len(times) * 0.95)]:.1f} ms, {len(times)} queries")


if __name__ == "__main__":
    main()
