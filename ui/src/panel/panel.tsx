import { useEffect, useState } from "preact/hooks";
import * as api from "../api";
import { observing, reference, target } from "../commands";
import { term } from "../filter";
import { ago, bytes, clock, count, image, port, rate } from "../format";
import { Icon } from "../icons";
import { describe } from "../map/line";
import { reason, type Group, type Link } from "../map/group";
import type { Flow, MapNode } from "../model";
import { info, nameOf, scopeOf, why } from "../flows/table";
import * as state from "../state";
import { Chart } from "./chart";
import { Command } from "./command";
import { Explain } from "./explain";
import { Denials, Facts, Ports, Section } from "./parts";

/** Panel explains what is selected. */
export function Panel() {
  const s = state.selection.value;
  if (!s) return null;
  const close = () => {
    state.selection.value = null;
  };
  const link = state.selectedLink.value;
  const group = state.selectedGroup.value;
  let title = "";
  let content = null;
  if (s.kind === "flow") [title, content] = ["Flow", <FlowPanel flow={s.flow} />];
  else if (link) [title, content] = ["Connection", <LinkPanel link={link} />];
  else if (group) [title, content] = [group.title, <GroupPanel key={group.id} group={group} node={s.kind === "group" ? s.node : undefined} />];
  else content = <p class="none">It is not there any more, or older than what the map shows.</p>;
  return (
    <aside class="panel" aria-label="Details" onKeyDown={(e) => e.key === "Escape" && close()}>
      <header>
        <h2>{title}</h2>
        <button type="button" title="Close (Esc)" onClick={close}>
          <Icon name="close" />
          <span class="sr">Close</span>
        </button>
      </header>
      <div class="panel-body">{content}</div>
    </aside>
  );
}

const groupName = (id: string): string => {
  const g = state.groupMap.value.get(id);
  return g ? [g.project, g.title].filter(Boolean).join("/") : id;
};

const choose = (selection: state.Selection) => (state.selection.value = selection);

/** Ends are the two ends of a connection, to be chosen. */
function Ends({ from, to }: { from: string; to: string }) {
  return (
    <p class="ends">
      <button type="button" class="end-button" onClick={() => choose({ kind: "group", id: from })}>
        {groupName(from)}
      </button>
      <Icon name="arrow" />
      <button type="button" class="end-button" onClick={() => choose({ kind: "group", id: to })}>
        {groupName(to)}
      </button>
    </p>
  );
}

function LinkPanel({ link }: { link: Link }) {
  const nodes = new Map((state.topology.value?.nodes ?? []).map((n) => [n.id, n]));
  const worst = link.edges.find((e) => (e.denials ?? []).some((d) => link.denials[0]?.seq === d.seq)) ?? link.edges[0]!;
  const [from, to] = [nodes.get(worst.from), nodes.get(worst.to)];
  const denial = link.denials[0];
  const asked = denial ?? link.ports[0];
  const peer = worst.peers?.[0]?.address;
  const name = (n: MapNode) => (n.kind === "world" && peer ? peer : reference(n));
  return (
    <>
      <Ends from={link.from} to={link.to} />
      <p>
        <span class={`tag ${link.state === "ok" ? "forwarded" : link.state === "audit" ? "audit" : "dropped"}`}>
          {link.state === "ok" ? "forwarded" : link.state === "both" ? "partly dropped" : link.state}
        </span>{" "}
        {link.state !== "ok" && reason(link)}
      </p>
      <Facts
        of={[
          ["sent", rate(link.sent)],
          ["received", rate(link.received)],
          ["packets", `${count(link.packets)}/s`],
          ["new connections", `${count(link.opened)}/s, ${count(link.connections)} in all`],
          ["dropped", link.drops > 0 ? `${count(link.drops)} packets/s` : ""],
          ["last", ago(new Date(link.last).toISOString(), state.now.value)],
        ]}
      />
      <Chart ends={{ from: link.edges.map((e) => e.from), to: link.edges.map((e) => e.to) }} />
      {link.denials.length > 0 && (
        <Section title="Denied">
          <Denials denials={link.denials} />
        </Section>
      )}
      {from && to && asked && (
        <Section title={`May ${name(from)} open ${port(asked)} to ${name(to)}?`}>
          <Explain from={name(from)} to={target(name(to), asked.protocol, asked.port)} />
        </Section>
      )}
      {link.ports.length > 0 && (
        <Section title="Ports">
          <Ports ports={link.ports} />
        </Section>
      )}
      {link.policies.length > 0 && (
        <Section title="Allowed by">
          <Names of={link.policies} />
        </Section>
      )}
      {from && to && (
        <>
          <Section title="Last flows">
            <LastFlows q={[endTerm("from", from), endTerm("to", to)].filter(Boolean).join(" ")} />
          </Section>
          <Section title="Watch it in a terminal">
            {observing(from, to, link.state === "dropped").map((c) => (
              <Command key={c} text={c} />
            ))}
          </Section>
        </>
      )}
      <p class="sr">{describe(link, groupName)}</p>
    </>
  );
}

