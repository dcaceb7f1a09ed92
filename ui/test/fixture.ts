import type { Edge, MapNode, Topology } from "../src/model";

export const at = (seconds: number): string => new Date(1_800_000_000_000 + seconds * 1000).toISOString();
export const now = Date.parse(at(0));

export const container = (id: string, project = "", service = "", more: Partial<MapNode> = {}): MapNode => ({
  id, kind: "container", project, service, state: "ready", networks: [], ...more,
});

export const edge = (from: string, to: string, more: Partial<Edge> = {}): Edge => ({
  from, to, sent: 0, received: 0, packets: 0, opened: 0, drops: 0, first: at(-60), last: at(-1), lastPass: at(-1), connections: 1, bytes: 100, ...more,
});

export const shop: Topology = {
  host: "h",
  nodes: [
    { id: "@world", kind: "world" },
    container("shop-web-1", "shop", "web", { ports: [{ address: "", hostPort: 8080, protocol: "tcp", port: 80 }] }),
    container("shop-web-2", "shop", "web"),
    container("shop-db-1", "shop", "db"),
    container("blog-db-1", "blog", "db"),
    container("lonely"),
    container("left", "shop", "left", { gone: true }),
  ],
};
