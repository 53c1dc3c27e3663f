// SPDX-License-Identifier: Apache-2.0
// Well-known clients that speak something else, and what the gate calls it.

export interface Stranger {
  readonly name: string;
  /** As it stands in the time-out table. */
  readonly protocol: string;
  /** One visit to port 5000. */
  readonly argv: (gate: string, from: string) => string[];
  readonly input?: string;
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

const sshOptions = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=3"];

export const strangers: readonly Stranger[] = [
  {
    name: "curl http",
    protocol: "http",
    argv: (gate, from) => ["curl", "-sS", "--max-time", "3", "--interface", from, `http://${bracketed(gate)}:5000/`],
  },
  {
    name: "curl https",
    protocol: "tls",
    argv: (gate, from) => ["curl", "-sSk", "--max-time", "3", "--interface", from, `https://${bracketed(gate)}:5000/`],
  },
  {
    name: "openssl s_client",
    protocol: "tls",
    argv: (gate, from) => {
      const addresses = ["-bind", `${bracketed(from)}:0`, "-connect", `${bracketed(gate)}:5000`];
      return ["timeout", "3", "openssl", "s_client", ...addresses];
    },
  },
  {
    name: "ssh",
    protocol: "ssh",
    argv: (gate, from) => {
      const options = sshOptions.flatMap((option) => ["-o", option]);
      return ["ssh", "-F", "none", "-b", from, "-p", "5000", ...options, `nobody@${gate}`];
    },
  },
  {
    name: "nc",
    protocol: "text",
    argv: (gate, from) => ["nc", "-s", from, "-w", "3", gate, "5000"],
    input: "hello\n",
  },
];
