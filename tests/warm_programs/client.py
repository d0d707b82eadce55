"""Has a server run a command with this process's files, folder and environment.

Started in place of the program; `{address}` is replaced by the server's socket.
"""

import json
import os
import socket
import sys


def main() -> None:
    """Send the arguments, and exit as the command does."""
    umask = os.umask(0)
    os.umask(umask)
    request = {
        "arguments": sys.argv[1:],
        "folder": os.getcwd(),  # noqa: PTH109 - pathlib would double this process's time
        "umask": umask,
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as server:
        server.connect("{address}")
        message = json.dumps(request).encode()
        sent = socket.send_fds(server, [message], [0, 1, 2])
        server.sendall(message[sent:])
        server.shutdown(socket.SHUT_WR)
        code = server.recv(1)
    if not code:
        sys.exit("the server ended without an exit code")
    sys.exit(code[0])


if __name__ == "__main__":
    main()
