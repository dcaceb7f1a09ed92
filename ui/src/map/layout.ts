// Where everything stands. Each project is laid out by itself, then the projects beside each other: what changes in one
// moves nothing in another. Lines enter and leave a project through gates in its sides, so that they go around cards.
import { Graph, layout as dagre } from "@dagrejs/dagre";
import type { Group, Link } from "./group";

export interface Point {
  x: number;
  y: number;
}

export interface Box extends Point {
  w: number;
  h: number;
}

export interface Route {
  points: Point[];
  label: Point;
}

export interface Layout {
  /** of cards, by group; x and y are of the upper left corner */
  cards: Map<string, Box>;
  projects: Map<string, Box>;
  routes: Map<string, Route>;
  w: number;
  h: number;
}

/** Sizes of cards; style.css draws them so. */
export const card = { width: 204, head: 48, row: 24, rows: 5, ports: 28, pad: 8 };
const title = 38; // above the cards of a project
const margin = 20; // within a project
const label = { width: 144, height: 20 };
// Lines through a gate have their label between two of its points: it needs no room of its own.
const bare = { width: 28, height: 0 };

/** cardHeight of that many rows, of which only some are shown. */
export function cardHeight(rows: number, ports: boolean): number {
  const shown = rows > card.rows ? card.rows : rows;
  return card.head + shown * card.row + (ports ? card.ports : 0) + card.pad;
}

/** rowsOf is how many rows a group's card has. */
export type Rows = (g: Group) => number;

interface Inner {
  graph: Graph;
  w: number;
  h: number;
}

const boxOf = (g: Group): string => (g.kind === "container" ? `p:${g.project}` : g.id);

/** arrange lays everything out. The same input gives the same layout, in whatever order it comes. */
export function arrange(groups: Map<string, Group>, links: Iterable<Link>, rowsOf: Rows): Layout {
  const all = [...links].filter((l) => groups.has(l.from) && groups.has(l.to)).sort((a, b) => (a.id < b.id ? -1 : 1));
  const members = new Map<string, Group[]>();
  for (const g of [...groups.values()].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const box = boxOf(g);
    members.set(box, [...(members.get(box) ?? []), g]);
  }
  const boxes = [...members.keys()].sort();
  const inner = new Map(boxes.map((b) => [b, within(b, members.get(b)!, all, groups, rowsOf)]));
  const outer = between(boxes, inner, all, groups);
  const result: Layout = { cards: new Map(), projects: new Map(), routes: new Map(), w: 0, h: 0 };
  for (const b of boxes) place(b, members.get(b)!, inner.get(b)!, outer, result);
  for (const l of all) result.routes.set(l.id, route(l, groups, inner, outer, result));
  spread(all, result);
  const size = outer.graph() as { width?: number; height?: number };
  result.w = size.width ?? 0;
  result.h = size.height ?? 0;
  return result;
}

const gate = (way: "in" | "out", box: string) => `gate:${way}:${box}`;

/** within lays out the cards of one project, and the gates of its sides. */
function within(box: string, members: Group[], links: Link[], groups: Map<string, Group>, rowsOf: Rows): Inner {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: "LR", nodesep: 24, edgesep: 20, ranksep: 36 });
  graph.setDefaultEdgeLabel(() => ({}));
  const solid = members.some((m) => m.kind !== "container");
  for (const m of members) {
    const ports = m.nodes.some((n) => (n.ports ?? []).length > 0);
    graph.setNode(m.id, { width: card.width, height: cardHeight(rowsOf(m), ports) });
  }
  const [entered, left] = [new Set<string>(), new Set<string>()];
  for (const l of solid ? [] : links) {
    const [from, to] = [boxOf(groups.get(l.from)!), boxOf(groups.get(l.to)!)];
    if (from === box && to === box) {
      if (l.from === l.to) continue;
      graph.setEdge(l.from, l.to, { ...label, labelpos: "c" }, l.id);
      entered.add(l.to);
      left.add(l.from);
    } else if (to === box) {
      graph.setNode(gate("in", from), { width: 1, height: 8 });
      graph.setEdge(gate("in", from), l.to, { ...bare }, l.id);
    } else if (from === box) {
      graph.setNode(gate("out", to), { width: 1, height: 8 });
      graph.setEdge(l.from, gate("out", to), { ...bare }, l.id);
    }
  }
  pin(graph, members, entered, left);
  dagre(graph);
  const size = graph.graph() as { width?: number; height?: number };
  return solid
    ? { graph, w: size.width ?? 0, h: size.height ?? 0 }
    : { graph, w: (size.width ?? 0) + 2 * margin, h: (size.height ?? 0) + title + margin };
}

