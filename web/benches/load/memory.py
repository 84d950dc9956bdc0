"""How much memory a server keeps while eight clients ask it for minutes.

    python3 web/benches/load/memory.py target/debug/ek web/gallery models/lite 10

A new `ek up` over the folder, in a temporary data folder; of the requests 70 % are searches by two
nouns, 15 % thumbnails, 10 % searches by a picture and 5 % whole files. Prints a line each half minute.
"""

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ek, folder, model, minutes = sys.argv[1:]
data = tempfile.TemporaryDirectory()
server = subprocess.Popen(
    [ek, "up", folder, "--data", data.name, "--model", model, "--port", "0", "--json"],
    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
base = json.loads(server.stdout.readline())["listening"]


def fetch(path):
    return urllib.request.urlopen(base + path, timeout=100).read()


def ask(path):
    return json.loads(fetch(path))


while (status := ask("/v1/status"))["indexing"] is not None or not status["images"]:
    time.sleep(1)
ids = [item["id"] for item in ask("/v1/items?limit=300")["items"]]
with open(f"{model}/nouns.txt", encoding="utf-8") as nouns:
    words = [line.split("\t")[0].strip() for line in nouns]
done, failed = [0], [0]
end = time.time() + 60 * float(minutes)


def client(seed):
    draw = random.Random(seed)
    while time.time() < end:
        kind, one = draw.random(), draw.choice(ids)
        text = urllib.parse.quote(f"{draw.choice(words)} {draw.choice(words)}")
        try:
            fetch(f"/v1/search?q={text}" if kind < 0.7 else
                  f"/v1/items/{one}/thumbnail" if kind < 0.85 else
                  f"/v1/search?id={one}" if kind < 0.95 else f"/v1/items/{one}/file")
            done[0] += 1
        except OSError:
            failed[0] += 1


clients = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
begun = time.time()
for one in clients:
    one.start()
while time.time() < end:
    with open(f"/proc/{server.pid}/status", encoding="ascii") as lines:
        resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    print(f"{time.time() - begun:4.0f} s  {resident / 1024:6.1f} MB  {done[0]} requests, {failed[0]} failed", flush=True)
    time.sleep(30)
for one in clients:
    one.join()
server.terminate()
server.wait()
data.cleanup()
