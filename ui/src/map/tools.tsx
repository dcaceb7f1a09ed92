import { useState } from "preact/hooks";
import { Icon } from "../icons";
import * as state from "../state";
import type { Viewport } from "./viewport";

interface Props {
  viewport: Viewport;
  fit: () => void;
  tidy: () => void;
  /** lines that came since the map was laid out */
  untidy: number;
}

/** Tools are the buttons of the map's corners. */
export function Tools({ viewport, fit, tidy, untidy }: Props) {
  return (
    <>
      <div class="tools left">
        <Projects />
        <label class="select">
          <span class="sr">Show connections of the last</span>
          <select value={state.reach.value} onChange={(e) => (state.reach.value = Number(e.currentTarget.value))}>
            <option value={1}>last minute</option>
            <option value={5}>last 5 min</option>
            <option value={15}>last 15 min</option>
            <option value={60}>last hour</option>
          </select>
        </label>
      </div>
      <div class="tools right" role="group" aria-label="View of the map">
        <button type="button" class={untidy > 0 ? "fresh" : ""} title={`Lay out anew${untidy > 0 ? ` (${untidy} new)` : ""}`} onClick={tidy}>
          <Icon name="tidy" />
          <span class="sr">Lay out anew</span>
        </button>
        <button type="button" title="Show all (f)" onClick={fit}>
          <Icon name="fit" />
          <span class="sr">Show all</span>
        </button>
        <button type="button" title="Smaller (-)" onClick={() => viewport.zoom(1 / 1.25)}>
          <Icon name="minus" />
          <span class="sr">Smaller</span>
        </button>
        <button type="button" title="Larger (+)" onClick={() => viewport.zoom(1.25)}>
          <Icon name="plus" />
          <span class="sr">Larger</span>
        </button>
      </div>
      <Legend />
    </>
  );
}

function Projects() {
  const [open, setOpen] = useState(false);
  const all = state.projects.value;
  if (all.length < 2) return null;
  const hidden = state.hidden.value;
  const set = (names: Iterable<string>) => (state.hidden.value = new Set(names));
  const shown = all.length - all.filter((p) => hidden.has(p)).length;
  return (
    <div class="menu">
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        {shown === all.length ? `All ${all.length} projects` : `${shown} of ${all.length} projects`}
      </button>
      {open && (
        <div class="menu-items" role="group" aria-label="Projects" onKeyDown={(e) => e.key === "Escape" && setOpen(false)}>
          {all.map((p) => (
            <label key={p}>
              <input
                type="checkbox"
                checked={!hidden.has(p)}
                onChange={() => set(hidden.has(p) ? [...hidden].filter((h) => h !== p) : [...hidden, p])}
              />
              <span class="grow">{p || "no project"}</span>
              <button type="button" class="link" onClick={() => set(all.filter((x) => x !== p))}>
                only
              </button>
            </label>
          ))}
          <button type="button" class="link" onClick={() => set([])}>
            Show all
          </button>
        </div>
      )}
    </div>
  );
}

function Legend() {
  return (
    <div class="legend" aria-hidden="true">
      <span class="key ok">forwarded, width by rate</span>
      <span class="key drop">dropped</span>
      <span class="key audit">audit</span>
    </div>
  );
}
