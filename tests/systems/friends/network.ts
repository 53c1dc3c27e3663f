// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { client, type Friend, healthCheck, prepare, serve, serverPort, watcher } from "./friend.ts";

const mqttVersions = { mqttv31: "3.1", mqttv311: "3.1.1", mqttv5: "5" };

export const mqtt: Friend = {
  profile: "mqtt",
  server: "Mosquitto",
  programs: ["mosquitto", "mosquitto_pub", "mosquitto_sub"],
  async start(site, stack) {
    const lines = `listener ${serverPort} 0.0.0.0\nallow_anonymous true\nuser root\npersistence false\n`;
    await serve(site, stack, ["mosquitto", "-c", site.directory.write("mosquitto.conf", lines)]);
  },
  clients: Object.entries(mqttVersions).flatMap(([flag, version]) => {
    const words = ["-V", flag, "-t", `topic/${flag}`];
    return [
      client(
        `mosquitto_pub, MQTT ${version}`,
        (at) => ["mosquitto_pub", "-d", "-h", at.host, "-p", `${at.port}`, ...words, "-r", "-q", "1", "-m", "hello"],
        /received PUBACK/,
      ),
      client(
        `mosquitto_sub, MQTT ${version}`,
        (at) => ["mosquitto_sub", "-h", at.host, "-p", `${at.port}`, ...words, "-C", "1", "-W", "10"],
        /^hello$/m,
      ),
    ];
  }),
};

const modbusServer = `
from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartTcpServer
block = lambda: ModbusSequentialDataBlock(0, [17] * 100)
StartTcpServer(context=ModbusServerContext(slaves=ModbusSlaveContext(di=block(), co=block(), hr=block(), ir=block()), single=True), address=("0.0.0.0", ${serverPort}))
`;

const modbusClient = `
import sys
from pymodbus.client import ModbusTcpClient
from pymodbus.mei_message import ReadDeviceInformationRequest
client = ModbusTcpClient(sys.argv[1], port=int(sys.argv[2]))
ask = {
    "read": lambda: client.read_holding_registers(1, 4),
    "coils": lambda: client.read_coils(1, 8),
    "write": lambda: client.write_registers(1, [1, 2, 3]),
    "both": lambda: client.readwrite_registers(read_address=1, read_count=2, write_address=5, write_registers=[7]),
    "identify": lambda: client.execute(ReadDeviceInformationRequest()),
}[sys.argv[3]]
assert client.connect()
answer = ask()
print("error" if answer.isError() else "served", answer)
`;

export const modbus: Friend = {
  profile: "modbus",
  server: "pymodbus",
  programs: ["mbpoll"],
  start: async (site, stack) => void (await serve(site, stack, ["/usr/bin/python3", "-c", modbusServer])),
  clients: [
    ...Object.entries({
      read: "read registers",
      coils: "read coils",
      write: "write registers",
      both: "read and write registers",
      identify: "device identification",
    }).map(([word, name]) =>
      client(
        `pymodbus, ${name}`,
        (at) => ["/usr/bin/python3", "-c", modbusClient, at.host, `${at.port}`, word],
        /^served/m,
      ),
    ),
    client("mbpoll", (at) => ["mbpoll", "-1", "-r", "10", "-p", `${at.port}`, at.host], /\[10\]:\s+17/),
  ],
};

export const ftp: Friend = {
  profile: "ftp",
  server: "vsftpd",
  programs: ["vsftpd", "curl", "lftp", "wget"],
  async start(site, stack) {
    for (const name of ["empty", "public"]) mkdirSync(site.directory.file(name), { mode: 0o755 });
    await prepare(["chmod", "755", site.directory.path]);
    site.directory.write("public/hello", "welcome\n");
    const config = site.directory.write(
      "vsftpd.conf",
      `listen=YES
listen_port=${serverPort}
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root=${site.directory.file("public")}
secure_chroot_dir=${site.directory.file("empty")}
seccomp_sandbox=NO
# Behind a proxy the control connection comes from the gate, and that for data from the client itself.
pasv_promiscuous=YES
pasv_address=${site.network.gateIpv4}
xferlog_enable=NO
`,
    );
    await serve(site, stack, ["vsftpd", config]);
  },
  clients: [
    client("curl", (at) => ["curl", "-sS", `ftp://${at.host}:${at.port}/hello`], /^welcome$/m),
    client("wget", (at) => ["wget", "-qO-", `ftp://${at.host}:${at.port}/hello`], /^welcome$/m),
    client("lftp", (at) => ["lftp", "-c", `open ftp://${at.host}:${at.port}; cat hello`], /^welcome$/m, {
      env: { LFTP_HOME: "/nonexistent" },
    }),
    client(
      "Python ftplib",
      (at) => [
        ...["/usr/bin/python3", "-c"],
        "import ftplib,sys\nf = ftplib.FTP(); f.connect(sys.argv[1], int(sys.argv[2])); f.login(); print(f.nlst())",
        ...[at.host, `${at.port}`],
      ],
      /'hello'/,
    ),
  ],
};