/** pin keeps gates at the sides: before all that nothing leads to, and after all that leads to nothing. */
function pin(graph: Graph, members: Group[], entered: Set<string>, left: Set<string>) {
  for (const g of graph.nodes()) {
    if (!g.startsWith("gate:")) continue;
    for (const m of members) {
      if (g.startsWith("gate:in:") && !entered.has(m.id)) graph.setEdge(g, m.id, { weight: 0, minlen: 1 }, "pin");
      if (g.startsWith("gate:out:") && !left.has(m.id)) graph.setEdge(m.id, g, { weight: 0, minlen: 1 }, "pin");
    }
  }
}

/** between lays out the projects, and what is outside. */
function between(boxes: string[], inner: Map<string, Inner>, links: Link[], groups: Map<string, Group>): Graph {
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 32, edgesep: 16, ranksep: 84, marginx: 20, marginy: 16 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const b of boxes) graph.setNode(b, { width: inner.get(b)!.w, height: inner.get(b)!.h });
  for (const l of links) {
    const [from, to] = [boxOf(groups.get(l.from)!), boxOf(groups.get(l.to)!)];
    if (from !== to) graph.setEdge(from, to, { weight: 1 });
  }
  dagre(graph);
  return graph;
}

interface Placed extends Point {
  width: number;
  height: number;
}

/** corner is the upper left of a box's content. */
function corner(outer: Graph, box: string): Point {
  const n = outer.node(box) as Placed;
  const project = box.startsWith("p:");
  return { x: n.x - n.width / 2 + (project ? margin : 0), y: n.y - n.height / 2 + (project ? title : 0) };
}

function place(box: string, members: Group[], inner: Inner, outer: Graph, result: Layout) {
  const at = corner(outer, box);
  for (const m of members) {
    const n = inner.graph.node(m.id) as Placed;
    result.cards.set(m.id, { x: at.x + n.x - n.width / 2, y: at.y + n.y - n.height / 2, w: n.width, h: n.height });
  }
  if (!box.startsWith("p:")) return;
  const n = outer.node(box) as Placed;
  result.projects.set(box.slice(2), { x: n.x - n.width / 2, y: n.y - n.height / 2, w: n.width, h: n.height });
}

/** route joins a link's ways: out of its project, between projects, into the other. */
function route(l: Link, groups: Map<string, Group>, inner: Map<string, Inner>, outer: Graph, result: Layout): Route {
  const [from, to] = [boxOf(groups.get(l.from)!), boxOf(groups.get(l.to)!)];
  const [a, b] = [result.cards.get(l.from)!, result.cards.get(l.to)!];
  if (l.from === l.to) return loop(a);
  if (from === to) {
    const way = part(inner.get(from)!, outer, from, l.from, l.to, l.id);
    return way ?? direct(a, b);
  }
  const leaving = part(inner.get(from)!, outer, from, l.from, gate("out", to), l.id);
  const entering = part(inner.get(to)!, outer, to, gate("in", from), l.to, l.id);
  const middle = ((outer.edge(from, to) as { points?: Point[] } | undefined)?.points ?? []).slice(1, -1);
  const points = calm([...(leaving?.points ?? [center(a)]), ...middle, ...(entering?.points ?? [center(b)])]);
  return { points, label: longest((entering ?? leaving)?.points ?? points) };
}

/** calm leaves points out that are too near to one another to be anything but a wobble. */
function calm(points: Point[]): Point[] {
  const out = [points[0]!];
  for (const p of points.slice(1, -1)) if (Math.abs(p.x - out[out.length - 1]!.x) >= 48) out.push(p);
  if (points.length > 1) out.push(points[points.length - 1]!);
  return out;
}

/** longest is the middle of a line's longest stretch. */
function longest(points: Point[]): Point {
  let [best, at] = [-1, points[0]!];
  for (const [i, p] of points.entries()) {
    const q = points[i + 1];
    if (!q || Math.abs(q.x - p.x) <= best) continue;
    best = Math.abs(q.x - p.x);
    at = { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 };
  }
  return at;
}

function part(inner: Inner, outer: Graph, box: string, from: string, to: string, id: string): Route | undefined {
  const e = inner.graph.edge(from, to, id) as (Point & { points: Point[] }) | undefined;
  if (!e) return undefined;
  const at = corner(outer, box);
  const move = (p: Point) => ({ x: p.x + at.x, y: p.y + at.y });
  return { points: e.points.map(move), label: move(e) };
}

const center = (b: Box): Point => ({ x: b.x + b.w / 2, y: b.y + b.h / 2 });

