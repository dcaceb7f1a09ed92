// What the daemon tells: see observe/ui (topology.go, view.go) and observe/ui/servicemap (map.go), and api for the rest.

export interface Topology {
  host: string;
  nodes: MapNode[];
}

export interface MapNode {
  id: string;
  kind: "container" | "host" | "world" | "other";
  project?: string;
  service?: string;
  image?: string;
  gone?: boolean;
  state?: string;
  error?: string;
  mode?: string;
  profile?: string;
  labels?: Record<string, string>;
  networks?: Attachment[];
  ports?: PublishedPort[];
}

export interface Attachment {
  endpoint: string;
  network: string;
  ipv4?: string;
  ipv6?: string;
  identity: number;
  egress: string[] | null;
  ingress: string[] | null;
  publish: string[] | null;
}

export interface PublishedPort {
  address: string;
  hostPort: number;
  protocol: string;
  port: number;
}

export interface Edge {
  from: string;
  to: string;
  sent: number;
  received: number;
  packets: number;
  opened: number;
  drops: number;
  first: string;
  last: string;
  lastDrop?: string;
  lastPass?: string;
  audited?: string;
  connections: number;
  bytes: number;
  ports?: Port[];
  denials?: Denial[];
  policies?: string[];
  peers?: Peer[];
}

export interface Port {
  protocol: string;
  port: number;
  published?: number;
  connections: number;
  bytes: number;
  drops?: number;
  last: string;
}

export interface Denial {
  reason: string;
  policy?: string;
  rule?: string;
  direction?: string;
  protocol: string;
  port?: number;
  audit?: boolean;
  count: number;
  last: string;
  seq: number;
}

export interface Peer {
  address: string;
  name?: string;
  bytes: number;
  last: string;
}

export interface EdgesEvent {
  now: string;
  edges: Edge[];
  lost: number;
}

export interface End {
  id: string;
  address?: string;
  port?: number;
  names?: string[] | null;
  project?: string;
  service?: string;
  network?: string;
}

export interface Flow {
  seq: number;
  time: string;
  type: string;
  verdict: "forwarded" | "dropped" | "audit" | "";
  source: End;
  destination: End;
  protocol: string;
  port?: number;
  reply?: boolean;
  flags?: string;
  icmp?: [number, number];
  length?: number;
  direction?: string;
  reason?: string;
  side?: string;
  policy?: string;
  rule?: string;
  published?: number;
  age?: number;
  closed?: boolean;
  sent?: number;
  received?: number;
  packets?: number;
  dnat?: string;
  snat?: string;
  revision?: number;
  hint?: string;
}

export interface FlowsEvent {
  flows: Flow[];
  skipped?: number;
  lost?: number;
}

export interface FilterAnswer {
  sluice: string;
  hubble: string;
  left?: string[];
  keys: string[];
  problem?: string;
}

export interface History {
  times: number[];
  sent: number[];
  received: number[];
  opened: number[];
  drops: number[];
}

export interface Explanation {
  from: string;
  to: string;
  port: string;
  verdict: string;
  paths: ExplainedPath[] | null;
  notes?: string[];
}

export interface ExplainedPath {
  ports: string;
  published?: number;
  verdict: string;
  steps: ExplainStep[] | null;
  flip?: Remedy[];
}

export interface ExplainStep {
  step: string;
  container?: string;
  network?: string;
  verdict: string;
  policy?: string;
  rule?: string;
  source?: string;
  why: string;
}

export interface Remedy {
  verdict: string;
  container?: string;
  labels?: Record<string, string>;
  remove?: string[];
  policy?: string;
  commands?: string[];
  note?: string;
}

export interface Policy {
  name: string;
  kind: string;
  source: string;
  rules: number;
  endpoints: string[] | null;
  unresolved?: string[];
  applied?: string;
  text: string;
  origin: string;
  problems?: { source?: string; line?: number; message?: string }[];
}

export interface Exposure {
  container: string;
  network: string;
  address: string;
  published: boolean;
  ports: string;
  target?: number;
  from: string;
  policy?: string;
  rule?: string;
  mode?: string;
}

export interface Problem {
  code: string;
  message: string;
}
