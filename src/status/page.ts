// SPDX-License-Identifier: Apache-2.0
// `GET /`: the status as a page that keeps itself up to date. One file, no other address is asked for
// anything; text from the network is only ever set as text.

export const statusPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ttgate</title>
<style>
  :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
  body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.3rem; margin: 0 }
  #state { padding: .2rem .6rem; border-radius: .4rem; color: #fff; background: #777 }
  #state.ready { background: #2a7d3f } #state.not { background: #b3261e }
  dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; margin: 1.5rem 0 }
  dt { opacity: .7 } dd { margin: 0; font-size: 1.6rem; font-variant-numeric: tabular-nums }
  table { border-collapse: collapse; width: 100% } th { text-align: left; opacity: .7; font-weight: normal }
  td, th { padding: .25rem .5rem; border-bottom: 1px solid #8884; font-variant-numeric: tabular-nums }
</style>
<h1>ttgate <span id="state">...</span></h1>
<p id="about"></p>
<dl id="figures"></dl>
<table><thead><tr><th>Source<th>Protocol<th>By<th>Time left<th>Packets dropped</thead><tbody id="bans"></tbody></table>
<p id="more"></p>
<script>
const at = (id) => document.getElementById(id);
const cell = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
const left = (seconds) => seconds === null ? "without an end"
  : seconds >= 3600 ? Math.floor(seconds / 3600) + " h " + Math.floor(seconds % 3600 / 60) + " min"
  : Math.floor(seconds / 60) + " min " + Math.floor(seconds % 60) + " s";
async function refresh() {
  try {
    const [status, ready, list] = await Promise.all(["status", "readyz", "bans?limit=200"].map(async (path) => (await fetch(path)).json()));
    const { connections, bans, kernel } = status;
    at("state").textContent = ready.ready ? "ready" : ready.reasons.join("; ");
    at("state").className = ready.ready ? "ready" : "not";
    const guard = kernel.map === null ? "no kernel block"
      : kernel.managedBy ? "map " + kernel.map + ", read by " + kernel.managedBy
      : "map " + kernel.map + ", XDP " + kernel.interfaces.map(({ name, attach }) => name + " " + attach).join(", ");
    at("about").textContent = status.gates.map(({ listen, profile }) => listen + " for " + profile).join("; ") + ", version " + status.version + ", " + guard;
    const figures = { "Relayed": connections.relayed, "Open": connections.active, "Banned now": bans.active, "Bans in all": bans.total,
      "Refused while banned": connections.refusedBanned, "Packets dropped": kernel.droppedPackets };
    at("figures").replaceChildren(...Object.entries(figures).map(([name, value]) => {
      const group = document.createElement("div");
      group.append(cell("dt", name), cell("dd", value.toLocaleString()));
      return group;
    }));
    at("bans").replaceChildren(...list.bans.map((ban) => {
      const row = document.createElement("tr");
      for (const text of [ban.source, ban.protocol, ban.by, left(ban.remainingSeconds), ban.packets ?? "-"]) row.append(cell("td", text));
      return row;
    }));
    at("more").textContent = list.total > list.bans.length ? "The newest " + list.bans.length + " of " + list.total + " are shown" : list.total === 0 ? "Nobody is banned" : "";
  } catch {
    at("state").textContent = "no answer";
    at("state").className = "not";
  }
}
refresh();
setInterval(refresh, 2000);
</script>
</html>
`;
