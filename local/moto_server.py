"""Serves moto's AWS APIs, Secrets Manager and DynamoDB among them, on loopback.

Usage: moto_server.py PORT    (0 picks a free port)

Prints one line, `listening on http://127.0.0.1:PORT`, once it accepts connections, and ends when its
standard input closes, so that it never outlives the process that started it.
"""

import logging
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import ThreadedMotoServer


def process_one_request_at_a_time() -> None:
    """moto serves each request in its own thread, but a conditional write to DynamoDB is not atomic there."""
    lock = threading.Lock()
    process = DomainDispatcherApplication.__call__

    def process_alone(*arguments):
        with lock:
            return process(*arguments)

    DomainDispatcherApplication.__call__ = process_alone


def main() -> None:
    port = int(sys.argv[1])
    # One line per request is werkzeug's default.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    process_one_request_at_a_time()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"listening on http://{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
