import { useEffect, useState } from "preact/hooks";
import * as api from "../api";
import { why } from "../commands";
import type { Explanation, ExplainedPath, Remedy } from "../model";
import { Command } from "./command";

interface Props {
  from: string;
  to: string;
}

/** Explain asks the daemon whether one end may open a connection to another, and shows why, and what would change it. */
export function Explain({ from, to }: Props) {
  const [answer, setAnswer] = useState<Explanation | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let over = false;
    setAnswer(null);
    setProblem("");
    api.explain(from, to).then(
      (a) => over || setAnswer(a),
      (e: Error) => over || setProblem(e.message),
    );
    return () => {
      over = true;
    };
  }, [from, to]);
  return (
    <div class="explain">
      {problem && <p class="none">{problem}</p>}
      {!problem && !answer && <p class="none">Asking…</p>}
      {answer?.paths?.slice(0, 4).map((p, i) => <Path key={i} path={p} />)}
      {(answer?.paths?.length ?? 0) > 4 && <p class="none">{answer!.paths!.length - 4} more ways: see the command.</p>}
      {answer?.notes?.map((n) => <p class="none">{n}</p>)}
      <Command text={why(from, to)} />
    </div>
  );
}

function Path({ path }: { path: ExplainedPath }) {
  return (
    <div class={`path ${path.verdict}`}>
      <p>
        <span class={`tag ${path.verdict === "allowed" ? "forwarded" : path.verdict === "audit" ? "audit" : "dropped"}`}>{path.verdict}</span>{" "}
        {path.ports}
        {path.published ? ` by port ${path.published} of the host` : ""}
      </p>
      <ol>
        {(path.steps ?? []).map((s, i) => (
          <li key={i} class={s.verdict}>
            <strong>{s.step}</strong> {s.container}
            {s.network ? `@${s.network}` : ""}: {s.why}
            {s.source ? <small> ({s.source})</small> : null}
          </li>
        ))}
      </ol>
      {path.verdict !== "allowed" && path.flip?.map((r, i) => <Change key={i} remedy={r} />)}
    </div>
  );
}

/** labels writes labels as a compose file has them. */
export const labels = (l: Record<string, string>): string =>
  Object.entries(l)
    .map(([k, v]) => (v === "" ? `# without ${k}` : `${k}: ${JSON.stringify(v)}`))
    .join("\n");

function Change({ remedy }: { remedy: Remedy }) {
  return (
    <div class="remedy">
      <h4>To have it {remedy.verdict}</h4>
      {remedy.labels && (
        <>
          <p>
            label <b>{remedy.container}</b>:
          </p>
          <Command text={labels(remedy.labels)} />
        </>
      )}
      {remedy.remove?.map((r) => <p>take out {r}</p>)}
      {remedy.policy && <Command text={remedy.policy.trim()} />}
      {remedy.commands?.length ? (
        <>
          <p>now:</p>
          {remedy.commands.map((c) => (
            <Command text={c} />
          ))}
        </>
      ) : null}
      {remedy.note && <p class="none">{remedy.note}</p>}
    </div>
  );
}
