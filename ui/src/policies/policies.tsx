import { useEffect, useState } from "preact/hooks";
import * as api from "../api";
import type { Exposure, Policy } from "../model";
import * as state from "../state";

const origins: Record<string, string> = { document: "applied", directory: "file", label: "labels" };

/** Policies lists the documents, and every way into the containers. */
export function Policies() {
  const [policies, setPolicies] = useState<Policy[] | null>(null);
  const [exposed, setExposed] = useState<Exposure[] | null>(null);
  const [problem, setProblem] = useState("");
  const topology = state.topology.value; // policies change with it
  useEffect(() => {
    let over = false;
    const fail = (e: Error) => over || setProblem(e.message);
    api.policies().then((p) => over || setPolicies(p), fail);
    api.exposed().then((x) => over || setExposed(x), fail);
    return () => {
      over = true;
    };
  }, [topology]);
  const names = new Map((topology?.nodes ?? []).flatMap((n) => (n.networks ?? []).map((a) => [a.endpoint, n.id] as const)));
  return (
    <section class="policies" aria-label="Policies">
      {problem && <p class="problem">{problem}</p>}
      <h2>
        Policies <small>{policies ? policies.length : ""}</small>
      </h2>
      {policies?.length === 0 && <p class="none">No policy yet: containers of one network reach each other, and the world.</p>}
      <div class="cards">
        {policies?.map((p) => <PolicyCard key={p.name} policy={p} names={names} />)}
      </div>
      <h2>
        Exposed <small>every way into the containers</small>
      </h2>
      <Exposed all={exposed ?? []} />
    </section>
  );
}

function PolicyCard({ policy: p, names }: { policy: Policy; names: Map<string, string> }) {
  const selected = [...new Set((p.endpoints ?? []).map((e) => names.get(e) ?? e.slice(0, 12)))].sort();
  return (
    <article class="policy" id={`policy-${p.name}`}>
      <header>
        <h3>{p.name}</h3>
        <span class="chip">{origins[p.origin] ?? p.origin}</span>
      </header>
      <p class="none">
        {p.kind} · {p.rules} {p.rules === 1 ? "rule" : "rules"} · {p.source}
      </p>
      <p class="chips">
        {selected.length === 0 && <span class="none">selects no container now</span>}
        {selected.slice(0, 12).map((n) => (
          <span class="chip" key={n}>
            {n}
          </span>
        ))}
        {selected.length > 12 && <span class="chip">+{selected.length - 12}</span>}
      </p>
      {(p.unresolved ?? []).length > 0 && <p class="warn">no container is {p.unresolved!.join(", ")} now</p>}
      {p.problems?.map((x, i) => (
        <p class="problem" key={i}>
          {x.source}
          {x.line ? `:${x.line}` : ""} {x.message}
        </p>
      ))}
      <details>
        <summary>Text</summary>
        <pre tabIndex={0}>{p.text}</pre>
      </details>
    </article>
  );
}

/** wide are the sources that anybody may be. */
const wide = new Set(["@internet", "@world", "@any"]);

function Exposed({ all }: { all: Exposure[] }) {
  const [text, setText] = useState("");
  const fits = (e: Exposure) => !text || `${e.container} ${e.network} ${e.ports} ${e.from} ${e.policy ?? ""}`.toLowerCase().includes(text.toLowerCase());
  const shown = all.filter(fits);
  return (
    <>
      <input class="narrow" type="search" placeholder="Narrow down" aria-label="Narrow down what is exposed" value={text} onInput={(e) => setText(e.currentTarget.value)} />
      <div class="scroll-x">
        <table class="exposed">
          <thead>
            <tr>
              <th>Container</th>
              <th>Network</th>
              <th>Address</th>
              <th>Ports</th>
              <th>From</th>
              <th>Allowed by</th>
            </tr>
          </thead>
          <tbody>
            {shown.slice(0, 500).map((e, i) => (
              <tr key={i} class={wide.has(e.from) ? "wide" : ""}>
                <td>{e.container}</td>
                <td>{e.network}</td>
                <td>
                  {e.address} {e.published && <span class="chip">published → {e.target}</span>}
                </td>
                <td>{e.ports}</td>
                <td>
                  <span class={wide.has(e.from) ? "tag dropped" : "chip"}>{e.from}</span>
                </td>
                <td>
                  {e.policy ? [e.policy, e.rule].filter(Boolean).join(": ") : <span class="none">nothing restricts it</span>}
                  {e.mode ? <span class="tag audit">{e.mode}</span> : null}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {shown.length > 500 && <p class="none">{shown.length - 500} more: narrow them down.</p>}
    </>
  );
}
