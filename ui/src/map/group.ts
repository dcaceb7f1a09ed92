// From containers to what the map draws: services with their containers, and one link between two of them.
import type { Denial, Edge, MapNode, Peer, Port, Topology } from "../model";
import { short } from "../format";

/** Group is a card of the map: a service with its containers, or a container of none, or an end outside. */
export interface Group {
  id: string;
  kind: MapNode["kind"];
  /** side of an end outside: in, it opens connections; out, it accepts them */
  side?: "in" | "out";
  project: string;
  title: string;
  nodes: MapNode[];
}

/** State of a link: what was seen last of it within the time that the map shows. */
export type State = "ok" | "dropped" | "both" | "audit";

/** Link is everything that one group opens to another. */
export interface Link {
  id: string;
  from: string;
  to: string;
  edges: Edge[];
  sent: number;
  received: number;
  packets: number;
  opened: number;
  drops: number;
  connections: number;
  last: number;
  state: State;
  ports: Port[];
  /** denials that made it red, newest first */
  denials: Denial[];
  policies: string[];
}

/** Links stay red for so long after the last drop, ms. */
export const dropTime = 60_000;

const outside: Record<string, string> = { host: "This host", world: "World", other: "Other hosts" };

/** groupOf returns the id of a node's group; in: as the one who opens connections. */
export function groupOf(node: MapNode, opens: boolean): string {
  if (node.kind !== "container") return `${node.id}:${opens ? "in" : "out"}`;
  return node.service ? `${node.project}/${node.service}` : `/${node.id}`;
}

/** groups puts nodes into groups. Ends outside are there when edges are. */
export function groups(topology: Topology, edges: Iterable<Edge>): Map<string, Group> {
  const out = new Map<string, Group>();
  const nodes = new Map(topology.nodes.map((n) => [n.id, n]));
  const ends = new Set<string>();
  for (const e of edges) {
    ends.add(e.from).add(e.to);
    for (const [id, opens] of [[e.from, true], [e.to, false]] as const) {
      const n = nodes.get(id);
      if (!n || n.kind === "container") continue;
      const group = groupOf(n, opens);
      out.set(group, { id: group, kind: n.kind, side: opens ? "in" : "out", project: "", title: outside[n.kind] ?? n.id, nodes: [n] });
    }
  }
  for (const n of topology.nodes) {
    if (n.kind !== "container" || (n.gone && !ends.has(n.id))) continue;
    const id = groupOf(n, true);
    const group = out.get(id);
    if (group) group.nodes.push(n);
    else out.set(id, { id, kind: "container", project: n.project ?? "", title: n.service || short(n.id, n.project), nodes: [n] });
  }
  return out;
}

const time = (iso?: string): number => (iso ? Date.parse(iso) : 0);

/** links joins edges between groups, those that were seen since a time. */
export function links(topology: Topology, edges: Iterable<Edge>, now: number, since: number): Map<string, Link> {
  const nodes = new Map(topology.nodes.map((n) => [n.id, n]));
  const out = new Map<string, Link>();
  for (const e of edges) {
    const [from, to] = [nodes.get(e.from), nodes.get(e.to)];
    if (!from || !to || time(e.last) < since) continue;
    const id = `${groupOf(from, true)} ${groupOf(to, false)}`;
    let link = out.get(id);
    if (!link) {
      link = {
        id, from: groupOf(from, true), to: groupOf(to, false), edges: [], sent: 0, received: 0, packets: 0, opened: 0, drops: 0,
        connections: 0, last: 0, state: "ok", ports: [], denials: [], policies: [],
      };
      out.set(id, link);
    }
    link.edges.push(e);
  }
  for (const link of out.values()) sum(link, now);
  return out;
}

function sum(link: Link, now: number) {
  let [passed, dropped, audited] = [0, 0, 0];
  for (const e of link.edges) {
    link.sent += e.sent;
    link.received += e.received;
    link.packets += e.packets;
    link.opened += e.opened;
    link.drops += e.drops;
    link.connections += e.connections;
    link.last = Math.max(link.last, time(e.last));
    passed = Math.max(passed, time(e.lastPass));
    dropped = Math.max(dropped, time(e.lastDrop));
    audited = Math.max(audited, time(e.audited));
    for (const p of e.ports ?? []) addPort(link.ports, p);
    for (const d of e.denials ?? []) addDenial(link.denials, d);
    for (const p of e.policies ?? []) if (!link.policies.includes(p)) link.policies.push(p);
  }
  const recent = (t: number) => t > now - dropTime;
  if (recent(dropped)) link.state = recent(passed) ? "both" : "dropped";
  else if (recent(audited)) link.state = "audit";
  link.ports.sort((a, b) => b.bytes - a.bytes || b.connections - a.connections || a.port - b.port);
  link.denials.sort((a, b) => time(b.last) - time(a.last));
  link.policies.sort();
}

function addPort(all: Port[], p: Port) {
  const same = all.find((x) => x.protocol === p.protocol && x.port === p.port && x.published === p.published);
  if (!same) {
    all.push({ ...p });
    return;
  }
  same.bytes += p.bytes;
  same.connections += p.connections;
  same.drops = (same.drops ?? 0) + (p.drops ?? 0);
  if (p.last > same.last) same.last = p.last;
}

function addDenial(all: Denial[], d: Denial) {
  const same = all.find(
    (x) => x.reason === d.reason && x.policy === d.policy && x.rule === d.rule && x.direction === d.direction &&
      x.protocol === d.protocol && x.port === d.port && x.audit === d.audit,
  );
  if (!same) {
    all.push({ ...d });
    return;
  }
  same.count += d.count;
  if (d.last > same.last) [same.last, same.seq] = [d.last, d.seq];
}

/** peers returns the addresses outside that a group's links lead to or come from, most bytes first. */
export function peers(group: string, links: Iterable<Link>): Peer[] {
  const all = new Map<string, Peer>();
  for (const link of links) {
    if (link.from !== group && link.to !== group) continue;
    for (const p of link.edges.flatMap((e) => e.peers ?? [])) {
      const same = all.get(p.address);
      if (same) same.bytes += p.bytes;
      else all.set(p.address, { ...p });
    }
  }
  return [...all.values()].sort((a, b) => b.bytes - a.bytes || a.address.localeCompare(b.address));
}

/** reason says in a few words why a link is red: the reason, and the policy where one did it. */
export function reason(link: Link): string {
  const d = link.denials.find((x) => !x.audit) ?? link.denials[0];
  if (!d) return "";
  return d.policy ? `${d.reason}: ${d.policy}` : d.reason;
}

/** width of a link's line for bytes in a second: 1.5 when it rests, 9 from 100 MB/s on. */
export function width(bytesPerSecond: number): number {
  if (bytesPerSecond < 1) return 1.5;
  return Math.min(9, 1.5 + Math.log10(bytesPerSecond) * 0.94);
}
