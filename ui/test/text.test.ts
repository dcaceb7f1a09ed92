import assert from "node:assert/strict";
import { test } from "node:test";
import { observing, reference, target, why } from "../src/commands";
import { has, term, terms, toggle } from "../src/filter";
import { ago, bytes, count, image, port, quote, short } from "../src/format";
import { at, container, now } from "./fixture";

test("numbers are written for people", () => {
  assert.deepEqual([0, 999, 1234, 45_600, 1_234_567, 9.99e9].map(bytes), ["0 B", "999 B", "1.2 kB", "46 kB", "1.2 MB", "10 GB"]);
  assert.deepEqual([0, 0.5, 12.4, 999, 1234, 45_600, 2e6].map(count), ["0", "0.5", "12", "999", "1.2k", "46k", "2.0M"]);
  assert.deepEqual([-1, -30, -150, -7300].map((s) => ago(at(s), now)), ["now", "30 s ago", "2 min ago", "2 h ago"]);
});

test("names are shortened without losing what tells them apart", () => {
  assert.equal(short("shop-web-1", "shop"), "web-1");
  assert.equal(short("shop_web_1", "shop"), "web_1");
  assert.equal(short("shopper", "shop"), "shopper");
  assert.equal(image("registry.example/team/api:2.4@sha256:0011"), "api:2.4");
  assert.equal(image("sha256:00112233445566778899"), "001122334455");
  assert.equal(port({ protocol: "icmp" }), "icmp");
});

test("clicks change the filter", () => {
  assert.deepEqual(terms('verdict:dropped policy:"a b"  web'), ["verdict:dropped", 'policy:"a b"', "web"]);
  assert.equal(term("reason", "policy denied"), 'reason:"policy denied"');
  assert.equal(toggle("web", "verdict:dropped", true), "web verdict:dropped");
  assert.equal(toggle("web verdict:dropped", "verdict:audit", true), "web verdict:audit");
  assert.equal(toggle("web verdict:dropped", "verdict:dropped", true), "web");
  assert.equal(toggle("pod:a", "pod:b"), "pod:a pod:b");
  assert.ok(has("a verdict:dropped", "verdict:dropped"));
  assert.ok(!has("verdict:dropped,audit", "verdict:dropped"));
});

test("commands can be pasted into a shell", () => {
  assert.equal(quote("it's"), "'it'\\''s'");
  assert.deepEqual(observing(container("shop-web-1", "shop")), [
    "sluice observe --follow --pod shop/shop-web-1",
    "hubble observe --follow --pod shop/shop-web-1",
  ]);
  assert.equal(
    observing(container("lonely"), { id: "@world", kind: "world" }, true)[1],
    "hubble observe --follow --from-pod default/lonely --to-identity world --verdict DROPPED",
  );
  assert.equal(why("web", target("db", "tcp", 5432)), "sluice why web db:5432/tcp");
  assert.equal(target("2001:db8::1", "udp", 53), "[2001:db8::1]:53/udp");
  assert.equal(target("db", "icmp"), "db");
  assert.equal(reference({ id: "@host", kind: "host" }), "@host");
});
