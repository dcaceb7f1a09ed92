import { useRef } from "preact/hooks";
import type { End, Flow } from "../model";
import { bytes, clock, short } from "../format";
import * as state from "../state";
import { FlowBar } from "./bar";

const words: Record<string, string> = { forwarded: "forwarded", dropped: "dropped", audit: "audit", "": "" };

/** nameOf writes an end of a flow. */
export function nameOf(e: End): string {
  if (e.id.startsWith("@")) return e.names?.[0] ?? e.address ?? e.id.slice(1);
  return short(e.id, e.project);
}

/** scopeOf is what stands beside an end's name. */
export function scopeOf(e: End): string {
  if (e.id === "@host") return "host";
  if (e.id.startsWith("@")) return e.names?.length ? (e.address ?? "") : e.id.slice(1);
  return e.project ?? "";
}

/** why says what decided: a reason, and the policy. */
export function why(f: Flow): string {
  const rule = [f.policy, f.rule].filter(Boolean).join(": ");
  return [f.reason, rule].filter(Boolean).join(" · ");
}

/** info says what else is worth knowing of a packet. */
export function info(f: Flow): string {
  const parts = [f.flags ?? ""];
  if (f.icmp) parts.push(`type ${f.icmp[0]}${f.icmp[1] ? ` code ${f.icmp[1]}` : ""}`);
  if (f.published) parts.push(`by port ${f.published}`);
  if (f.sent || f.received) parts.push(`↑${bytes(f.sent ?? 0)} ↓${bytes(f.received ?? 0)}`);
  if (f.closed) parts.push("closed");
  return parts.filter(Boolean).join(" ");
}

function EndCell({ end, label }: { end: End; label: string }) {
  return (
    <td class="end" data-label={label}>
      <span class="who">{nameOf(end)}</span>
      <small>{scopeOf(end)}</small>
    </td>
  );
}

function Row({ f, selected, first }: { f: Flow; selected: boolean; first: boolean }) {
  const open = () => (state.selection.value = { kind: "flow", flow: f });
  return (
    <tr
      class={`flow ${f.verdict}${selected ? " selected" : ""}`}
      tabIndex={selected || first ? 0 : -1}
      aria-selected={selected}
      data-seq={f.seq}
      onClick={open}
      onKeyDown={(e) => {
        if (e.key === "Enter" || e.key === " ") {
          e.preventDefault();
          open();
        }
      }}
    >
      <td class="time">{clock(f.time)}</td>
      <EndCell end={f.source} label="from" />
      <td class="way" aria-label={f.reply ? "reply" : "to"}>
        {f.reply ? "⤶" : "→"}
      </td>
      <EndCell end={f.destination} label="to" />
      <td class="port">
        {f.protocol}
        {f.port ? ` ${f.port}` : ""}
      </td>
      <td class="verdict">
        <span class={`tag ${f.verdict}`}>{words[f.verdict]}</span>
      </td>
      <td class="why">{why(f)}</td>
      <td class="info">{info(f)}</td>
    </tr>
  );
}

/** walk moves the focus from row to row. */
function walk(e: KeyboardEvent, table: HTMLElement | null) {
  const step: Record<string, number> = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 12, PageUp: -12 };
  const rows = [...(table?.querySelectorAll<HTMLElement>("tr.flow") ?? [])];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  let next = at + (step[e.key] ?? 0);
  if (e.key === "Home") next = 0;
  else if (e.key === "End") next = rows.length - 1;
  else if (!step[e.key]) return;
  e.preventDefault();
  const row = rows[Math.max(0, Math.min(rows.length - 1, next))];
  for (const r of rows) r.tabIndex = r === row ? 0 : -1;
  row?.focus();
}

export function FlowTable() {
  const table = useRef<HTMLDivElement>(null);
  const all = state.flows.value;
  const s = state.selection.value;
  const chosen = s?.kind === "flow" ? s.flow.seq : 0;
  return (
    <section class="flows" aria-label="Flows">
      <FlowBar />
      <div class="scroll" ref={table} onKeyDown={(e) => walk(e, table.current)}>
        <table aria-rowcount={all.length}>
          <thead>
            <tr>
              <th>Time</th>
              <th>From</th>
              <th aria-label="Way" />
              <th>To</th>
              <th>Port</th>
              <th>Verdict</th>
              <th>Reason and policy</th>
              <th>Packet, totals</th>
            </tr>
          </thead>
          <tbody>
            {all.map((f, i) => (
              <Row key={f.seq} f={f} selected={f.seq === chosen} first={i === 0} />
            ))}
          </tbody>
        </table>
        {all.length === 0 && (
          <p class="none">{state.live.value ? "No flow fits yet. New ones appear by themselves." : "No flow of that time fits."}</p>
        )}
      </div>
    </section>
  );
}
