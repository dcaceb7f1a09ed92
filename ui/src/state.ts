// What the page shows now. Components read the signals; the functions change them.
import { computed, effect, signal } from "@preact/signals";
import * as api from "./api";
import type { Edge, FilterAnswer, Flow, Topology } from "./model";
import { groups, links, type Group, type Link } from "./map/group";

export type View = "map" | "flows" | "policies";

/** Selection is what the panel explains. */
export type Selection =
  | { kind: "group"; id: string; node?: string }
  | { kind: "link"; id: string }
  | { kind: "flow"; flow: Flow };

export const view = signal<View>("map");
export const selection = signal<Selection | null>(null);
export const helpOpen = signal(false);

// The map.

export const topology = signal<Topology | null>(null);
export const edges = signal<ReadonlyMap<string, Edge>>(new Map());
/** The daemon's clock at the last message, ms: what is recent is measured by it. */
export const now = signal(Date.now());
export const lost = signal(0);
export const trouble = signal("");
export const alive = signal(false);

/** Minutes that the map reaches back. */
export const reach = signal(15);
/** Projects that are hidden. */
export const hidden = signal<ReadonlySet<string>>(new Set());

export const projects = computed(() => {
  const all = new Set((topology.value?.nodes ?? []).filter((n) => n.kind === "container" && !n.gone).map((n) => n.project ?? ""));
  return [...all].sort();
});

const shown = computed((): Topology => {
  const t = topology.value ?? { host: "", nodes: [] };
  return { ...t, nodes: t.nodes.filter((n) => n.kind !== "container" || !hidden.value.has(n.project ?? "")) };
});

export const linkMap = computed(() => links(shown.value, edges.value.values(), now.value, now.value - reach.value * 60_000));
export const groupMap = computed(() => {
  const used: Edge[] = [];
  for (const l of linkMap.value.values()) used.push(...l.edges);
  return groups(shown.value, used);
});

export const selectedLink = computed((): Link | undefined =>
  selection.value?.kind === "link" ? linkMap.value.get(selection.value.id) : undefined,
);
export const selectedGroup = computed((): Group | undefined =>
  selection.value?.kind === "group" ? groupMap.value.get(selection.value.id) : undefined,
);

function followMap(): () => void {
  let fresh = true; // a stream begins with everything
  return api.followMap(
    (t) => {
      topology.value = t;
      trouble.value = "";
    },
    (e) => {
      const next = new Map(fresh ? [] : edges.value);
      fresh = false;
      for (const edge of e.edges) next.set(`${edge.from} ${edge.to}`, edge);
      now.value = Date.parse(e.now);
      lost.value = e.lost;
      if (e.edges.length > 0 || edges.value.size !== next.size) edges.value = next;
    },
    (p) => (trouble.value = p.message),
    (open) => {
      alive.value = open;
      fresh = true;
    },
  );
}

// Flows.

export const filterText = signal(new URLSearchParams(location.search).get("q") ?? "");
export const filterProblem = signal("");
export const filterAnswer = signal<FilterAnswer | null>(null);
export const flows = signal<readonly Flow[]>([]); // newest first
export const skipped = signal(0);
export const flowsLost = signal(0);
export const paused = signal(false);
/** How many came while it was paused. */
export const waiting = signal(0);
/** The time that the table shows: live, a time ago such as 15m, or from and to. */
export const range = signal<{ since: string; until: string }>({ since: "", until: "" });
export const live = computed(() => range.value.since === "" && range.value.until === "");

const most = 500; // flows in the table

function followFlows(): (() => void) | undefined {
  const q = filterText.value;
  if (!live.value) {
    void past();
    return undefined;
  }
  flows.value = [];
  let first = true;
  return api.followFlows(
    { q, last: "200" },
    (e) => {
      filterProblem.value = "";
      if (first) {
        flows.value = [];
        first = false;
      }
      if (paused.value) {
        waiting.value += e.flows.length + (e.skipped ?? 0);
        return;
      }
      skipped.value += e.skipped ?? 0;
      flowsLost.value += e.lost ?? 0;
      if (e.flows.length > 0) flows.value = [...e.flows.toReversed(), ...flows.value].slice(0, most);
    },
    (p) => (filterProblem.value = p.message.replace(/^read filter: /, "")),
    (open) => {
      if (open) first = true;
    },
  );
}

/** past fills the table with flows of the chosen time. */
export async function past() {
  const { since, until } = range.value;
  const q = filterText.value;
  try {
    const e = await api.flows({ q, since, until, last: "500" });
    if (q !== filterText.value) return;
    filterProblem.value = "";
    flows.value = e.flows.toReversed();
    skipped.value = e.skipped ?? 0;
  } catch (err) {
    filterProblem.value = (err as Error).message.replace(/^read filter: /, "");
  }
}

/** resume shows what came during a pause. */
export function resume() {
  paused.value = false;
  waiting.value = 0;
  restart.value++;
}
const restart = signal(0);

/** start follows the daemon while the page can be seen. */
export function start() {
  const visible = signal(!document.hidden);
  document.addEventListener("visibilitychange", () => (visible.value = !document.hidden));
  effect(() => (visible.value ? followMap() : undefined));
  effect(() => {
    void restart.value;
    void filterText.value;
    void range.value;
    skipped.value = 0;
    return visible.value ? followFlows() : undefined;
  });
  effect(() => {
    const q = filterText.value;
    history.replaceState(null, "", q ? `?q=${encodeURIComponent(q)}` : location.pathname);
    api.filter(q).then(
      (a) => (filterAnswer.value = a),
      () => (filterAnswer.value = null),
    );
  });
}

// Light and dark.

export type Theme = "auto" | "light" | "dark";
const stored = localStorage.getItem("theme");
export const theme = signal<Theme>(stored === "light" || stored === "dark" ? stored : "auto");
effect(() => {
  document.documentElement.dataset.theme = theme.value;
  localStorage.setItem("theme", theme.value);
});
