import type { MapNode, Peer } from "../model";
import { bytes, image, short } from "../format";
import { Icon } from "../icons";
import { card, type Box } from "./layout";
import type { Group } from "./group";

interface Props {
  group: Group;
  box: Box;
  peers: Peer[];
  selected: boolean;
  dimmed: boolean;
  denied: boolean;
  onSelect: (node?: string) => void;
}

/** A row of a card: a container, or an address outside. */
interface Row {
  id: string;
  text: string;
  note: string;
  bad?: string;
}

/** rows lists what stands on a card. */
export function rows(group: Group, peers: Peer[]): Row[] {
  if (group.kind !== "container") return peers.map((p) => ({ id: "", text: p.name || p.address, note: bytes(p.bytes) }));
  return group.nodes.map((n) => ({ id: n.id, text: short(n.id, n.project), note: address(n), ...(trouble(n) ? { bad: trouble(n) } : {}) }));
}

const address = (n: MapNode): string => {
  const first = n.networks?.[0];
  const more = (n.networks?.length ?? 0) > 1 ? ` +${n.networks!.length - 1}` : "";
  return (first?.ipv4 ?? first?.ipv6 ?? "") + more;
};

const trouble = (n: MapNode): string => (n.gone ? "gone" : n.state === "failed" || n.state === "closed" ? n.state : "");

/** guarded says which directions policies restrict, in a word. */
export function guarded(group: Group): string {
  const all = group.nodes.flatMap((n) => n.networks ?? []);
  const sides = [all.some((a) => a.ingress) && "ingress", all.some((a) => a.egress) && "egress", all.some((a) => a.publish) && "published ports"];
  return sides.filter(Boolean).join(", ");
}

export function Card({ group, box, peers, selected, dimmed, denied, onSelect }: Props) {
  const all = rows(group, peers);
  const shown = all.length > card.rows ? all.slice(0, card.rows - 1) : all;
  const ports = [...new Map(group.nodes.flatMap((n) => n.ports ?? []).map((p) => [`${p.hostPort}${p.protocol}`, p])).values()];
  const guard = guarded(group);
  const modes = [...new Set(group.nodes.map((n) => n.mode).filter((m) => m && m !== "enforce"))];
  const sub = group.kind === "container" ? image(group.nodes[0]?.image ?? "") : group.side === "in" ? "opens connections" : "accepts connections";
  const classes = ["card", `kind-${group.kind}`, selected && "selected", dimmed && "dimmed", denied && "denied", group.nodes.every((n) => n.gone) && "gone"];
  return (
    <div
      class={classes.filter(Boolean).join(" ")}
      style={{ transform: `translate(${box.x}px, ${box.y}px)`, width: `${box.w}px`, height: `${box.h}px` }}
      data-group={group.id}
    >
      <button type="button" class="card-head" aria-pressed={selected} onClick={() => onSelect()}>
        <span class="badge">
          <Icon name={group.kind} />
        </span>
        <span class="card-title">
          <strong>{group.title}</strong>
          <small>{sub}</small>
        </span>
        {modes.length > 0 && <span class="tag audit">{modes.join(", ")}</span>}
        {guard && (
          <span class="guard" title={`policy restricts ${guard}`}>
            <Icon name="lock" />
            <span class="sr">policy restricts {guard}</span>
          </span>
        )}
      </button>
      {shown.map((r) => (
        <button type="button" class="card-row" key={r.id || r.text} tabIndex={-1} onClick={() => onSelect(r.id || undefined)}>
          <span class="dot" data-state={r.bad ?? "ready"} />
          <span class="grow">{r.text}</span>
          <small>{r.bad ?? r.note}</small>
        </button>
      ))}
      {all.length > shown.length && <div class="card-row more">{all.length - shown.length} more</div>}
      {ports.length > 0 && (
        <div class="card-ports">
          {ports.slice(0, 3).map((p) => (
            <span class="chip" key={`${p.hostPort}${p.protocol}`} title={`port ${p.hostPort} of the host leads to ${p.port}/${p.protocol}`}>
              :{p.hostPort} → {p.port}
              {p.protocol === "tcp" ? "" : `/${p.protocol}`}
            </span>
          ))}
          {ports.length > 3 && <span class="chip">+{ports.length - 3}</span>}
        </div>
      )}
    </div>
  );
}
