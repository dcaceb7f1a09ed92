import { useState } from "preact/hooks";
import { Icon } from "../icons";

/** copy puts text on the clipboard, also where a page without TLS may not. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Command is text for a shell, or a compose file, with a button that copies it. */
export function Command({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  return (
    <div class="command">
      <code>{text}</code>
      <button
        type="button"
        title="Copy"
        onClick={async () => {
          setDone(await copy(text));
          setTimeout(() => setDone(false), 1500);
        }}
      >
        <Icon name={done ? "check" : "copy"} />
        <span class="sr" role="status">
          {done ? "copied" : "Copy"}
        </span>
      </button>
    </div>
  );
}
