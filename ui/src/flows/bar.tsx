import { useEffect, useRef, useState } from "preact/hooks";
import { has, term, toggle } from "../filter";
import { count } from "../format";
import { Icon } from "../icons";
import { Command } from "../panel/command";
import * as state from "../state";

const typing = 250; // ms until what is typed counts

/** FilterBox is where words are typed that flows must fit. */
export function FilterBox() {
  const [text, setText] = useState(state.filterText.value);
  const [open, setOpen] = useState(false);
  const timer = useRef(0);
  useEffect(() => setText(state.filterText.value), [state.filterText.value]);
  const change = (value: string) => {
    setText(value);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => (state.filterText.value = value.trim()), typing);
  };
  const last = text.split(/\s/).pop() ?? "";
  const near = (state.filterAnswer.value?.keys ?? []).filter((k) => last.length > 0 && !last.includes(":") && k.startsWith(last.replace(/^!/, "")));
  return (
    <div class="filter" role="search">
      <Icon name="search" />
      <input
        id="filter"
        type="search"
        placeholder="Filter flows: verdict:dropped  to:db  port:5432 …"
        aria-label="Filter flows"
        aria-invalid={state.filterProblem.value !== ""}
        aria-describedby="filter-problem"
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={(e) => change(e.currentTarget.value)}
        onFocus={() => setOpen(true)}
        onBlur={() => setTimeout(() => setOpen(false), 150)}
        onKeyDown={(e) => {
          if (e.key === "Tab" && !e.shiftKey && near.length > 0 && near[0] !== last) {
            e.preventDefault();
            change(text.slice(0, text.length - last.length) + (last.startsWith("!") ? "!" : "") + near[0] + ":");
          } else if (e.key === "Escape") {
            if (text === "") e.currentTarget.blur();
            else change("");
            e.stopPropagation();
          } else if (e.key === "Enter") {
            clearTimeout(timer.current);
            state.filterText.value = text.trim();
          }
        }}
      />
      <kbd>/</kbd>
      <span id="filter-problem" class="problem" role="alert">
        {state.filterProblem.value}
      </span>
      {open && near.length > 0 && near[0] !== last && (
        <ul class="suggest" aria-label="Words that fit; Tab takes the first">
          {near.slice(0, 8).map((k) => (
            <li key={k}>{k}:</li>
          ))}
        </ul>
      )}
    </div>
  );
}

const quick: [string, string][] = [
  ["verdict:dropped", "Dropped"],
  ["verdict:forwarded", "Forwarded"],
  ["verdict:audit", "Audit"],
];

/** FlowBar stands above the table: what is shown, of when, and whether it goes on. */
export function FlowBar() {
  const text = state.filterText.value;
  const commands = state.filterAnswer.value;
  const [open, setOpen] = useState(false);
  return (
    <div class="bar">
      <h2>Flows</h2>
      <div class="chips" role="group" aria-label="Verdict">
        {quick.map(([t, label]) => (
          <button
            type="button"
            key={t}
            class={`chip ${t.slice(8)}`}
            aria-pressed={has(text, t)}
            onClick={() => (state.filterText.value = toggle(text, t, true))}
          >
            {label}
          </button>
        ))}
      </div>
      <Range />
      {state.live.value && (
        <button
          type="button"
          class={`pause${state.paused.value ? " on" : ""}`}
          aria-pressed={state.paused.value}
          title="Pause (p)"
          onClick={() => (state.paused.value ? state.resume() : (state.paused.value = true))}
        >
          <Icon name={state.paused.value ? "play" : "pause"} />
          {state.paused.value ? `Resume${state.waiting.value ? ` (${count(state.waiting.value)} new)` : ""}` : "Pause"}
        </button>
      )}
      <span class="grow" />
      {state.skipped.value > 0 && <span class="note">{count(state.skipped.value)} more not shown</span>}
      {state.flowsLost.value > 0 && <span class="note warn">{count(state.flowsLost.value)} lost</span>}
      <div class="menu">
        <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
          Command
        </button>
        {open && commands && !commands.problem && (
          <div class="menu-items wide">
            <Command text={commands.sluice} />
            <Command text={commands.hubble} />
            {(commands.left ?? []).length > 0 && <p>Without {commands.left!.join(" ")}, for which they have no flag.</p>}
          </div>
        )}
      </div>
    </div>
  );
}

const ranges: [string, string][] = [
  ["", "Live"],
  ["5m", "Last 5 min"],
  ["15m", "Last 15 min"],
  ["1h", "Last hour"],
  ["24h", "Last 24 h"],
];

/** Range chooses the time that the table shows. */
function Range() {
  const r = state.range.value;
  const custom = r.until !== "" || (r.since !== "" && !ranges.some(([v]) => v === r.since));
  const local = (iso: string) => {
    const d = iso ? new Date(iso) : new Date();
    return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  };
  const set = (change: Partial<typeof r>) => {
    state.paused.value = false;
    state.range.value = { ...r, ...change };
  };
  return (
    <span class="range">
      <label class="select">
        <span class="sr">Time</span>
        <select
          id="range"
          value={custom ? "custom" : r.since}
          onChange={(e) => {
            const v = e.currentTarget.value;
            if (v !== "custom") set({ since: v, until: "" });
            else set({ since: new Date(Date.now() - 600_000).toISOString(), until: new Date().toISOString() });
          }}
        >
          {ranges.map(([v, label]) => (
            <option key={v} value={v}>
              {label}
            </option>
          ))}
          <option value="custom">From … to …</option>
        </select>
      </label>
      {custom && (
        <>
          <input type="datetime-local" step={1} aria-label="From" value={local(r.since)} onChange={(e) => e.currentTarget.value && set({ since: new Date(e.currentTarget.value).toISOString() })} />
          <input type="datetime-local" step={1} aria-label="To" value={local(r.until)} onChange={(e) => e.currentTarget.value && set({ until: new Date(e.currentTarget.value).toISOString() })} />
        </>
      )}
      {!state.live.value && (
        <button type="button" title="Read again" onClick={() => void state.past()}>
          Refresh
        </button>
      )}
    </span>
  );
}

/** filterBy is the filter with one more word, or one less. */
export const filterBy = (key: string, value: string) => (state.filterText.value = toggle(state.filterText.value, term(key, value)));