export const ldap: Friend = {
  profile: "ldap",
  server: "OpenLDAP",
  programs: ["slapd", "ldapsearch", "ldapwhoami", "haproxy"],
  async start(site, stack) {
    const lines = `pidfile ${site.directory.file("pid")}\ndatabase config\ndatabase monitor\n`;
    const config = site.directory.write("slapd.conf", lines);
    await serve(site, stack, ["slapd", "-d", "0", "-f", config, "-h", `ldap://0.0.0.0:${serverPort}`]);
  },
  clients: [
    client(
      "ldapsearch",
      (at) => ["ldapsearch", "-x", "-H", `ldap://${at.host}:${at.port}`, "-b", "", "-s", "base", "+"],
      /supportedLDAPVersion: 3/,
    ),
    client("ldapwhoami", (at) => ["ldapwhoami", "-x", "-H", `ldap://${at.host}:${at.port}`], /anonymous/),
    healthCheck("HAProxy ldap-check", "option ldap-check"),
  ],
};

export const dns: Friend = {
  profile: "dns",
  server: "Unbound",
  programs: ["unbound", "dig"],
  async start(site, stack) {
    const config = site.directory.write(
      "unbound.conf",
      `server:
  interface: 0.0.0.0
  port: ${serverPort}
  access-control: 0.0.0.0/0 allow
  chroot: ""
  username: ""
  directory: "${site.directory.path}"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  local-zone: "example.org." static
  local-data: "host.example.org. A 192.0.2.7"
remote-control:
  control-enable: no
`,
    );
    await serve(site, stack, ["unbound", "-d", "-c", config]);
  },
  clients: [
    client("dig +tcp", (at) => ["dig", "+tcp", `@${at.host}`, "-p", `${at.port}`, "host.example.org"], /192\.0\.2\.7/),
    client(
      "dig +tcp, without EDNS",
      (at) => ["dig", "+tcp", "+noedns", `@${at.host}`, "-p", `${at.port}`, "host.example.org", "A"],
      /192\.0\.2\.7/,
    ),
    client(
      "dig, two questions in a connection",
      (at) => ["dig", "+tcp", "+keepopen", `@${at.host}`, "-p", `${at.port}`, "host.example.org", ".", "NS"],
      /192\.0\.2\.7/,
    ),
  ],
};

export const socks: Friend = {
  profile: "socks",
  server: "microsocks",
  programs: ["microsocks", "curl", "nc"],
  async start(site, stack) {
    mkdirSync(site.directory.file("public"));
    site.directory.write("public/hello", "welcome\n");
    const web = [
      "/usr/bin/python3",
      "-m",
      "http.server",
      "8080",
      "-b",
      "127.0.0.1",
      "-d",
      site.directory.file("public"),
    ];
    await serve(site, stack, web, { port: 8080 });
    await serve(site, stack, ["microsocks", "-i", "0.0.0.0", "-p", String(serverPort)]);
  },
  clients: [
    ...["socks5", "socks5h"].map((scheme) =>
      client(
        `curl, ${scheme}`,
        (at) => ["curl", "-sS", "-x", `${scheme}://${at.host}:${at.port}`, "http://127.0.0.1:8080/hello"],
        /^welcome$/m,
      ),
    ),
    client(
      "nc -X 5",
      (at) => ["nc", "-w", "3", "-X", "5", "-x", `${at.host}:${at.port}`, "127.0.0.1", "8080"],
      /^welcome$/m,
      { input: "GET /hello HTTP/1.0\r\n\r\n" },
    ),
  ],
};

export const openvpn: Friend = {
  profile: "openvpn",
  server: "OpenVPN",
  programs: ["openvpn", "ip"],
  async start(site, stack) {
    const identity = ["--ca", site.certificate, "--cert", site.certificate, "--key", site.key];
    const server = ["--server", "10.99.0.0", "255.255.255.0", "--dh", "none", "--proto", "tcp-server", "--dev", "tun"];
    await serve(site, stack, ["openvpn", ...server, "--port", String(serverPort), ...identity]);
  },
  clients: [
    watcher(
      "openvpn",
      (at) => [
        ...["openvpn", "--client", "--proto", "tcp-client", "--dev", "null", "--nobind"],
        ...["--remote", at.host, `${at.port}`, "--ca", at.certificate, "--cert", at.certificate, "--key", at.key],
      ],
      /Peer Connection Initiated/,
    ),
  ],
};

export const sip: Friend = {
  profile: "sip",
  server: "Kamailio",
  programs: ["kamailio", "sipsak"],
  async start(site, stack) {
    const config = site.directory.write(
      "kamailio.cfg",
      `#!KAMAILIO
children=1
tcp_children=2
listen=tcp:0.0.0.0:${serverPort}
auto_aliases=no
loadmodule "sl.so"
request_route {
  sl_send_reply("200", "Served");
}
`,
    );
    const where = ["-P", join(site.directory.path, "pid"), "-Y", site.directory.path];
    await serve(site, stack, ["kamailio", "-DD", "-E", "-f", config, "-m", "16", "-M", "4", ...where]);
  },
  clients: [
    client(
      "sipsak, OPTIONS",
      (at) => ["sipsak", "-v", "-E", "tcp", "-s", `sip:friend@${at.host}:${at.port}`],
      /200 Served|200 OK/,
    ),
  ],
};
