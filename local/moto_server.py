"""Serves moto's AWS APIs, Secrets Manager among them, on loopback.

Usage: moto_server.py PORT    (0 picks a free port)

Prints one line, `listening on http://127.0.0.1:PORT`, once it accepts connections, and ends when its
standard input closes, so that it never outlives the process that started it.
"""

import logging
import sys

from moto.server import ThreadedMotoServer


def main() -> None:
    port = int(sys.argv[1])
    # One line per request is werkzeug's default.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"listening on http://{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
