"""The gRPC health protocol by grpcio, plain and over TLS. Usage: health_server.py PLAIN_PORT TLS_PORT CERTIFICATE KEY"""

import sys
from concurrent import futures

import grpc

STATUSES = {b"": 1, b"shop": 1, b"till": 2}


def check(request, context):
    # HealthCheckRequest: field 1, a string; HealthCheckResponse: field 1, an enum.
    service = request[2:] if request else b""
    if service not in STATUSES:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return bytes([8, STATUSES[service]])


handler = grpc.method_handlers_generic_handler(
    "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
)
server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((handler,))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
with open(sys.argv[3], "rb") as certificate, open(sys.argv[4], "rb") as key:
    credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
server.add_secure_port(f"127.0.0.1:{sys.argv[2]}", credentials)
server.start()
server.wait_for_termination()
