import { count, port, rate } from "../format";
import { reason, width, type Link } from "./group";
import { path, type Route } from "./layout";

interface Props {
  link: Link;
  route: Route;
  selected: boolean;
  dimmed: boolean;
  names: (id: string) => string;
  onSelect: () => void;
}

/** describe says what a line shows, for whoever does not see it. */
export function describe(link: Link, names: (id: string) => string): string {
  const parts = [`${names(link.from)} to ${names(link.to)}`, ports(link), rate(link.sent + link.received)];
  if (link.state !== "ok") parts.push(`${link.state === "audit" ? "audit" : "dropped"}: ${reason(link)}`);
  return parts.filter(Boolean).join(", ");
}

/** ports lists the ports of a link, the busiest first; those that are dropped, where it is red. */
export function ports(link: Link): string {
  const denied = link.denials.filter((d) => !d.audit).map((d) => port(d));
  const all = [...new Set(link.state === "dropped" ? denied : link.ports.map((p) => port(p)))];
  return all.length > 2 ? `${all.slice(0, 2).join(", ")} +${all.length - 2}` : all.join(", ");
}

/** caption is what is written on a line. */
function caption(link: Link): string {
  const total = link.sent + link.received;
  if (total >= 1) return rate(total);
  if (link.opened >= 0.05) return `${count(link.opened)} conn/s`;
  return ports(link);
}

export function Line({ link, route, selected, dimmed, names, onSelect }: Props) {
  const total = link.sent + link.received;
  const red = link.state === "dropped" || link.state === "both";
  const w = width(total);
  const d = path(route.points);
  const classes = ["line", link.state, selected && "selected", dimmed && "dimmed", total >= 1 && "busy"];
  const text = describe(link, names);
  return (
    <g
      class={classes.filter(Boolean).join(" ")}
      role="button"
      tabindex={0}
      aria-label={text}
      aria-pressed={selected}
      data-link={link.id}
      data-state={link.state}
      onClick={onSelect}
      onKeyDown={(e) => {
        if (e.key !== "Enter" && e.key !== " ") return;
        e.preventDefault();
        onSelect();
      }}
    >
      <title>{text}</title>
      <path class="hit" d={d} />
      {link.state !== "dropped" && <path class="stroke" d={d} stroke-width={w} marker-end={`url(#tip${link.state === "audit" ? "-audit" : ""})`} />}
      {link.state !== "dropped" && total >= 1 && <path class="pulse" d={d} stroke-width={Math.max(1.5, w * 0.45)} />}
      {red && <path class="drop" d={path(route.points, link.state === "both" ? w / 2 + 4 : 0)} stroke-width={2} marker-end="url(#tip-drop)" />}
    </g>
  );
}

const room = 24; // characters of a label's line

/** Label is what is written on a line. It stands above cards, so that it can be read wherever the line goes. */
export function Label({ link, route, dimmed }: { link: Link; route: Route; dimmed: boolean }) {
  const red = link.state === "dropped" || link.state === "both";
  const lines = red ? [reason(link), ports(link)].filter(Boolean) : [caption(link)];
  const longest = Math.max(...lines.map((l) => Math.min(l.length, room)));
  const [w, h] = [longest * (red ? 6.8 : 6.1) + 14, lines.length * 14 + 5];
  return (
    <g class={`label ${link.state}${dimmed ? " dimmed" : ""}`} transform={`translate(${route.label.x} ${route.label.y})`}>
      <rect x={-w / 2} y={-h / 2} width={w} height={h} rx={7} />
      {lines.map((l, i) => (
        <text key={i} y={(i - (lines.length - 1) / 2) * 14 + 4} class={red && i === 0 ? "why" : undefined}>
          {l.length > room ? `${l.slice(0, room - 1)}…` : l}
        </text>
      ))}
    </g>
  );
}
