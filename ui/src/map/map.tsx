import { useEffect, useMemo, useRef } from "preact/hooks";
import { Icon } from "../icons";
import * as state from "../state";
import { arrange, card as sizes, direct, settled, type Layout, type Route } from "./layout";
import { peers, type Link } from "./group";
import { Card, rows } from "./card";
import { Label, Line } from "./line";
import { Viewport } from "./viewport";
import { Tools } from "./tools";

const empty: Layout = { cards: new Map(), projects: new Map(), routes: new Map(), w: 0, h: 0 };

/** useLayout arranges anew only when it must (see settled), or when it is told to. */
function useLayout(): { layout: Layout; tidy: () => void; untidy: number } {
  const kept = useRef({ layout: empty, tidy: false });
  const groups = state.groupMap.value;
  const links = state.linkMap.value;
  const rowCount = useMemo(() => {
    const counts = new Map<string, number>();
    // Addresses outside come and go: their card has one of two sizes.
    const outside = (id: string) => (peers(id, links.values()).length > 2 ? 4 : 2);
    for (const g of groups.values()) counts.set(g.id, g.kind === "container" ? rows(g, []).length : g.kind === "world" ? outside(g.id) : 0);
    return counts;
  }, [groups]);
  const rowsOf = (g: { id: string }) => rowCount.get(g.id) ?? 0;
  const k = kept.current;
  if (k.tidy || !settled(k.layout, groups, links.values(), rowsOf)) {
    k.layout = arrange(groups, links.values(), rowsOf);
    k.tidy = false;
  }
  const untidy = [...links.keys()].filter((id) => !k.layout.routes.has(id)).length;
  const tidy = () => {
    k.tidy = true;
    state.edges.value = new Map(state.edges.value);
  };
  return { layout: k.layout, tidy, untidy };
}

export function ServiceMap() {
  const area = useRef<HTMLDivElement>(null);
  const viewport = useMemo(() => new Viewport(() => area.current), []);
  const { layout, tidy, untidy } = useLayout();
  const groups = state.groupMap.value;
  const links = [...state.linkMap.value.values()];
  const selection = state.selection.value;
  const fit = () => {
    viewport.touched = false;
    viewport.fit(layout.w, layout.h);
  };
  useEffect(() => {
    const el = area.current!;
    el.addEventListener("wheel", viewport.wheel, { passive: false });
    const watch = new ResizeObserver(() => !viewport.touched && viewport.fit(layout.w, layout.h));
    watch.observe(el);
    return () => {
      el.removeEventListener("wheel", viewport.wheel);
      watch.disconnect();
    };
  }, [layout]);

  const near = neighbours(selection, links);
  const names = (id: string) => groups.get(id)?.title ?? id;
  const v = viewport.at.value;
  const routeOf = (l: Link): Route | undefined => {
    const known = layout.routes.get(l.id);
    if (known) return known;
    const [a, b] = [layout.cards.get(l.from), layout.cards.get(l.to)];
    return a && b ? direct(a, b) : undefined;
  };
  const select = (s: state.Selection) => (state.selection.value = s);

  return (
    <section class="map" aria-label="Service map">
      <div
        class="canvas"
        ref={area}
        tabIndex={0}
        aria-label="Map: arrow keys move it, plus and minus scale it, f shows all"
        onPointerDown={viewport.down}
        onPointerMove={viewport.drag}
        onPointerUp={viewport.up}
        onPointerCancel={viewport.up}
        onKeyDown={(e) => keys(e, viewport, fit)}
        onClick={(e) => e.target === e.currentTarget && (state.selection.value = null)}
      >
        <div
          class={`world${v.scale < 0.42 ? " far" : ""}`}
          style={{ transform: `translate(${v.x}px, ${v.y}px) scale(${v.scale})`, width: `${layout.w}px`, height: `${layout.h}px` }}
        >
          {[...layout.projects].map(([name, b]) => (
            <div class="project" key={name} style={{ transform: `translate(${b.x}px, ${b.y}px)`, width: `${b.w}px`, height: `${b.h}px` }}>
              <h2>{name || "no project"}</h2>
            </div>
          ))}
          <svg class="lines" width={layout.w} height={layout.h} role="group" aria-label="Connections">
            <Tips />
            {links.map((l) => {
              const route = routeOf(l);
              return (
                route && (
                  <Line
                    key={l.id}
                    link={l}
                    route={route}
                    names={names}
                    selected={selection?.kind === "link" && selection.id === l.id}
                    dimmed={near !== null && !near.links.has(l.id)}
                    onSelect={() => select({ kind: "link", id: l.id })}
                  />
                )
              );
            })}
          </svg>
          {[...groups.values()].map((g) => {
            const box = layout.cards.get(g.id);
            return (
              box && (
                <Card
                  key={g.id}
                  group={g}
                  box={box}
                  peers={g.kind === "world" ? peers(g.id, links).slice(0, sizes.rows - 1) : []}
                  selected={selection?.kind === "group" && selection.id === g.id}
                  dimmed={near !== null && !near.groups.has(g.id)}
                  denied={links.some((l) => l.to === g.id && (l.state === "dropped" || l.state === "both"))}
                  onSelect={(node) => select({ kind: "group", id: g.id, ...(node ? { node } : {}) })}
                />
              )
            );
          })}
          <svg class="labels" width={layout.w} height={layout.h} aria-hidden="true">
            {[...links]
              .sort((a, b) => Number(a.state !== "ok") - Number(b.state !== "ok"))
              .map((l) => {
                const route = routeOf(l);
                return route && <Label key={l.id} link={l} route={route} dimmed={near !== null && !near.links.has(l.id)} />;
              })}
          </svg>
        </div>
        {groups.size === 0 && <Nothing />}
      </div>
      <Tools viewport={viewport} fit={fit} tidy={tidy} untidy={untidy} />
    </section>
  );
}

