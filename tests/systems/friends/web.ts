// SPDX-License-Identifier: Apache-2.0
import { client, type Friend, healthCheck, plain, type Site, serve, serverPort } from "./friend.ts";

async function nginx(site: Site, stack: AsyncDisposableStack, listen: string): Promise<void> {
  const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${site.directory.file(name)};`,
  );
  const config = site.directory.write(
    "nginx.conf",
    `daemon off;
master_process off;
pid ${site.directory.file("pid")};
error_log stderr;
events {}
http {
  access_log off;
  ${places.join("\n  ")}
  server {
    ${listen}
    location / { return 200 "welcome\\n"; }
  }
}
`,
  );
  await serve(site, stack, ["nginx", "-c", config, "-p", site.directory.path, "-e", "stderr"]);
}

const curl = (name: string, scheme: string, ...options: string[]) =>
  client(name, (at) => ["curl", "-sS", "-m", "20", ...options, `${scheme}://${at.host}:${at.port}/`], /^welcome$/m);

export const http: Friend = {
  profile: "http",
  server: "nginx",
  programs: ["nginx", "curl", "wget", "ab", "haproxy", "nc"],
  start: (site, stack) => nginx(site, stack, `listen ${serverPort};`),
  clients: [
    curl("curl", "http"),
    curl("curl, HTTP/1.0", "http", "--http1.0"),
    client(
      "curl, a target of 6,000 bytes",
      (at) => ["curl", "-sS", `http://${at.host}:${at.port}/${"x".repeat(6000)}`],
      /^welcome$/m,
    ),
    client("curl, POST", (at) => ["curl", "-sS", "-d", "a=b", `http://${at.host}:${at.port}/`], /welcome/),
    client("wget", (at) => ["wget", "-qO-", `http://${at.host}:${at.port}/`], /^welcome$/m),
    client("ab", (at) => ["ab", "-q", "-n", "40", "-c", "4", `http://${at.host}:${at.port}/`], /Failed requests: +0\n/),
    plain("HTTP/0.9", "GET /\r\n", /^welcome$/m),
    healthCheck("HAProxy httpchk", "option httpchk GET /"),
  ],
  stranger: { text: "SSH-2.0-scanner\r\n", protocol: "ssh" },
};

const openssl = (name: string, ...options: string[]) =>
  client(
    name,
    (at) => ["openssl", "s_client", "-connect", `${at.host}:${at.port}`, ...options],
    /Cipher is (?!\(NONE\))/,
  );

export const tls: Friend = {
  profile: "tls",
  server: "nginx",
  programs: ["nginx", "curl", "wget", "openssl", "gnutls-cli", "haproxy"],
  start: (site, stack) =>
    nginx(
      site,
      stack,
      `listen ${serverPort} ssl;\n    ssl_certificate ${site.certificate};\n    ssl_certificate_key ${site.key};`,
    ),
  clients: [
    curl("curl", "https", "-k"),
    curl("curl, TLS 1.2", "https", "-k", "--tls-max", "1.2"),
    client("wget", (at) => ["wget", "-qO-", "--no-check-certificate", `https://${at.host}:${at.port}/`], /^welcome$/m),
    openssl("openssl s_client"),
    openssl("openssl s_client, TLS 1.2", "-tls1_2"),
    openssl("openssl s_client, with a name", "-servername", "example.org", "-alpn", "h2,http/1.1"),
    client("gnutls-cli", (at) => ["gnutls-cli", "--insecure", "-p", `${at.port}`, at.host], /Handshake was completed/),
    healthCheck("HAProxy check ssl", "option httpchk GET /", "ssl verify none"),
  ],
};

export const grpc: Friend = {
  profile: "grpc",
  server: "nghttpd",
  programs: ["nghttpd", "nghttp", "curl"],
  async start(site, stack) {
    site.directory.write("index.html", "welcome\n");
    const options = ["--no-tls", "-a", "0.0.0.0", "-d", site.directory.path];
    await serve(site, stack, ["nghttpd", ...options, String(serverPort)]);
  },
  clients: [
    client("nghttp", (at) => ["nghttp", `http://${at.host}:${at.port}/index.html`], /^welcome$/m),
    client(
      "curl, HTTP/2 with prior knowledge",
      (at) => ["curl", "-sS", "--http2-prior-knowledge", `http://${at.host}:${at.port}/index.html`],
      /^welcome$/m,
    ),
  ],
};
