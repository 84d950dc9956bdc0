# A Milvus server proper, of one node, for tests: `serve.py FOLDER`. It listens on every address
# of the machine; so it starts only in a network namespace of its own, which has loopback and
# nothing else. It says `ready PORT`, and ends when whoever started it does: when its input ends.
import fcntl
import os
import socket
import struct
import sys

interfaces = [name for _, name in socket.if_nameindex()]
if interfaces != ["lo"]:
    sys.exit(f"not in a network namespace of its own: {interfaces}")
UP = struct.pack("16sH14x", b"lo", 1)  # IFF_UP
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, UP)  # SIOCSIFFLAGS

from milvus import MilvusServer, MilvusServerConfig

server = MilvusServer(MilvusServerConfig(), data_dir=sys.argv[1])
server.start()
print("ready", server.listen_port, flush=True)
sys.stdin.read()
server.stop()
os._exit(0)
