import type { EdgesEvent, Explanation, Exposure, FilterAnswer, FlowsEvent, History, Policy, Problem, Topology } from "./model";

/** Refusal is an answer that is none. */
export class Refusal extends Error {}

async function ask<T>(path: string, init?: RequestInit): Promise<T> {
  const answer = await fetch(path, init).catch(() => {
    throw new Refusal("the daemon does not answer");
  });
  if (answer.status === 401) {
    location.reload(); // to the form that asks for the token
    throw new Refusal("the session has ended");
  }
  if (!answer.ok) {
    const problem = (await answer.json().catch(() => null)) as Problem | null;
    throw new Refusal(problem?.message ?? `the daemon answered ${answer.status}`);
  }
  return (await answer.json()) as T;
}

const query = (path: string, values: Record<string, string | string[] | undefined>): string => {
  const q = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const v of Array.isArray(value) ? value : value ? [value] : []) q.append(key, v);
  }
  return `${path}?${q}`;
};

export interface FlowQuery {
  q: string;
  since?: string;
  until?: string;
  last?: string;
  [key: string]: string | undefined;
}

export const flows = (q: FlowQuery) => ask<FlowsEvent>(query("api/flows", q));
export const filter = (q: string) => ask<FilterAnswer>(query("api/filter", { q }));
export const history = (ends: { from?: string[]; to?: string[]; of?: string[] }) => ask<History>(query("api/history", ends));
export const policies = () => ask<Policy[]>("api/policies");
export const exposed = () => ask<Exposure[]>("api/exposed");

export const explain = (from: string, to: string) =>
  ask<Explanation>("api/explain", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ from, to }),
  });

/** listen follows a stream of events until the function that it returns is called. */
function listen(path: string, on: Record<string, (data: never) => void>, alive: (open: boolean) => void): () => void {
  let source: EventSource;
  let timer = 0;
  const open = () => {
    source = new EventSource(path);
    source.onopen = () => alive(true);
    source.onerror = () => {
      alive(false);
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
      timer = window.setTimeout(() => {
        // It was refused. The answer to a question says why: the token may be wanted again.
        void ask("api/filter?q=").catch(() => undefined);
        open();
      }, 2000);
    };
    for (const [name, handle] of Object.entries(on)) {
      source.addEventListener(name, (e) => handle(JSON.parse((e as MessageEvent<string>).data) as never));
    }
  };
  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

export const followMap = (
  topology: (t: Topology) => void,
  edges: (e: EdgesEvent) => void,
  trouble: (p: Problem) => void,
  alive: (open: boolean) => void,
) => listen("api/map", { topology, edges, trouble }, alive);

export const followFlows = (
  q: FlowQuery,
  flows: (f: FlowsEvent) => void,
  refused: (p: Problem) => void,
  alive: (open: boolean) => void,
) => listen(query("api/flows/stream", q), { flows, refused }, alive);
