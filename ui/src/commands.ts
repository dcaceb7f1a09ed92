import type { MapNode } from "./model";
import { quote } from "./format";

/** reference is how commands call a node: explanations, and the ends of what is observed. */
export function reference(node: Pick<MapNode, "id" | "kind">): string {
  switch (node.kind) {
    case "host":
      return "@host";
    case "world":
      return "@internet";
    default:
      return node.id;
  }
}

/** pod is how hubble calls a container. */
const pod = (node: MapNode) => quote(`${node.project || "default"}/${node.id}`);

function end(node: MapNode, direction: "from-" | "to-" | ""): string[] {
  switch (node.kind) {
    case "container":
      return [`--${direction}pod`, pod(node)];
    case "host":
    case "world":
      return [`--${direction}identity`, node.kind];
    default:
      return [];
  }
}

/** observing returns the commands that follow what a node, or one node from another, does. */
export function observing(from: MapNode, to?: MapNode, dropped = false): string[] {
  const ends = to ? [...end(from, "from-"), ...end(to, "to-")] : end(from, "");
  const words = ["observe", "--follow", ...ends, ...(dropped ? ["--verdict", "DROPPED"] : [])].join(" ");
  return [`sluice ${words}`, `hubble ${words}`];
}

/** why returns the command that explains whether one may open a connection to the other. */
export function why(from: string, to: string): string {
  return `sluice why ${quote(from)} ${quote(to)}`;
}

/** target writes an end with port and protocol, as explanations want it. */
export function target(to: string, protocol: string, port?: number): string {
  const bare = to.includes(":") && !to.startsWith("@") ? `[${to}]` : to; // an IPv6 address
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") return to;
  return port ? `${bare}:${port}/${protocol}` : `${to}/${protocol}`;
}