/** direct is the way of a link that came after the layout: straight over. */
export function direct(a: Box, b: Box): Route {
  const [p, q] = [center(a), center(b)];
  return { points: ends([p, q], a, b), label: { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 } };
}

function loop(a: Box): Route {
  const x = a.x + a.w;
  return {
    points: [{ x: x - 40, y: a.y }, { x: x - 40, y: a.y - 18 }, { x: x + 14, y: a.y - 18 }, { x: x + 14, y: a.y + 20 }, { x, y: a.y + 20 }],
    label: { x: x - 14, y: a.y - 20 },
  };
}

/** ends lets a line begin and end in the middle of a card's side. */
function ends(points: Point[], a: Box, b: Box, dyA = 0, dyB = 0): Point[] {
  const inside = points.slice(1, -1);
  const rightward = b.x + b.w / 2 >= a.x + a.w / 2;
  const [first, last] = [inside[0], inside[inside.length - 1]];
  const outRight = first ? first.x >= a.x + a.w / 2 : rightward;
  const inLeft = last ? last.x <= b.x + b.w / 2 : rightward;
  return [
    { x: outRight ? a.x + a.w : a.x, y: a.y + a.h / 2 + dyA },
    ...inside,
    { x: inLeft ? b.x : b.x + b.w, y: b.y + b.h / 2 + dyB },
  ];
}

/** spread moves the ends of lines at one side of a card apart, in the order of where they go. */
function spread(links: Link[], result: Layout) {
  const offsets = new Map<string, [number, number]>();
  const sides = new Map<string, { id: string; end: 0 | 1; y: number }[]>();
  for (const l of links) {
    if (l.from === l.to) continue;
    const [a, b] = [result.cards.get(l.from)!, result.cards.get(l.to)!];
    const points = ends(result.routes.get(l.id)!.points, a, b);
    offsets.set(l.id, [0, 0]);
    for (const [end, c] of [[0, l.from], [1, l.to]] as const) {
      const own = points[end === 0 ? 0 : points.length - 1]!;
      const next = points[end === 0 ? 1 : points.length - 2]!;
      const box = result.cards.get(c)!;
      const key = `${c} ${own.x > box.x + box.w / 2}`;
      sides.set(key, [...(sides.get(key) ?? []), { id: l.id, end, y: next.y }]);
    }
  }
  for (const [key, all] of sides) {
    const box = result.cards.get(key.slice(0, key.lastIndexOf(" ")))!;
    const step = Math.min(22, (box.h - 28) / Math.max(1, all.length));
    all.sort((p, q) => p.y - q.y || (p.id < q.id ? -1 : 1));
    all.forEach((s, i) => (offsets.get(s.id)![s.end] = (i - (all.length - 1) / 2) * step));
  }
  for (const l of links) {
    if (l.from === l.to) continue;
    const [dyA, dyB] = offsets.get(l.id)!;
    const r = result.routes.get(l.id)!;
    r.points = ends(r.points, result.cards.get(l.from)!, result.cards.get(l.to)!, dyA, dyB);
  }
}

/** path draws a smooth line through points, which leaves and enters cards at a right angle. dy moves all of it. */
export function path(points: Point[], dy = 0): string {
  const [first, ...rest] = points;
  if (!first) return "";
  const n = (v: number) => Math.round(v * 10) / 10;
  let out = `M${n(first.x)} ${n(first.y + dy)}`;
  let last = first;
  for (const p of rest) {
    const half = (p.x - last.x) / 2;
    out += `C${n(last.x + half)} ${n(last.y + dy)} ${n(p.x - half)} ${n(p.y + dy)} ${n(p.x)} ${n(p.y + dy)}`;
    last = p;
  }
  return out;
}

/**
 * settled reports whether a layout may stay as it is: the same cards of the same sizes, and no link to a card that had
 * none. Links that came since are drawn straight; nothing jumps because somebody opened a connection.
 */
export function settled(old: Layout, groups: Map<string, Group>, links: Iterable<Link>, rowsOf: Rows): boolean {
  if (old.cards.size !== groups.size) return false;
  for (const g of groups.values()) {
    const box = old.cards.get(g.id);
    if (!box || box.h !== cardHeight(rowsOf(g), g.nodes.some((n) => (n.ports ?? []).length > 0))) return false;
  }
  const linked = new Set<string>();
  for (const id of old.routes.keys()) {
    const [from = "", to = ""] = id.split(" ");
    if (from !== to) linked.add(from).add(to);
  }
  for (const l of links) if (l.from !== l.to && !(linked.has(l.from) && linked.has(l.to))) return false;
  return true;
}
