// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, rmdirSync } from "node:fs";
import { Child } from "../../harness/child.ts";
import { client, type Friend, prepare, serve, serverPort, watcher } from "./friend.ts";

const sshOptions = (known: string) => [
  ...["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", `UserKnownHostsFile=${known}`],
  ...["-o", "LogLevel=ERROR", "-F", "/dev/null"],
];

export const ssh: Friend = {
  profile: "ssh",
  server: "OpenSSH",
  programs: ["sshd", "ssh", "sftp", "ssh-keyscan", "ssh-keygen"],
  async start(site, stack) {
    const [hostKey, userKey] = [site.directory.file("host"), site.directory.file("user")];
    for (const key of [hostKey, userKey]) await prepare(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
    // Its path is compiled in.
    const separation = "/run/sshd";
    if (!existsSync(separation)) {
      mkdirSync(separation, { mode: 0o755 });
      stack.defer(() => rmdirSync(separation));
    }
    const config = site.directory.write(
      "sshd_config",
      `Port ${serverPort}
ListenAddress 0.0.0.0
HostKey ${hostKey}
AuthorizedKeysFile ${userKey}.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
`,
    );
    await serve(site, stack, ["/usr/sbin/sshd", "-D", "-e", "-f", config]);
  },
  clients: [
    client(
      "ssh",
      (at) => [
        ...["ssh", ...sshOptions(at.directory.file("known")), "-i", at.directory.file("user")],
        ...["-p", `${at.port}`, `root@${at.host}`, "echo served"],
      ],
      /^served$/m,
    ),
    client(
      "sftp",
      (at) => [
        ...["sftp", "-q", ...sshOptions(at.directory.file("known")), "-i", at.directory.file("user")],
        ...["-P", `${at.port}`, "-b", "-", `root@${at.host}`],
      ],
      /Remote working directory/,
      { input: "pwd\n" },
    ),
    client("ssh-keyscan", (at) => ["ssh-keyscan", "-T", "20", "-p", `${at.port}`, at.host], /ssh-ed25519 AAAA/),
  ],
};

export const vnc: Friend = {
  profile: "vnc",
  server: "TigerVNC",
  programs: ["Xtigervnc", "vncsnapshot"],
  async start(site, stack) {
    // A display that is found nowhere but at its port.
    const hidden = ["-nolock", "-nolisten", "unix", "-nolisten", "tcp"];
    const options = ["-rfbport", String(serverPort), "-SecurityTypes", "None", "-geometry", "320x200", "-localhost=0"];
    await serve(site, stack, ["Xtigervnc", ":77", ...options, ...hidden], { env: { HOME: site.directory.path } });
  },
  clients: [
    watcher(
      "vncsnapshot",
      (at) => ["vncsnapshot", "-allowblank", `${at.host}::${at.port}`, at.directory.file(`${at.port}.jpg`)],
      /True colour: max red/,
    ),
  ],
};

export const rdp: Friend = {
  profile: "rdp",
  server: "xrdp",
  programs: ["xrdp", "xfreerdp", "Xtigervnc"],
  async start(site, stack) {
    const keys = site.directory.file("rsakeys.ini");
    await prepare(["xrdp-keygen", "xrdp", keys]);
    const config = site.directory.write(
      "xrdp.ini",
      `[Globals]
ini_version=1
port=tcp://:${serverPort}
fork=true
security_layer=negotiate
certificate=${site.certificate}
key_file=${site.key}
rsakeys_ini=${keys}
ssl_protocols=TLSv1.2, TLSv1.3
allow_channels=true
[Logging]
LogFile=${site.directory.file("log")}
EnableSyslog=false
[Channels]
rdpdr=true
rdpsnd=true
drdynvc=true
cliprdr=true
[local]
name=local
lib=libvnc.so
username=ask
password=ask
`,
    );
    await serve(site, stack, ["xrdp", "--nodaemon", "-c", config]);
    // The client wants a display, of its own network: those of abstract sockets are.
    const screen = [
      "-SecurityTypes",
      "None",
      "-geometry",
      "640x480",
      "-nolock",
      "-nolisten",
      "unix",
      "-nolisten",
      "tcp",
    ];
    const display = stack.use(
      new Child(["Xtigervnc", ":78", "-rfbport", "5978", ...screen], {
        namespace: site.network.client,
        env: { HOME: site.directory.path },
      }),
    );
    await display.said(/Listening for VNC connections/);
  },
  clients: [
    client(
      "xfreerdp",
      (at) => ["xfreerdp", `/v:${at.host}:${at.port}`, "/cert:ignore", "/sec:tls", "/u:a", "/p:b", "+auth-only"],
      /Authentication only/,
      { env: { DISPLAY: ":78" } },
    ),
  ],
};
