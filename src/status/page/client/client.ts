// SPDX-License-Identifier: Apache-2.0
// Keeps a page up to date: asks for it anew and changes in place what is different, so that a selection, a
// search in the page and the position of a screen reader stay. Runs in the browser; all that is shown is the
// server's, and text from it is only ever taken as the server escaped it.
import { Idiomorph } from "idiomorph";

const everyMs = 2000;
/** Who has not answered by then does not answer. */
const patienceMs = 5000;

function find<T extends Element>(selector: string, within: ParentNode = document): T | null {
  return within.querySelector<T>(selector);
}

/** What the reader has changed is the reader's. */
function isKept(node: Node): boolean {
  return node instanceof Element && node.hasAttribute("data-keep");
}

async function refresh(): Promise<void> {
  const reply = await fetch(location.href, { signal: AbortSignal.timeout(patienceMs) });
  if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
  const next = new DOMParser().parseFromString(await reply.text(), "text/html");
  if (next.documentElement.dataset["version"] !== document.documentElement.dataset["version"]) location.reload();
  const [main, nextMain] = [find("main"), find("main", next)];
  if (main === null || nextMain === null) return;
  void Idiomorph.morph(main, nextMain, { callbacks: { beforeNodeMorphed: (node) => !isKept(node) } });
  document.title = next.title;
  const [icon, nextIcon] = [find<HTMLLinkElement>("link[rel=icon]"), find<HTMLLinkElement>("link[rel=icon]", next)];
  if (icon !== null && nextIcon !== null && icon.href !== nextIcon.href) icon.href = nextIcon.href;
}

function noAnswer(): void {
  const state = find("#state");
  if (state === null || state.className === "silent") return;
  state.className = "silent";
  state.textContent = "No answer: what is below is from before";
  document.title = `■ No answer: ${location.host}`;
}

async function change(form: HTMLFormElement, what: string): Promise<void> {
  const told = new FormData(form);
  const { source = "", address = "" } = form.dataset;
  const token = told.get("token");
  const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${String(token)}` };
  const reply =
    what === "lift"
      ? await fetch(`/bans/${encodeURIComponent(source)}`, { method: "DELETE", headers })
      : await fetch("/bans", {
          method: "POST",
          headers: { ...headers, "content-type": "application/json" },
          body: JSON.stringify({ address, for: told.get("for") }),
        });
  const body = (await reply.json()) as { error?: string };
  const done = what === "lift" ? "Lifted" : "Banned";
  say(form, reply.ok ? done : (body.error ?? `HTTP ${reply.status}`));
}

function say(form: HTMLFormElement, text: string): void {
  const output = find<HTMLOutputElement>("output", form);
  if (output !== null) output.value = text;
}

function listen(form: HTMLFormElement): void {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = event.submitter;
    const what = button instanceof HTMLButtonElement ? button.value : "ban";
    change(form, what)
      .then(refresh)
      .catch((error) => say(form, String(error)));
  });
}

let read: Element | null = null;

/** Where the pointer is on a chart: the time, and the values then, beside what is the most. */
function readOut({ target, clientX }: PointerEvent): void {
  const at = target instanceof Element ? target.closest(".drawing") : null;
  if (read !== at && read !== null) show(read, "", "");
  read = at;
  const svg = at === null ? null : find<SVGSVGElement>("svg", at);
  if (at === null || svg === null) return;
  const { left, width } = svg.getBoundingClientRect();
  const slots = svg.viewBox.baseVal.width;
  const slot = Math.max(0, Math.min(slots - 1, Math.floor(((clientX - left) / width) * slots)));
  const { until = "", step = "" } = svg.dataset;
  const time = new Date(Date.parse(until) - (slots - slot) * Number(step) * 1000).toISOString().slice(11, 16);
  const told = [...svg.querySelectorAll<SVGElement>("[data-values]")].map(({ dataset: { name, values = "" } }) => {
    const value = values.split(",")[slot] ?? "";
    return `${name} ${value === "" ? "not known" : Number(value).toLocaleString("en")}`;
  });
  show(at, `From ${time} UTC: ${told.join(", ")}`, `M${slot + 0.5} 0V100`);
}

function show(drawing: Element, text: string, line: string): void {
  const output = find(".read", drawing);
  if (output !== null) output.textContent = text;
  find(".cursor", drawing)?.setAttribute("d", line);
}

document.addEventListener("pointermove", readOut);
document.addEventListener("pointerdown", readOut);

const form = find<HTMLFormElement>("#change");
if (form !== null) listen(form);
const live = find<HTMLInputElement>("#live");
const label = find<HTMLElement>("#live-label");
if (label !== null) label.hidden = false;

async function goOn(): Promise<void> {
  if (!document.hidden && live?.checked !== false) await refresh().catch(noAnswer);
  setTimeout(goOn, everyMs);
}
setTimeout(goOn, everyMs);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && live?.checked !== false) refresh().catch(noAnswer);
});
