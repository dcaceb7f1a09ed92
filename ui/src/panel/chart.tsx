import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import * as api from "../api";
import type { History } from "../model";
import { clock, rate } from "../format";
import * as state from "../state";

const period = 2000; // ms between questions: that of the history's buckets

interface Props {
  ends: { from?: string[]; to?: string[]; of?: string[] };
}

const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Chart draws what a link or a card carried in the last five minutes. */
export function Chart({ ends }: Props) {
  const area = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [history, setHistory] = useState<History | null>(null);
  const key = JSON.stringify(ends);
  const theme = state.theme.value;

  useEffect(() => {
    let over = false;
    const read = () =>
      api.history(ends).then(
        (h) => over || setHistory(h),
        () => undefined,
      );
    void read();
    const timer = setInterval(() => document.hidden || void read(), period);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [key]);

  useEffect(() => {
    const el = area.current!;
    plot.current = new uPlot(options(el.clientWidth), [[], [], [], []], el);
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: el.clientWidth, height: 120 }));
    watch.observe(el);
    return () => {
      watch.disconnect();
      plot.current?.destroy();
    };
  }, [theme]);

  useEffect(() => {
    if (history) plot.current?.setData([history.times, history.sent, history.received, history.drops]);
  }, [history, theme]);

  const drops = history?.drops.reduce((a, b) => a + b * 2, 0) ?? 0;
  return (
    <figure class="chart">
      <div ref={area} />
      <figcaption>
        <span class="key sent">sent</span>
        <span class="key received">received</span>
        <span class="key drops">dropped{drops > 0 ? ` (${Math.round(drops)} packets in 5 min)` : ""}</span>
      </figcaption>
    </figure>
  );
}

function options(width: number): uPlot.Options {
  const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  return {
    width,
    height: 120,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 4, 0, 0],
    scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, Math.max(max, 100)] }, d: { range: (_u, _min, max) => [0, Math.max(max, 1)] } },
    axes: [
      { ...axis, size: 24, space: 70, values: (_u, times) => times.map((t) => clock(new Date(t * 1000).toISOString()).slice(0, 5)) },
      { ...axis, size: 62, space: 34, values: (_u, values) => values.map((v) => rate(v)) },
    ],
    series: [
      {},
      { stroke: color("--accent"), fill: color("--accent-soft"), width: 1.5, points: { show: false } },
      { stroke: color("--second"), width: 1.5, points: { show: false } },
      { scale: "d", stroke: color("--bad"), width: 1.5, points: { show: false }, paths: uPlot.paths.bars!({ size: [0.9, 4] }), fill: color("--bad") },
    ],
  };
}
