// SPDX-License-Identifier: Apache-2.0
import { chmodSync, mkdirSync } from "node:fs";
import { client, type Friend, healthCheck, ownedBy, plain, type Site, serve, serverPort } from "./friend.ts";

const starttls = (name: string) =>
  client(
    "openssl s_client, STARTTLS",
    (at) => ["openssl", "s_client", "-connect", `${at.host}:${at.port}`, "-starttls", name],
    /Cipher is (?!\(NONE\))/,
  );

const python = (name: string, script: string, wanted: RegExp) =>
  client(name, (at) => ["/usr/bin/python3", "-c", script, at.host, `${at.port}`], wanted);

export const smtp: Friend = {
  profile: "smtp",
  server: "Exim",
  programs: ["exim4", "swaks", "curl", "openssl", "haproxy", "nc"],
  async start(site, stack) {
    await ownedBy(site, "Debian-exim");
    const config = site.directory.write(
      "exim.conf",
      `primary_hostname = mail.example.org
spool_directory = ${site.directory.path}
log_file_path = ${site.directory.file("%slog")}
local_interfaces = 0.0.0.0
acl_smtp_rcpt = take_all
queue_only = true
keep_environment =
tls_advertise_hosts = *
host_lookup =
rfc1413_hosts =
begin acl
take_all:
  accept
begin routers
forget:
  driver = redirect
  data = :blackhole:
`,
    );
    chmodSync(config, 0o644);
    await serve(site, stack, ["exim4", "-C", config, "-bdf", "-oX", String(serverPort)]);
  },
  clients: [
    client(
      "swaks",
      (at) => [
        "swaks",
        "-s",
        at.host,
        "-p",
        `${at.port}`,
        "-f",
        "a@example.org",
        "-t",
        "b@example.org",
        "--helo",
        "me",
      ],
      /250 OK id=/,
    ),
    client(
      "curl",
      (at) => [
        ...["curl", "-sS", "-v", `smtp://${at.host}:${at.port}/me.example.org`, "--mail-from", "a@example.org"],
        ...["--mail-rcpt", "b@example.org", "-T", "-"],
      ],
      /250 OK id=/,
      { input: "Subject: greeting\r\n\r\nhello\r\n" },
    ),
    python(
      "Python smtplib",
      'import smtplib,sys\nwith smtplib.SMTP(sys.argv[1], int(sys.argv[2])) as s: print(s.sendmail("a@example.org", "b@example.org", "Subject: x\\r\\n\\r\\nx"))',
      /\{\}/,
    ),
    starttls("smtp"),
    healthCheck("HAProxy smtpchk", "option smtpchk EHLO me.example.org"),
  ],
};

/** Dovecot for one of its protocols. */
async function dovecot(site: Site, stack: AsyncDisposableStack, protocol: "imap" | "pop3"): Promise<void> {
  const [uid, gid] = await ownedBy(site, "dovecot");
  const run = site.directory.file("run");
  mkdirSync(run, { mode: 0o755 });
  const config = site.directory.write(
    "dovecot.conf",
    `base_dir = ${run}
state_dir = ${run}
log_path = ${site.directory.file("log")}
protocols = ${protocol}
listen = 0.0.0.0
ssl = yes
ssl_cert = <${site.certificate}
ssl_key = <${site.key}
disable_plaintext_auth = no
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
service ${protocol}-login {
  chroot =
  inet_listener ${protocol} {
    port = ${serverPort}
  }
  inet_listener ${protocol}s {
    port = 0
  }
}
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=${uid} gid=${gid} home=${site.directory.path}/home/%u
}
`,
  );
  await serve(site, stack, ["dovecot", "-F", "-c", config]);
}

export const imap: Friend = {
  profile: "imap",
  server: "Dovecot",
  programs: ["dovecot", "curl", "openssl"],
  start: (site, stack) => dovecot(site, stack, "imap"),
  clients: [
    client("curl", (at) => ["curl", "-sS", "-u", "a:secret", `imap://${at.host}:${at.port}/`], /LIST .*INBOX/),
    python(
      "Python imaplib",
      'import imaplib,sys\nwith imaplib.IMAP4(sys.argv[1], int(sys.argv[2])) as c: print(c.login("a", "secret"), c.select())',
      /'OK'.*'OK'/,
    ),
    starttls("imap"),
    plain("a check by hand", "a1 CAPABILITY\r\na2 LOGOUT\r\n", /a2 OK/),
  ],
};

export const pop3: Friend = {
  profile: "pop3",
  server: "Dovecot",
  programs: ["dovecot", "curl", "openssl"],
  start: (site, stack) => dovecot(site, stack, "pop3"),
  clients: [
    client("curl", (at) => ["curl", "-sS", "-v", "-u", "a:secret", `pop3://${at.host}:${at.port}/`], /\+OK Logged in/),
    python(
      "Python poplib",
      'import poplib,sys\nc = poplib.POP3(sys.argv[1], int(sys.argv[2]))\nc.user("a"); print(c.pass_("secret"), c.stat())',
      /Logged in.*\(0, 0\)/,
    ),
    starttls("pop3"),
  ],
};
