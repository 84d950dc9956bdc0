# A server of buckets for tests (moto): `serve.py PORT [CERTIFICATE KEY]`, on loopback only, with
# one bucket, `pictures`, which is empty. Port 0 takes a free one; with a certificate, TLS is
# spoken. It says `ready PORT`, and ends when whoever started it does: when its input ends.
import os
import sys
import threading

os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x")
import boto3
from moto import mock_aws
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

port, tls = int(sys.argv[1]), tuple(sys.argv[2:]) or None
with mock_aws():
    # Nothing is sent: it is made in this process, whose buckets the server shows.
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="pictures")
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", port, app, threaded=True, ssl_context=tls)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", server.server_port, flush=True)
    sys.stdin.read()
    os._exit(0)