/** endTerm is the word of the filter that means a node. */
function endTerm(side: "from" | "to" | "", n: MapNode): string {
  if (n.kind === "host" || n.kind === "world") return `${side}${side && "-"}identity:${n.kind}`;
  return n.kind === "container" ? term(`${side}${side && "-"}pod`, n.id) : "";
}

function Names({ of }: { of: string[] }) {
  return (
    <ul class="names">
      {of.map((n) => (
        <li key={n}>
          <button
            type="button"
            class="link"
            onClick={() => {
              state.view.value = "policies";
              requestAnimationFrame(() => document.getElementById(`policy-${n}`)?.scrollIntoView());
            }}
          >
            {n}
          </button>
        </li>
      ))}
    </ul>
  );
}

/** LastFlows are the newest flows that fit. */
function LastFlows({ q }: { q: string }) {
  const [flows, setFlows] = useState<Flow[]>([]);
  const edges = state.edges.value; // something came: look again
  useEffect(() => {
    let over = false;
    api.flows({ q, last: "8" }).then(
      (e) => over || setFlows(e.flows.toReversed()),
      () => undefined,
    );
    return () => {
      over = true;
    };
  }, [q, edges]);
  if (flows.length === 0) return <p class="none">None in memory.</p>;
  return (
    <>
      <ul class="last">
        {flows.map((f) => (
          <li key={f.seq}>
            <button type="button" onClick={() => choose({ kind: "flow", flow: f })}>
              <span class={`tag ${f.verdict}`}>{f.verdict}</span> {clock(f.time)} {f.reply ? "reply " : ""}
              {f.protocol} {f.port ?? ""} <small>{why(f) || info(f)}</small>
            </button>
          </li>
        ))}
      </ul>
      <button
        type="button"
        class="link"
        onClick={() => {
          state.filterText.value = q;
          state.view.value = "flows";
        }}
      >
        Show all in the table
      </button>
    </>
  );
}

function GroupPanel({ group, node }: { group: Group; node?: string }) {
  const [chosen, setChosen] = useState(node ?? "");
  useEffect(() => setChosen(node ?? ""), [node]);
  const nodes = group.nodes.filter((n) => !chosen || n.id === chosen);
  const first = nodes[0] ?? group.nodes[0]!;
  const ids = nodes.map((n) => n.id);
  const links = [...state.linkMap.value.values()].filter((l) => l.from === group.id || l.to === group.id);
  const denied = links.filter((l) => l.denials.length > 0);
  return (
    <>
      <p class="subtitle">
        {group.kind === "container" ? [group.project || "no project", image(first.image ?? "")].join(" · ") : group.side === "in" ? "opens connections" : "accepts connections"}
      </p>
      {group.nodes.length > 1 && (
        <label class="select block">
          <span class="sr">Container</span>
          <select value={chosen} onChange={(e) => setChosen(e.currentTarget.value)}>
            <option value="">all {group.nodes.length} containers</option>
            {group.nodes.map((n) => (
              <option key={n.id} value={n.id}>
                {n.id}
              </option>
            ))}
          </select>
        </label>
      )}
      <Chart ends={{ of: ids }} />
      <Connections links={links} group={group.id} />
      {denied.length > 0 && (
        <Section title="Last drops">
          <Denials denials={denied.flatMap((l) => l.denials).sort((a, b) => (a.last < b.last ? 1 : -1))} />
        </Section>
      )}
      {nodes.slice(0, 6).map((n) => (
        <Container key={n.id} node={n} />
      ))}
      <Section title="Last flows">
        <LastFlows q={endTerm("", first)} />
      </Section>
      <Section title="Watch it in a terminal">
        {observing(first).map((c) => (
          <Command key={c} text={c} />
        ))}
        {first.kind === "container" && <Command text={`sluice endpoint show ${first.id}`} />}
      </Section>
    </>
  );
}

