# A Milvus server for tests: `serve.py FOLDER PORT`, on loopback only. Port 0 takes a free
# one. It says `ready PORT`, and ends when whoever started it does: when its input ends.
import os
import sys

from milvus_lite.adapter.grpc.server import start_server_in_thread

folder, port = sys.argv[1], int(sys.argv[2])
# One request at a time, since lite is not made for more: after a start it opens a collection
# twice if two ask at once, and what it acknowledged to one of them is then lost; and two who
# write at once write into one another's log.
server, database, port = start_server_in_thread(
    folder, host="127.0.0.1", port=port, max_workers=1
)
print("ready", port, flush=True)
sys.stdin.read()
os._exit(0)
