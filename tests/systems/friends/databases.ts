// SPDX-License-Identifier: Apache-2.0
import { chownSync, readdirSync } from "node:fs";
import { as, client, type Friend, healthCheck, ownedBy, plain, prepare, serve, serverPort } from "./friend.ts";

export const redis: Friend = {
  profile: "redis",
  server: "Redis",
  programs: ["redis-server", "redis-cli", "nc", "haproxy"],
  async start(site, stack) {
    const options = ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", site.directory.path];
    await serve(site, stack, ["redis-server", "--port", String(serverPort), ...options]);
  },
  clients: [
    client("redis-cli", (at) => ["redis-cli", "-h", at.host, "-p", `${at.port}`, "set", "a", "b"], /^OK/),
    client("redis-cli, RESP 3", (at) => ["redis-cli", "-3", "-h", at.host, "-p", `${at.port}`, "get", "a"], /^b/),
    client(
      "redis-cli, pipelined",
      (at) => ["redis-cli", "-h", at.host, "-p", `${at.port}`, "--pipe"],
      /errors: 0, replies: 2/,
      { input: "PING\r\nSET c d\r\n" },
    ),
    plain("inline commands", "PING\r\nget a\r\nQUIT\r\n", /\+PONG\r\n\$1\r\nb\r\n\+OK/),
    plain("inline commands after an empty line", "\r\nping\nQUIT\n", /\+PONG/),
    healthCheck(
      "HAProxy tcp-check",
      "option tcp-check\n  tcp-check send PING\\r\\n\n  tcp-check expect string +PONG\n  tcp-check send QUIT\\r\\n\n  tcp-check expect string +OK",
    ),
  ],
};

function postgresProgram(name: string): string {
  const versions = "/usr/lib/postgresql";
  return `${versions}/${readdirSync(versions).sort().at(-1)}/bin/${name}`;
}

const psql = (mode: string) =>
  client(
    `psql, sslmode=${mode}`,
    (at) => ["psql", `host=${at.host} port=${at.port} user=postgres sslmode=${mode}`, "-XAtc", "select 40 + 2"],
    /^42$/m,
  );

export const postgres: Friend = {
  profile: "postgres",
  server: "PostgreSQL",
  programs: ["psql", "pg_isready", "haproxy"],
  async start(site, stack) {
    const [uid, gid] = await ownedBy(site, "postgres");
    for (const file of [site.key, site.certificate]) chownSync(file, uid, gid);
    const data = site.directory.file("data");
    const init = [...as("postgres"), postgresProgram("initdb"), "-D", data, "-A", "trust", "--no-sync", "-E", "UTF8"];
    await prepare(init, { cwd: site.directory.path });
    const hba = site.directory.write("hba", "host all all all trust\n");
    const settings = {
      listen_addresses: "*",
      port: String(serverPort),
      unix_socket_directories: "",
      hba_file: hba,
      ssl: "on",
      ssl_cert_file: site.certificate,
      ssl_key_file: site.key,
      fsync: "off",
      shared_buffers: "16MB",
    };
    const options = Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
    await serve(site, stack, [...as("postgres"), postgresProgram("postgres"), "-D", data, ...options]);
  },
  clients: [
    psql("disable"),
    psql("prefer"),
    psql("require"),
    client("pg_isready", (at) => ["pg_isready", "-h", at.host, "-p", `${at.port}`], /accepting connections/),
    healthCheck("HAProxy pgsql-check", "option pgsql-check user postgres"),
  ],
};

const mariadb = (name: string, ...options: string[]) =>
  client(
    name,
    (at) => [
      "mariadb",
      "--no-defaults",
      "-h",
      at.host,
      "-P",
      `${at.port}`,
      ...options,
      "-u",
      "root",
      "-Ne",
      "select 40 + 2",
    ],
    /^42$/m,
  );

export const mysql: Friend = {
  profile: "mysql",
  server: "MariaDB",
  programs: ["mariadbd", "mariadb-install-db", "mariadb", "haproxy"],
  async start(site, stack) {
    const data = site.directory.file("data");
    await prepare([
      "mariadb-install-db",
      "--no-defaults",
      `--datadir=${data}`,
      "--user=root",
      "--auth-root-authentication-method=normal",
      "--skip-test-db",
    ]);
    await serve(site, stack, [
      "mariadbd",
      "--no-defaults",
      "--user=root",
      `--datadir=${data}`,
      `--socket=${site.directory.file("socket")}`,
      `--pid-file=${site.directory.file("pid")}`,
      `--port=${serverPort}`,
      "--bind-address=0.0.0.0",
      "--skip-grant-tables",
      "--innodb-buffer-pool-size=16M",
      "--skip-name-resolve",
      `--ssl-cert=${site.certificate}`,
      `--ssl-key=${site.key}`,
    ]);
  },
  clients: [
    mariadb("mariadb", "--skip-ssl"),
    mariadb("mariadb, with TLS", "--ssl"),
    healthCheck("HAProxy mysql-check", "option mysql-check user root"),
  ],
};
