# SPDX-License-Identifier: Apache-2.0
"""A server that speaks first, and clients that answer the moment its greeting is there.

usage: prompt_answers.py serve HOST PORT | answer HOST PORT CONNECTIONS
"""
import socket
import sys

kind, host, port, *rest = sys.argv[1:]
banner = b"SSH-2.0-standin\r\n"


def serve():
    with socket.create_server((host, int(port)), backlog=16) as listener:
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(banner)
                connection.recv(100)


def answer():
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        # Asked again and again: whoever sleeps until the greeting comes answers some microseconds too late.
        connection.setblocking(False)
        while True:
            try:
                connection.recv(100)
                break
            except BlockingIOError:
                pass
        connection.settimeout(10)
        connection.sendall(banner)
        while connection.recv(100):
            pass


if kind == "serve":
    serve()
for _ in range(int(rest[0])):
    answer()
