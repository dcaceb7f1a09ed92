import { useEffect } from "preact/hooks";
import { FilterBox } from "./flows/bar";
import { FlowTable } from "./flows/table";
import { bytes, count } from "./format";
import { Icon } from "./icons";
import { ServiceMap } from "./map/map";
import { Panel } from "./panel/panel";
import { Policies } from "./policies/policies";
import * as state from "./state";

const views: [state.View, string][] = [
  ["map", "Map"],
  ["flows", "Flows"],
  ["policies", "Policies"],
];

const themes: Record<state.Theme, [state.Theme, string, string]> = {
  auto: ["light", "auto", "Light or dark as the system has it"],
  light: ["dark", "sun", "Light"],
  dark: ["auto", "moon", "Dark"],
};

function Header() {
  const links = [...state.linkMap.value.values()];
  const total = links.reduce((sum, l) => sum + l.sent + l.received, 0);
  const drops = links.reduce((sum, l) => sum + l.drops, 0);
  const [next, icon, name] = themes[state.theme.value];
  return (
    <header class="top">
      <a class="brand" href="./" title={`Sluice on ${state.topology.value?.host ?? "…"}`}>
        <img src="favicon.svg" alt="" width="24" height="24" />
        <b>Sluice</b>
        <small>{state.topology.value?.host}</small>
      </a>
      <nav aria-label="Views">
        {views.map(([v, label], i) => (
          <button type="button" key={v} aria-current={state.view.value === v ? "page" : undefined} title={`${label} (${i + 1})`} onClick={() => (state.view.value = v)}>
            {label}
          </button>
        ))}
      </nav>
      <FilterBox />
      <div class="totals" aria-live="off">
        <span>{bytes(total)}/s</span>
        {drops > 0 && <span class="bad">{count(drops)} drops/s</span>}
      </div>
      <span class={`alive${state.alive.value ? " on" : ""}`} role="status" title={state.alive.value ? "Connected to the daemon" : "No answer from the daemon"}>
        <span class="sr">{state.alive.value ? "Connected" : "Not connected"}</span>
      </span>
      <button type="button" class="round" title={`${name} (t)`} onClick={() => (state.theme.value = next)}>
        <Icon name={icon} />
        <span class="sr">Colours: {name}</span>
      </button>
      <button type="button" class="round help-button" title="Keys and words (?)" onClick={() => (state.helpOpen.value = true)}>
        <Icon name="help" />
        <span class="sr">Keys and words</span>
      </button>
    </header>
  );
}

const shortcuts: [string, string][] = [
  ["/", "filter"],
  ["1 2 3", "map, flows, policies"],
  ["p", "pause, resume"],
  ["t", "light, dark"],
  ["Esc", "close"],
  ["↑ ↓ j k", "walk through flows; Enter explains one"],
  ["arrows + - f", "move, scale, show all, on the map"],
];

const samples: [string, string][] = [
  ["verdict:dropped", "dropped, forwarded or audit"],
  ["from:web to:db", "containers, services, projects, addresses, domains"],
  ["port:80,443 protocol:tcp", "values of one word are alternatives"],
  ["ip:10.0.0.0/8", "also from-ip: and to-ip:, as with all that are about ends"],
  ["project:shop !service:cron", "! turns a word round"],
  ["policy:shop/* reason:\"policy denied\"", "* stands for any text"],
  ["type:policy-verdict", "what policies said, also where nothing came of it"],
  ["anything else", "is looked for in all that a line shows"],
];

function Help() {
  useEffect(() => document.querySelector<HTMLElement>(".help button")?.focus(), []);
  const close = () => (state.helpOpen.value = false);
  const list = (items: [string, string][]) => (
    <dl>
      {items.map(([k, v]) => (
        <div key={k}>
          <dt>
            <kbd>{k}</kbd>
          </dt>
          <dd>{v}</dd>
        </div>
      ))}
    </dl>
  );
  return (
    <div class="veil" onClick={(e) => e.target === e.currentTarget && close()}>
      <div class="help" role="dialog" aria-modal="true" aria-label="Keys and words" onKeyDown={(e) => e.key === "Escape" && close()}>
        <button type="button" title="Close" onClick={close}>
          <Icon name="close" />
          <span class="sr">Close</span>
        </button>
        <h2>Keys</h2>
        {list(shortcuts)}
        <h2>Words of the filter</h2>
        {list(samples)}
      </div>
    </div>
  );
}

/** shortcut handles keys that are pressed anywhere but in a field. */
function shortcut(e: KeyboardEvent) {
  const target = e.target as HTMLElement;
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
  const actions: Record<string, () => void> = {
    "/": () => document.getElementById("filter")?.focus(),
    "1": () => (state.view.value = "map"),
    "2": () => (state.view.value = "flows"),
    "3": () => (state.view.value = "policies"),
    p: () => (state.paused.value ? state.resume() : (state.paused.value = true)),
    t: () => (state.theme.value = themes[state.theme.value][0]),
    "?": () => (state.helpOpen.value = true),
    Escape: () => {
      if (state.helpOpen.value) state.helpOpen.value = false;
      else state.selection.value = null;
    },
  };
  const action = actions[e.key];
  if (!action) return;
  e.preventDefault();
  action();
}

export function App() {
  useEffect(() => {
    document.addEventListener("keydown", shortcut);
    return () => document.removeEventListener("keydown", shortcut);
  }, []);
  const view = state.view.value;
  return (
    <div class={`app view-${view}`}>
      <Header />
      {!state.alive.value && state.topology.value && (
        <p class="banner" role="alert">
          <Icon name="alert" /> The daemon does not answer. What you see is of before; the page connects again by itself.
        </p>
      )}
      {state.trouble.value && (
        <p class="banner" role="alert">
          <Icon name="alert" /> {state.trouble.value}
        </p>
      )}
      <main>
        {view === "policies" ? (
          <Policies />
        ) : (
          <div class="split">
            {view === "map" && <ServiceMap />}
            <FlowTable />
          </div>
        )}
        {view !== "policies" && <Panel />}
      </main>
      {state.helpOpen.value && <Help />}
    </div>
  );
}
