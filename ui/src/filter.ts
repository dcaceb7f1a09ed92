// The text of the filter box, changed by clicks. The daemon understands it (observe/ui/words).

/** terms cuts a filter at the spaces outside quotation marks. */
export const terms = (text: string): string[] => text.match(/(?:"[^"]*"|[^\s"])+/g) ?? [];

/** term writes key:value, quoted where it must be. */
export const term = (key: string, value: string): string => (/[\s"]/.test(value) ? `${key}:"${value.replaceAll('"', "")}"` : `${key}:${value}`);

/** has reports whether a filter has the term. */
export const has = (text: string, t: string): boolean => terms(text).includes(t);

/** toggle adds a term, or takes it away. A term of a key in alone replaces the others of that key. */
export function toggle(text: string, t: string, alone = false): string {
  const all = terms(text);
  if (all.includes(t)) return all.filter((x) => x !== t).join(" ");
  const key = t.slice(0, t.indexOf(":") + 1);
  return [...all.filter((x) => !alone || !x.startsWith(key)), t].join(" ");
}
