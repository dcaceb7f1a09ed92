import type { ComponentChildren } from "preact";
import type { Denial, Port } from "../model";
import { ago, bytes, count, port } from "../format";
import * as state from "../state";

export function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section>
      <h3>{title}</h3>
      {children}
    </section>
  );
}

export function Facts({ of }: { of: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {of
        .filter(([, v]) => v !== "" && v !== undefined && v !== null && v !== false)
        .map(([k, v]) => (
          <div key={k}>
            <dt>{k}</dt>
            <dd>{v}</dd>
          </div>
        ))}
    </dl>
  );
}

export function Denials({ denials }: { denials: Denial[] }) {
  return (
    <ul class="denials">
      {denials.slice(0, 8).map((d, i) => (
        <li key={i} class={d.audit ? "audit" : "dropped"}>
          <p>
            <b>{d.reason}</b> <span class="chip">{port(d)}</span>
            {d.audit ? <span class="tag audit">let through: audit</span> : null}
          </p>
          <p>
            {d.direction ? `${d.direction}: ` : ""}
            {d.policy || d.rule ? [d.policy, d.rule].filter(Boolean).join(": ") : d.direction ? "no rule allows it" : ""}
          </p>
          <small>
            {count(d.count)} {d.count === 1 ? "packet" : "packets"}, last {ago(d.last, state.now.value)}
          </small>
        </li>
      ))}
    </ul>
  );
}

export function Ports({ ports }: { ports: Port[] }) {
  return (
    <table class="small">
      <thead>
        <tr>
          <th>Port</th>
          <th>Connections</th>
          <th>Bytes</th>
          <th>Drops</th>
        </tr>
      </thead>
      <tbody>
        {ports.slice(0, 12).map((p) => (
          <tr key={`${p.protocol} ${p.port} ${p.published}`}>
            <td>
              {port(p)}
              {p.published ? <small> by :{p.published}</small> : null}
            </td>
            <td>{count(p.connections)}</td>
            <td>{bytes(p.bytes)}</td>
            <td class={p.drops ? "bad" : ""}>{p.drops ? count(p.drops) : ""}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
