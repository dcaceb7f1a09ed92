// Moving and scaling what is larger than the window: by pointer, wheel, pinch and keys.
import { signal, type Signal } from "@preact/signals";

export interface View {
  x: number;
  y: number;
  scale: number;
}

const limits = { least: 0.2, most: 2 };

export class Viewport {
  readonly at: Signal<View> = signal({ x: 0, y: 0, scale: 1 });
  /** touched: the user chose what to see; nothing else moves it. */
  touched = false;
  private pointers = new Map<number, { x: number; y: number }>();

  constructor(private readonly area: () => HTMLElement | null) {}

  /** fit shows all of a picture, as large as it can be read. */
  fit(w: number, h: number) {
    const area = this.area();
    if (!area || w === 0) return;
    const [aw, ah] = [area.clientWidth, area.clientHeight];
    const scale = Math.max(0.42, Math.min(1.1, (aw - 16) / w, (ah - 16) / h));
    this.at.value = { scale, x: Math.max(8, (aw - w * scale) / 2), y: Math.max(8, (ah - h * scale) / 2) };
  }

  zoom(factor: number, cx?: number, cy?: number) {
    const area = this.area();
    if (!area) return;
    const { x, y, scale } = this.at.value;
    const next = Math.min(limits.most, Math.max(limits.least, scale * factor));
    const [px, py] = [cx ?? area.clientWidth / 2, cy ?? area.clientHeight / 2];
    this.at.value = { scale: next, x: px - ((px - x) * next) / scale, y: py - ((py - y) * next) / scale };
    this.touched = true;
  }

  move(dx: number, dy: number) {
    const { x, y, scale } = this.at.value;
    this.at.value = { scale, x: x + dx, y: y + dy };
    this.touched = true;
  }

  /** bring moves a place into sight, if it is not. */
  bring(x: number, y: number, w: number, h: number) {
    const area = this.area();
    if (!area) return;
    const v = this.at.value;
    const [left, top] = [v.x + x * v.scale, v.y + y * v.scale];
    const dx = left < 8 ? 8 - left : Math.min(0, area.clientWidth - 8 - (left + w * v.scale));
    const dy = top < 8 ? 8 - top : Math.min(0, area.clientHeight - 8 - (top + h * v.scale));
    if (dx || dy) this.at.value = { ...v, x: v.x + dx, y: v.y + dy };
  }

  wheel = (e: WheelEvent) => {
    e.preventDefault();
    const area = this.area()!.getBoundingClientRect();
    if (e.ctrlKey || e.metaKey || !e.shiftKey) this.zoom(Math.exp(-e.deltaY * (e.ctrlKey ? 0.01 : 0.0015)), e.clientX - area.left, e.clientY - area.top);
    else this.move(-e.deltaX - e.deltaY, 0);
  };

  down = (e: PointerEvent) => {
    if (e.button > 0) return;
    this.pointers.set(e.pointerId, { x: e.clientX, y: e.clientY });
  };

  drag = (e: PointerEvent) => {
    const last = this.pointers.get(e.pointerId);
    if (!last) return;
    const [dx, dy] = [e.clientX - last.x, e.clientY - last.y];
    const area = this.area()!;
    if (this.pointers.size === 1) {
      if (!area.hasPointerCapture(e.pointerId)) {
        if (Math.hypot(dx, dy) < 4) return; // still a click
        area.setPointerCapture(e.pointerId);
      }
      this.move(dx, dy);
    } else {
      const other = [...this.pointers].find(([id]) => id !== e.pointerId)![1];
      const before = Math.hypot(last.x - other.x, last.y - other.y);
      const after = Math.hypot(e.clientX - other.x, e.clientY - other.y);
      const box = area.getBoundingClientRect();
      if (before > 0) this.zoom(after / before, (e.clientX + other.x) / 2 - box.left, (e.clientY + other.y) / 2 - box.top);
    }
    this.pointers.set(e.pointerId, { x: e.clientX, y: e.clientY });
  };

  up = (e: PointerEvent) => {
    this.pointers.delete(e.pointerId);
  };
}