function Connections({ links, group }: { links: Link[]; group: string }) {
  if (links.length === 0) return <p class="none">No connection within the time that the map shows.</p>;
  return (
    <Section title="Connections">
      <ul class="connections">
        {links.map((l) => (
          <li key={l.id}>
            <button type="button" data-state={l.state} onClick={() => choose({ kind: "link", id: l.id })}>
              <span class="dot" data-state={l.state === "ok" ? "ready" : l.state === "audit" ? "closed" : "failed"} />
              <span class="grow">
                {l.from === group ? "to " : "from "}
                {groupName(l.from === group ? l.to : l.from)}
              </span>
              <small>
                {l.ports[0] ? port(l.ports[0]) : ""} {l.state === "ok" ? rate(l.sent + l.received) : reason(l)}
              </small>
            </button>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Container({ node }: { node: MapNode }) {
  if (node.kind !== "container") return null;
  const side = (policies: string[] | null) => (policies ? (policies.length > 0 ? <Names of={policies} /> : "closed") : "");
  return (
    <Section title={node.id}>
      <Facts
        of={[
          ["state", node.gone ? "gone" : (node.state ?? "")],
          ["problem", node.error ?? ""],
          ["mode", node.mode && node.mode !== "enforce" ? node.mode : ""],
          ["profile", node.profile ?? ""],
          ["published", (node.ports ?? []).map((p) => `${p.address ? `${p.address}:` : ":"}${p.hostPort} → ${p.port}/${p.protocol}`).join(", ")],
        ]}
      />
      {(node.networks ?? []).map((a) => (
        <div class="attachment" key={a.endpoint}>
          <b>{a.network}</b>
          <Facts
            of={[
              ["addresses", [a.ipv4, a.ipv6].filter(Boolean).join(", ")],
              ["identity", String(a.identity)],
              ["egress restricted by", side(a.egress)],
              ["ingress restricted by", side(a.ingress)],
              ["published ports restricted by", side(a.publish)],
            ]}
          />
        </div>
      ))}
    </Section>
  );
}

function FlowPanel({ flow: f }: { flow: Flow }) {
  const end = (e: Flow["source"]) => (
    <>
      {nameOf(e)} <small>{scopeOf(e)}</small>
      <br />
      {e.address}
      {e.port ? `:${e.port}` : ""} {e.names?.length ? <small>{e.names.join(", ")}</small> : null}
    </>
  );
  const [from, to] = f.reply ? [f.destination, f.source] : [f.source, f.destination];
  const name = (e: Flow["source"]) => (e.id === "@host" ? "@host" : e.id.startsWith("@") ? (e.address ?? "") : e.id);
  return (
    <>
      <p>
        <span class={`tag ${f.verdict}`}>{f.verdict}</span> {why(f)}
      </p>
      {f.hint && (
        <div class="remedy">
          <h4>To allow it</h4>
          <p>{f.hint}</p>
        </div>
      )}
      <Facts
        of={[
          ["time", new Date(f.time).toLocaleString()],
          ["from", end(f.source)],
          ["to", end(f.destination)],
          ["protocol", `${f.protocol} ${f.port ?? ""}`],
          ["packet", [f.reply ? "reply" : "", info(f), f.length ? `${f.length} bytes` : ""].filter(Boolean).join(", ")],
          ["direction", f.direction ?? ""],
          ["policy asked", f.side ?? ""],
          ["policy", f.policy ?? ""],
          ["rule", f.rule ?? ""],
          ["revision", f.revision ? String(f.revision) : ""],
          ["connection", f.age ? `${f.age.toFixed(1)} s, ${count(f.packets ?? 0)} packets, ${bytes((f.sent ?? 0) + (f.received ?? 0))}` : ""],
          ["destination before translation", f.dnat ?? ""],
          ["source after translation", f.snat ?? ""],
        ]}
      />
      {name(from) && name(to) && f.protocol && (
        <Section title={`May ${name(from)} open ${port(f)} to ${name(to)}?`}>
          <Explain from={name(from)} to={target(name(to), f.protocol, f.port)} />
        </Section>
      )}
    </>
  );
}
