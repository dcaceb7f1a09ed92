// Numbers, times and names for people.

const units = ["B", "kB", "MB", "GB", "TB"];

/** bytes writes 1234567 as "1.2 MB". */
export function bytes(n: number): string {
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return `${unit > 0 && n < 9.95 ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

/** rate writes bytes in a second. */
export const rate = (n: number): string => `${bytes(n)}/s`;

/** count writes 12345 as "12k". */
export function count(n: number): string {
  if (n < 1000) return n < 10 && n % 1 > 0.05 ? n.toFixed(1) : String(Math.round(n));
  return n < 1e6 ? `${(n / 1e3).toFixed(n < 1e4 ? 1 : 0)}k` : `${(n / 1e6).toFixed(1)}M`;
}

/** clock writes a time of day with milliseconds. */
export function clock(iso: string): string {
  const d = new Date(iso);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, "0")}`;
}

/** ago writes how long something is past. */
export function ago(iso: string, now: number): string {
  const s = Math.max(0, Math.round((now - Date.parse(iso)) / 1000));
  if (s < 2) return "now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  return `${Math.floor(s / 3600)} h ago`;
}

/** port writes "tcp 5432", or only the protocol where there is no port. */
export const port = (p: { protocol: string; port?: number }): string => (p.port ? `${p.protocol} ${p.port}` : p.protocol);

/** short takes the project, and its separator, off a container's name. */
export function short(container: string, project?: string): string {
  for (const separator of ["-", "_"]) {
    if (project && container.startsWith(project + separator)) return container.slice(project.length + 1);
  }
  return container;
}

/** image takes registry and digest off an image's name. */
export function image(name: string): string {
  const bare = name.replace(/@sha256:.*$/, "");
  return bare.startsWith("sha256:") ? bare.slice(7, 19) : (bare.split("/").pop() ?? bare);
}

/** quote makes text one word of a shell. */
export const quote = (text: string): string => (/^[\w./:=@,+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
