import assert from "node:assert/strict";
import { test } from "node:test";
import type { Edge, Topology } from "../src/model";
import { arrange, path, settled, type Box, type Layout } from "../src/map/layout";
import { groups, links, type Group } from "../src/map/group";
import { container, edge, now, shop } from "./fixture";

const rowsOf = (g: Group) => g.nodes.length;

function lay(t: Topology, edges: Edge[]) {
  const g = groups(t, edges);
  const l = [...links(t, edges, now, 0).values()];
  return { g, l, layout: arrange(g, l, rowsOf) };
}

const apart = (a: Box, b: Box) => a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
const inside = (a: Box, b: Box) => a.x >= b.x && a.y >= b.y && a.x + a.w <= b.x + b.w && a.y + a.h <= b.y + b.h;

function orderly(l: Layout, g: Map<string, Group>) {
  const cards = [...l.cards];
  for (const [i, [id, a]] of cards.entries()) {
    for (const [other, b] of cards.slice(i + 1)) assert.ok(apart(a, b), `${id} is upon ${other}`);
    const group = g.get(id)!;
    if (group.kind === "container") assert.ok(inside(a, l.projects.get(group.project)!), `${id} is outside its project`);
  }
  const projects = [...l.projects.values()];
  projects.forEach((a, i) => projects.slice(i + 1).forEach((b) => assert.ok(apart(a, b), "projects overlap")));
}

const busy = [edge("@world", "shop-web-1"), edge("shop-web-1", "shop-db-1"), edge("shop-web-2", "blog-db-1"), edge("shop-db-1", "@world"), edge("lonely", "lonely")];

test("cards stand apart, in the box of their project", () => {
  const { g, layout } = lay(shop, busy);
  assert.equal(layout.cards.size, g.size);
  orderly(layout, g);
});

test("who opens connections stands to the left of who accepts them", () => {
  const { layout } = lay(shop, busy);
  const x = (id: string) => layout.cards.get(id)!.x;
  assert.ok(x("@world:in") < x("shop/web"));
  assert.ok(x("shop/web") < x("shop/db"));
  assert.ok(x("shop/db") < x("@world:out"));
  assert.ok(x("shop/web") < x("blog/db"));
});

test("every line begins and ends at its cards", () => {
  const { l, layout } = lay(shop, busy);
  for (const link of l.filter((x) => x.from !== x.to)) {
    const points = layout.routes.get(link.id)!.points;
    const [a, b] = [layout.cards.get(link.from)!, layout.cards.get(link.to)!];
    const [first, last] = [points[0]!, points.at(-1)!];
    assert.ok(first.x === a.x + a.w || first.x === a.x, link.id);
    assert.ok(last.x === b.x || last.x === b.x + b.w, link.id);
    assert.ok(first.y > a.y && first.y < a.y + a.h && last.y > b.y && last.y < b.y + b.h, link.id);
  }
});

test("the order in which things come does not matter", () => {
  const turned = { ...shop, nodes: [...shop.nodes].reverse() };
  assert.deepEqual(lay(shop, busy).layout.cards, lay(turned, [...busy].reverse()).layout.cards);
});

test("what changes in a project moves nothing within another", () => {
  const more = { ...shop, nodes: [...shop.nodes, container("blog-cron-1", "blog", "cron")] };
  const [a, b] = [lay(shop, busy).layout, lay(more, busy).layout];
  const relative = (l: Layout, id: string) => [l.cards.get(id)!.x - l.projects.get("shop")!.x, l.cards.get(id)!.y - l.projects.get("shop")!.y];
  for (const id of ["shop/web", "shop/db"]) assert.deepEqual(relative(a, id), relative(b, id));
});

test("a layout stays while the cards do, whatever connections come between them", () => {
  const { g, layout } = lay(shop, busy);
  const later = [...links(shop, [...busy, edge("shop-db-1", "shop-web-1")], now, 0).values()];
  assert.ok(settled(layout, g, later, rowsOf));
  const first = [...links(shop, [...busy, edge("lonely", "shop-db-1")], now, 0).values()];
  assert.ok(!settled(layout, g, first, rowsOf), "the first connection of a card may move it");
  const scaled = { ...shop, nodes: [...shop.nodes, container("shop-web-3", "shop", "web")] };
  assert.ok(!settled(layout, groups(scaled, busy), later, rowsOf), "a card grew");
});

test("a hundred services of ten projects are laid out in time", () => {
  const nodes = Array.from({ length: 100 }, (_, i) => container(`p${i % 10}-s${i}-1`, `p${i % 10}`, `s${i}`));
  const edges = Array.from({ length: 200 }, (_, i) => edge(nodes[i % 100]!.id, nodes[(i * 7 + 10) % 100]!.id));
  const begin = performance.now();
  const { g, layout } = lay({ host: "h", nodes }, edges);
  assert.ok(performance.now() - begin < 10_000);
  orderly(layout, g);
});

test("paths are written for SVG", () => {
  assert.equal(path([]), "");
  assert.equal(path([{ x: 0, y: 0 }, { x: 10, y: 4 }]), "M0 0C5 0 5 4 10 4");
  assert.equal(path([{ x: 0, y: 0 }], 3), "M0 3");
});
