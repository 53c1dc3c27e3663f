// SPDX-License-Identifier: Apache-2.0
// nginx as a relay of TCP, one worker with all settings as they come: it looks at nothing and turns nobody away.

/** Debian's libnginx-mod-stream. */
export const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so";

export interface NginxOptions {
  readonly port: number;
  readonly upstreamPort: number;
}

/** Without a master: the process that is measured is the one that works. */
export function nginxConfig({ port, upstreamPort }: NginxOptions): string {
  return `load_module ${streamModule};
daemon off;
master_process off;
pid nginx-${port}.pid;
events {
  worker_connections 20000;
}
stream {
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_pass 127.0.0.1:${upstreamPort};
    proxy_timeout 1h;
  }
}
`;
}
