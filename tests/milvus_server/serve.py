# A Milvus server for tests: `serve.py FOLDER PORT [CERTIFICATE KEY TOKEN]`, on loopback only. Port
# 0 takes a free one; with a certificate, TLS is spoken, and only who has the token is answered. It
# says `ready PORT`, and ends when whoever started it does: when its input ends.
import base64
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from milvus_lite.adapter.grpc.server import MilvusLite, MilvusServicer, start_server_in_thread
from pymilvus.grpc_gen.milvus_pb2_grpc import add_MilvusServiceServicer_to_server


class TokenNeeded(grpc.ServerInterceptor):
    """Refuses whom a proxy of Milvus refuses, in its words."""

    def __init__(self, token):
        self.wanted = base64.b64encode(token.encode()).decode()

    def intercept_service(self, continuation, call):
        sent = dict(call.invocation_metadata).get("authorization")
        if sent == self.wanted:
            return continuation(call)
        why = "auth check failure, please check username and password are correct"
        if sent is None:
            why = "missing authorization in header"

        def refuse(_, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, why)

        return grpc.unary_unary_rpc_method_handler(refuse)


folder, port = sys.argv[1], int(sys.argv[2])
# One request at a time, since lite is not made for more: after a start it opens a collection
# twice if two ask at once, and what it acknowledged to one of them is then lost; and two who
# write at once write into one another's log.
if len(sys.argv) == 3:
    server, database, port = start_server_in_thread(
        folder, host="127.0.0.1", port=port, max_workers=1
    )
else:
    certificate, key, token = sys.argv[3:]
    pair = tuple(open(path, "rb").read() for path in (key, certificate))
    server = grpc.server(ThreadPoolExecutor(1), interceptors=[TokenNeeded(token)])
    add_MilvusServiceServicer_to_server(MilvusServicer(MilvusLite(folder)), server)
    port = server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([pair]))
    server.start()
print("ready", port, flush=True)
sys.stdin.read()
os._exit(0)
