"""Sends datagrams to N ports in turn, each with its route's number, until killed.

    flood.py ADDRESS PORT ROUTES
"""

import socket
import sys
import time


def main(address: str, port: int, routes: int) -> None:
    """Never returns."""
    sockets = []
    for index in range(routes):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect((address, port + index))
        sockets.append((sock, str(index + 1).encode()))
    while True:
        for sock, data in sockets:
            try:
                sock.send(data)
            except OSError:
                pass  # nobody listens there just now; said by an ICMP error
        # Two of these without a pause leave no time for anything else on two emulated CPUs.
        time.sleep(0.002)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
