import assert from "node:assert/strict";
import { test } from "node:test";
import { groups, links, peers, reason, width } from "../src/map/group";
import { at, edge, now, shop } from "./fixture";

const since = now - 15 * 60_000;

test("containers are grouped by service, services by project", () => {
  const g = groups(shop, [edge("@world", "shop-web-1")]);
  assert.deepEqual([...g.keys()].sort(), ["/lonely", "@world:in", "blog/db", "shop/db", "shop/web"]);
  assert.deepEqual(g.get("shop/web")!.nodes.map((n) => n.id), ["shop-web-1", "shop-web-2"]);
  assert.equal(g.get("@world:in")!.side, "in");
});

test("a container that is gone is shown while connections tell of it", () => {
  assert.ok(!groups(shop, []).has("shop/left"));
  assert.ok(groups(shop, [edge("left", "shop-db-1")]).has("shop/left"));
});

test("links add up what the containers of two services carry", () => {
  const l = links(shop, [
    edge("shop-web-1", "shop-db-1", { sent: 10, received: 5, opened: 1, ports: [{ protocol: "tcp", port: 80, connections: 2, bytes: 10, last: at(-1) }] }),
    edge("shop-web-2", "shop-db-1", { sent: 20, received: 7, opened: 2, ports: [{ protocol: "tcp", port: 80, connections: 3, bytes: 30, last: at(-2) }] }),
    edge("shop-web-1", "blog-db-1", { last: at(-3600) }),
    edge("shop-web-1", "nobody"),
  ], now, since);
  assert.deepEqual([...l.keys()], ["shop/web shop/db"]);
  const link = l.get("shop/web shop/db")!;
  assert.deepEqual([link.sent, link.received, link.opened, link.state], [30, 12, 3, "ok"]);
  assert.deepEqual(link.ports.map((p) => [p.port, p.connections, p.bytes]), [[80, 5, 40]]);
});

test("the world has two ends: who opens connections, and who accepts them", () => {
  const l = links(shop, [edge("@world", "shop-web-1"), edge("shop-db-1", "@world")], now, since);
  assert.deepEqual([...l.keys()].sort(), ["@world:in shop/web", "shop/db @world:out"]);
});

const denial = { reason: "policy denied", policy: "shop/db", rule: "default deny", direction: "ingress", protocol: "tcp", port: 80, count: 3, seq: 7 };

for (const c of [
  { about: "nothing was dropped", lastDrop: undefined, lastPass: at(-1), want: "ok" },
  { about: "all was dropped", lastDrop: at(-2), lastPass: undefined, want: "dropped" },
  { about: "some was dropped", lastDrop: at(-2), lastPass: at(-3), want: "both" },
  { about: "it was dropped long ago", lastDrop: at(-90), lastPass: at(-1), want: "ok" },
  { about: "it passed long ago", lastDrop: at(-2), lastPass: at(-90), want: "dropped" },
]) {
  test(`a link is ${c.want} when ${c.about}`, () => {
    const e = edge("shop-web-1", "shop-db-1", { denials: c.lastDrop ? [{ ...denial, last: c.lastDrop }] : [] });
    e.lastPass = c.lastPass;
    e.lastDrop = c.lastDrop;
    const link = links(shop, [e], now, since).get("shop/web shop/db")!;
    assert.equal(link.state, c.want);
    assert.equal(reason(link), c.lastDrop ? "policy denied: shop/db" : "");
  });
}

test("denials that are alike count together, newest first", () => {
  const l = links(shop, [
    edge("shop-web-1", "shop-db-1", { lastDrop: at(-1), denials: [{ ...denial, last: at(-9) }, { ...denial, port: 81, last: at(-5) }] }),
    edge("shop-web-2", "shop-db-1", { lastDrop: at(-1), denials: [{ ...denial, last: at(-3), count: 2, seq: 9 }] }),
  ], now, since).get("shop/web shop/db")!;
  assert.deepEqual(l.denials.map((d) => [d.port, d.count, d.seq]), [[80, 5, 9], [81, 3, 7]]);
});

test("audited connections are told apart", () => {
  const l = links(shop, [edge("shop-web-1", "shop-db-1", { audited: at(-1), denials: [{ ...denial, audit: true, last: at(-1) }] })], now, since);
  assert.equal([...l.values()][0]!.state, "audit");
});

test("peers outside are told, most bytes first", () => {
  const p = (address: string, bytes: number) => ({ address, bytes, last: at(-1) });
  const l = links(shop, [
    edge("@world", "shop-web-1", { peers: [p("192.0.2.1", 5), p("192.0.2.2", 9)] }),
    edge("@world", "shop-db-1", { peers: [p("192.0.2.1", 6)] }),
    edge("shop-web-1", "@world", { peers: [p("192.0.2.7", 100)] }),
  ], now, since);
  assert.deepEqual(peers("@world:in", l.values()).map((x) => [x.address, x.bytes]), [["192.0.2.1", 11], ["192.0.2.2", 9]]);
});

test("lines widen with the rate, within bounds", () => {
  const w = [0, 100, 1e4, 1e6, 1e8, 1e11].map(width);
  assert.deepEqual([...w].sort((a, b) => a - b), w);
  assert.equal(w[0], 1.5);
  assert.equal(w.at(-1), 9);
});
