# SPDX-License-Identifier: Apache-2.0
"""A mail server, or an SSH server's banner: speaks first, and says on stdout what it hears.

usage: greeter.py smtp|ssh HOST PORT
"""
import socketserver
import sys

kind, host, port = sys.argv[1:]


class Session(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        self.say("220 mail.example.org ESMTP" if kind == "smtp" else "SSH-2.0-standin")
        in_message = False
        for raw in self.rfile:
            line = raw.decode("latin1").rstrip()
            print("heard", line, flush=True)
            if kind == "ssh":
                return
            word = line.split(" ")[0].upper()
            if in_message:
                in_message = line != "."
                if in_message:
                    continue
            elif word == "DATA":
                in_message = True
                self.say("354 go on")
                continue
            self.say("221 bye" if word == "QUIT" else "250 ok")
            if word == "QUIT":
                return


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server((host, int(port)), Session) as server:
    print("ready", flush=True)
    server.serve_forever()