/** neighbours are what stays bright while something is selected. */
function neighbours(selection: state.Selection | null, links: Link[]): { groups: Set<string>; links: Set<string> } | null {
  if (!selection || selection.kind === "flow") return null;
  const near = links.filter((l) => (selection.kind === "link" ? l.id === selection.id : l.from === selection.id || l.to === selection.id));
  const groups = new Set(near.flatMap((l) => [l.from, l.to]));
  if (selection.kind === "group") groups.add(selection.id);
  return { groups, links: new Set(near.map((l) => l.id)) };
}

function keys(e: KeyboardEvent, viewport: Viewport, fit: () => void) {
  const step = 60;
  const moves: Record<string, () => void> = {
    ArrowLeft: () => viewport.move(step, 0),
    ArrowRight: () => viewport.move(-step, 0),
    ArrowUp: () => viewport.move(0, step),
    ArrowDown: () => viewport.move(0, -step),
    "+": () => viewport.zoom(1.2),
    "=": () => viewport.zoom(1.2),
    "-": () => viewport.zoom(1 / 1.2),
    f: fit,
  };
  const move = moves[e.key];
  if (!move || e.ctrlKey || e.metaKey || e.altKey) return;
  e.preventDefault();
  move();
}

function Tips() {
  return (
    <defs>
      {["", "-drop", "-audit"].map((kind) => (
        <marker key={kind} id={`tip${kind}`} class={`tip${kind}`} viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">
          <path d="M0 1 9 5 0 9z" />
        </marker>
      ))}
    </defs>
  );
}

function Nothing() {
  return (
    <div class="nothing">
      <Icon name="container" />
      <p>{state.topology.value ? "No container is on a network of Sluice yet." : "Waiting for the daemon…"}</p>
      {state.topology.value && <code>docker network create -d sluice NAME</code>}
    </div>
  );
}
